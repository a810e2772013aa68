package aws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// signInTokenLife is how long a sign-in link works.
const signInTokenLife = 15 * time.Minute

// signIn is a sign-in token.
type signIn struct {
	session *session
	at      time.Time
}

// SignIn returns the handler of the sign-in endpoint (/federation and /saml).
func (a *AWS) SignIn() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/federation", a.federation)
	mux.HandleFunc("/saml", a.browserPost)
	return mux
}

// unhelpful is the sign-in endpoint's own answer to anything wrong.
const unhelpful = "Invalid credentials parameter: the request sent by the client was syntactically incorrect"

func (a *AWS) federation(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	w.Header().Set("Cache-Control", "no-store")
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		_, posted, err := readForm(r)
		if err != nil {
			http.Error(w, unhelpful, http.StatusBadRequest)
			return
		}
		form = posted.Values
	}
	var err error
	action := form.Get("Action")
	switch {
	case a.need("signin.method", r.Method == http.MethodPost || r.Method == http.MethodGet, refuse("", "method")) != nil:
		http.Error(w, unhelpful, http.StatusMethodNotAllowed)
		return
	case action == "login":
		err = a.login(w, form)
	default:
		if err = a.need("signin.action", action == "getSigninToken", refuse("", "Action %q", action)); err == nil {
			err = a.signInToken(w, form)
		}
	}
	if err != nil {
		http.Error(w, unhelpful, http.StatusBadRequest)
	}
}

func (a *AWS) signInToken(w http.ResponseWriter, form url.Values) error {
	var s map[string]string
	jsonErr := json.Unmarshal([]byte(form.Get("Session")), &s)
	exact := jsonErr == nil && len(s) == 3 && s["sessionId"] != "" && s["sessionKey"] != "" && s["sessionToken"] != ""
	if err := a.need("signin.session", exact, refuse("", "Session")); err != nil {
		return err
	}
	a.mu.Lock()
	issued := a.sessions[s["sessionId"]]
	a.mu.Unlock()
	token, ours := a.readToken(s["sessionToken"])
	together := issued != nil && ours && issued.secret == s["sessionKey"] && token.AccessKeyID == issued.AccessKeyID
	if err := a.need("signin.credentials", together, refuse("", "credentials")); err != nil {
		return err
	}
	if token == nil {
		token = &session{Expires: a.o.Now().Add(time.Hour)}
	}
	seconds, err := strconv.Atoi(form.Get("SessionDuration"))
	has := form.Has("SessionDuration")
	err = first(
		a.need("signin.expired", a.o.Now().Before(token.Expires), refuse("", "expired")),
		a.need("signin.duration", !has || err == nil && seconds >= 900 && seconds <= 43200, refuse("", "SessionDuration")),
		a.need("signin.chained", !has || !token.Chained, refuse("", "SessionDuration of chained credentials")),
	)
	if err != nil {
		return err
	}
	name := randomHex(32)
	console := *token
	console.AccessKeyID = newAccessKey() // the console may use another than it was given
	if has {
		console.Expires = a.o.Now().Add(time.Duration(seconds) * time.Second)
	}
	a.mu.Lock()
	a.signIns[name] = &signIn{session: &console, at: a.o.Now()}
	a.mu.Unlock()
	a.trailSignIn("GetSigninToken", &console)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"SigninToken": name}) // the client went away: nobody to tell
	return nil
}

var consoleHosts = map[string]*regexp.Regexp{
	"aws":        regexp.MustCompile(`^([a-z]{2}(-[a-z]+)+-[0-9]\.)?console\.aws\.amazon\.com$`),
	"aws-us-gov": regexp.MustCompile(`^([a-z-]+-[0-9]\.)?console\.amazonaws-us-gov\.com$`),
	"aws-cn":     regexp.MustCompile(`^([a-z-]+-[0-9]\.)?console\.amazonaws\.cn$`),
	"aws-eusc":   regexp.MustCompile(`^([a-z-]+-[0-9]\.)?console\.amazonaws-eusc\.eu$`),
}

func (a *AWS) login(w http.ResponseWriter, form url.Values) error {
	a.mu.Lock()
	s := a.signIns[form.Get("SigninToken")]
	a.mu.Unlock()
	if err := a.need("signin.token", s != nil, refuse("", "token")); err != nil {
		return err
	}
	if s == nil {
		s = &signIn{session: &session{Partition: "aws"}, at: a.o.Now()}
	}
	to, err := url.Parse(form.Get("Destination"))
	err = first(
		a.need("signin.token_age", a.o.Now().Sub(s.at) < signInTokenLife, refuse("", "token too old")),
		a.need("signin.destination", err == nil && a.console(to, s.session.Partition), refuse("", "destination")),
	)
	if err != nil || to == nil {
		return first(err, refuse("", "destination"))
	}
	a.openConsole(w, s.session, to)
	return nil
}

// openConsole sends the browser to the console as the session.
func (a *AWS) openConsole(w http.ResponseWriter, s *session, to *url.URL) {
	a.trailSignIn("ConsoleLogin", s)
	// The console is another host: the session is handed over in the query and
	// becomes a cookie there at once.
	q := to.Query()
	q.Set("session", a.token(s))
	to.RawQuery = q.Encode()
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusFound)
}

// console reports whether u is a page of the partition's console or of the
// double's own.
func (a *AWS) console(u *url.URL, partition string) bool {
	if a.o.ConsoleURL != "" && u.Scheme+"://"+u.Host == a.o.ConsoleURL {
		return true
	}
	return u.Scheme == "https" && u.User == nil && consoleHosts[partition] != nil && consoleHosts[partition].MatchString(u.Host)
}

// trailLine is one CloudTrail-like record (CloudTrail User Guide).
type trailLine struct {
	EventTime   string         `json:"eventTime"`
	Source      string         `json:"eventSource"`
	Name        string         `json:"eventName"`
	Type        string         `json:"eventType"`
	Region      string         `json:"awsRegion"`
	Identity    map[string]any `json:"userIdentity"`
	Parameters  map[string]any `json:"requestParameters,omitempty"`
	Response    map[string]any `json:"responseElements,omitempty"`
	RequestID   string         `json:"requestID,omitempty"`
	EventID     string         `json:"eventID"`
	RecipientID string         `json:"recipientAccountId"`
}

func (a *AWS) trail(l trailLine) {
	if a.o.Trail == nil {
		return
	}
	l.EventTime, l.Region, l.EventID = a.o.Now().UTC().Format(time.RFC3339), a.o.Region, randomHex(16)
	b, err := json.Marshal(l)
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = a.o.Trail.Write(append(b, '\n')) // a trail that cannot be written is the test's own business
}

// trailAssume writes the event of a successful assume call; failures write
// nothing, as AWS may not log them either.
func (a *AWS) trailAssume(c *assume, s *session, requestID string) {
	parameters := map[string]any{
		"roleArn": c.form.Get("RoleArn"), "roleSessionName": s.Name, "durationSeconds": c.duration,
	}
	if s.SourceIdentity != "" {
		parameters["sourceIdentity"] = s.SourceIdentity
	}
	if len(s.Tags) > 0 {
		parameters["principalTags"], parameters["transitiveTagKeys"] = s.Tags, c.transitive
	}
	response := map[string]any{
		"credentials":     map[string]any{"accessKeyId": s.AccessKeyID, "expiration": s.Expires.Format(time.RFC3339)},
		"assumedRoleUser": map[string]any{"assumedRoleId": s.RoleID + ":" + s.Name, "arn": s.ARN()}, "audience": c.audience,
	}
	l := trailLine{Source: "sts.amazonaws.com", Name: strings.TrimPrefix(c.action, "sts:"), Type: "AwsApiCall", RequestID: requestID,
		Parameters: parameters, Response: response, RecipientID: s.Account}
	if l.Name == "AssumeRoleWithSAML" {
		parameters["sAMLAssertionID"], parameters["principalArn"] = c.tokenID, c.form.Get("PrincipalArn")
		response["issuer"], response["subject"], response["subjectType"], response["nameQualifier"] = c.issuer, c.subject, c.subjectType, c.nameQualifier
		l.Identity = map[string]any{"type": "SAMLUser", "principalId": c.nameQualifier + ":" + c.subject, "userName": c.subject, "identityProvider": c.nameQualifier}
	} else {
		response["provider"], response["subjectFromWebIdentityToken"] = c.issuer, c.subject
		l.Identity = map[string]any{"type": "WebIdentityUser", "principalId": fmt.Sprintf("%s:%s:%s", c.issuer, c.audience, c.subject), "userName": c.subject, "identityProvider": c.issuer}
	}
	a.trail(l)
}

func (a *AWS) trailSignIn(name string, s *session) {
	a.trail(trailLine{
		Source: "signin.amazonaws.com", Name: name, Type: "AwsConsoleSignIn", RecipientID: s.Account,
		Identity: map[string]any{
			"type": "AssumedRole", "principalId": s.RoleID + ":" + s.Name, "arn": s.ARN(), "accessKeyId": s.AccessKeyID,
			"sessionContext": map[string]any{"sourceIdentity": s.SourceIdentity},
		},
		Response: map[string]any{name: "Success"},
	})
}
