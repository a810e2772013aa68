package aws

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// session is what a session token says: all that the console page and
// GetCallerIdentity know of a person.
type session struct {
	Account        string            `json:"account"`
	Partition      string            `json:"partition"`
	Role           string            `json:"role"`
	RoleID         string            `json:"role_id"`
	Name           string            `json:"name"`
	SourceIdentity string            `json:"source_identity,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	AccessKeyID    string            `json:"access_key_id"`
	Issued         time.Time         `json:"issued"`
	Expires        time.Time         `json:"expires"`
	Chained        bool              `json:"chained,omitempty"` // by AssumeRole from temporary credentials

	secret string
}

// ARN is the assumed-role ARN.
func (s *session) ARN() string {
	return fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", s.Partition, s.Account, s.Role, s.Name)
}

// STS returns the handler of the STS endpoint.
func (a *AWS) STS() http.Handler { return http.HandlerFunc(a.serveSTS) }

func (a *AWS) serveSTS(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 512<<10)
	id := randomHex(16)
	w.Header().Set("x-amzn-RequestId", id)
	w.Header().Set("Content-Type", "text/xml")
	answer, err := a.call(r, id)
	if err != nil {
		var no *refusal
		if !errors.As(err, &no) {
			no = &refusal{"InternalFailure", "internal failure", http.StatusInternalServerError}
		}
		w.WriteHeader(no.status)
		writeXML(w, errorResponse{NS: stsNamespace, Type: "Sender", Code: no.code, Message: no.message, RequestID: id})
		return
	}
	writeXML(w, answer)
}

func writeXML(w http.ResponseWriter, v any) {
	_ = xml.NewEncoder(w).Encode(v) // the client went away: nobody to tell
}

type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	NS        string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func (a *AWS) call(r *http.Request, requestID string) (any, error) {
	body, form, err := readForm(r)
	action := form.Get("Action")
	takes, known := parameters[action]
	if err := a.need("sts.request", r.Method == http.MethodPost && err == nil && known && form.Get("Version") == "2011-06-15",
		refuse("InvalidAction", "Could not find operation %s", action)); err != nil {
		return nil, err
	}
	for k, v := range form.Values {
		if err := a.need("sts.unknown", len(v) == 1 && slices.Contains(takes, k), refuse("ValidationError", "parameter %s is not taken here", k)); err != nil {
			return nil, err
		}
	}
	switch action {
	case "GetCallerIdentity":
		return a.callerIdentity(r, body, requestID)
	case canary:
		return a.accessKeyInfo(r, body, form, requestID)
	}
	c, err := a.assumeRole(r.Context(), form.Values)
	if err != nil {
		return nil, err
	}
	s, token, err := c.grant(requestID)
	if err != nil {
		return nil, err
	}
	return c.answer(s, token, requestID), nil
}

// parameters of the actions. Session policies are not among them: to take one
// and not apply it would be laxer than AWS.
var parameters = map[string][]string{
	"AssumeRoleWithSAML":        {"Action", "Version", "RoleArn", "PrincipalArn", "SAMLAssertion", "DurationSeconds"},
	"AssumeRoleWithWebIdentity": {"Action", "Version", "RoleArn", "RoleSessionName", "WebIdentityToken", "ProviderId", "DurationSeconds"},
	"GetCallerIdentity":         {"Action", "Version"},
	canary:                      {"Action", "Version", "AccessKeyId"},
}

// assumeRole runs the checks of both assume calls up to the trust policy, in
// AWS's order.
func (a *AWS) assumeRole(ctx context.Context, form url.Values) (*assume, error) {
	a.mu.Lock()
	c := &assume{a: a, form: form, action: "sts:" + form.Get("Action"), now: a.o.Now(), duration: 3600}
	roleARN := form.Get("RoleArn")
	role, ok := parseARN(roleARN)
	c.role = role
	acc := a.account(role.account)
	if acc != nil {
		snapshot := *acc
		snapshot.SAMLProviders = slices.Clone(acc.SAMLProviders)
		c.acc = &snapshot
	}
	a.mu.Unlock()
	seconds, err := strconv.Atoi(form.Get("DurationSeconds"))
	hasDuration := form.Has("DurationSeconds")
	err = first(
		a.need("sts.parameters", len(roleARN) >= 20 && len(roleARN) <= 2048, refuse("ValidationError", "RoleArn has 20 to 2048 characters")),
		a.need("sts.duration", !hasDuration || err == nil && seconds >= 900 && seconds <= 43200, refuse("ValidationError", "DurationSeconds must be between 900 and 43200")),
		a.need("sts.arns", ok && role.kind == "role", refuse("ValidationError", "Request ARN is invalid")),
	)
	if err != nil {
		return nil, err
	}
	if hasDuration {
		c.duration = seconds
	}
	if form.Get("Action") == "AssumeRoleWithSAML" {
		err = c.saml()
	} else {
		err = c.webIdentity(ctx)
	}
	return c, err
}

// grant evaluates role and trust policy and issues the credentials.
func (c *assume) grant(requestID string) (*session, string, error) {
	a := c.a
	denied := refuse("AccessDenied", "Not authorized to perform %s", c.action)
	c.found = c.acc.role(c.role)
	if c.found == nil && a.off["role.exists"] && c.acc != nil && len(c.acc.Roles) > 0 {
		c.found = &c.acc.Roles[0]
	}
	err := first(
		a.need("role.exists", c.found != nil, denied),
		a.need("role.reserved", !strings.HasPrefix(c.role.name, "AWSReservedSSO_"), denied),
	)
	if err != nil || c.found == nil {
		return nil, "", first(err, errUnreadable)
	}
	c.moreFacts()
	if err := a.trusts(c.found.policy, c.principal, c.action, c.facts, len(c.tags) > 0, c.sourceIdentity != ""); err != nil {
		return nil, "", err
	}
	err = first(
		a.need("role.max_duration", c.duration <= c.found.MaxSessionDuration, refuse("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")),
		a.need("sts.region", c.acc == nil || !slices.Contains(c.acc.DisabledRegions, a.o.Region), refuse("RegionDisabledException", "STS is not activated in this region for account:%s.", c.role.account)),
	)
	if err != nil {
		return nil, "", err
	}
	s, token := a.issue(c)
	a.trailAssume(c, s, requestID)
	return s, token, nil
}

func (c *assume) moreFacts() {
	c.facts["sts:rolesessionname"] = []string{c.sessionName}
	c.facts["aws:currenttime"] = []string{c.now.UTC().Format(time.RFC3339)}
	if c.sourceIdentity != "" {
		c.facts["sts:sourceidentity"] = []string{c.sourceIdentity}
	}
	if len(c.tags) > 0 {
		c.facts["aws:tagkeys"] = slices.Sorted(maps.Keys(c.tags))
		for k, v := range c.tags {
			c.facts["aws:requesttag/"+strings.ToLower(k)] = []string{v}
		}
	}
	if len(c.transitive) > 0 {
		c.facts["sts:transitivetagkeys"] = c.transitive
	}
}

// issue makes credentials that last the shortest of what was asked, what the
// assertion allows, and the identity provider's session.
func (a *AWS) issue(c *assume) (*session, string) {
	d := c.duration
	if c.shorten > 0 && c.shorten < d {
		d = c.shorten
	}
	expires := c.now.Add(time.Duration(d) * time.Second)
	if !c.until.IsZero() && c.until.Before(expires) {
		expires = c.until
	}
	s := &session{
		Account: c.role.account, Partition: c.role.partition, Role: c.role.name, RoleID: c.found.id, Name: c.sessionName,
		SourceIdentity: c.sourceIdentity, Tags: c.tags, AccessKeyID: newAccessKey(),
		Issued: c.now.UTC(), Expires: expires.UTC().Truncate(time.Second), secret: randomHex(20),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions[s.AccessKeyID] = s
	return s, a.token(s)
}

// token signs a session: JSON and its HMAC.
func (a *AWS) token(s *session) string {
	b, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	m := hmac.New(sha256.New, a.mac)
	m.Write(b)
	return base64.RawURLEncoding.EncodeToString(b) + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// readToken returns the session a token says, if the token is ours.
func (a *AWS) readToken(token string) (*session, bool) {
	body, sum, _ := strings.Cut(token, ".")
	b, err1 := base64.RawURLEncoding.DecodeString(body)
	s, err2 := base64.RawURLEncoding.DecodeString(sum)
	m := hmac.New(sha256.New, a.mac)
	m.Write(b)
	out := &session{}
	if err1 != nil || err2 != nil || !hmac.Equal(s, m.Sum(nil)) || json.Unmarshal(b, out) != nil {
		return nil, false
	}
	return out, true
}

func newAccessKey() string { return "ASIA" + strings.ToUpper(randomHex(8)) }

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand does not fail (Go 1.24)
	return fmt.Sprintf("%x", b)
}

type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type assumed struct {
	Arn           string
	AssumedRoleID string `xml:"AssumedRoleId"`
}

type samlResponse struct {
	XMLName xml.Name `xml:"AssumeRoleWithSAMLResponse"`
	NS      string   `xml:"xmlns,attr"`
	Result  struct {
		Issuer           string
		AssumedRoleUser  assumed
		Credentials      credentials
		Audience         string
		SubjectType      string
		Subject          string
		NameQualifier    string
		PackedPolicySize int
		SourceIdentity   string `xml:",omitempty"`
	} `xml:"AssumeRoleWithSAMLResult"`
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type webResponse struct {
	XMLName xml.Name `xml:"AssumeRoleWithWebIdentityResponse"`
	NS      string   `xml:"xmlns,attr"`
	Result  struct {
		Provider                    string
		SubjectFromWebIdentityToken string
		AssumedRoleUser             assumed
		Credentials                 credentials
		Audience                    string
		PackedPolicySize            int
		SourceIdentity              string `xml:",omitempty"`
	} `xml:"AssumeRoleWithWebIdentityResult"`
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

func (c *assume) answer(s *session, token, requestID string) any {
	cr := credentials{s.AccessKeyID, s.secret, token, s.Expires.Format(time.RFC3339)}
	who := assumed{s.ARN(), s.RoleID + ":" + s.Name}
	if c.action == "sts:AssumeRoleWithSAML" {
		r := samlResponse{NS: stsNamespace, RequestID: requestID}
		r.Result.Issuer, r.Result.AssumedRoleUser, r.Result.Credentials, r.Result.Audience = c.issuer, who, cr, c.audience
		r.Result.SubjectType, r.Result.Subject, r.Result.NameQualifier, r.Result.SourceIdentity = c.subjectType, c.subject, c.nameQualifier, c.sourceIdentity
		r.Result.PackedPolicySize = 1
		return r
	}
	r := webResponse{NS: stsNamespace, RequestID: requestID}
	r.Result.Provider, r.Result.SubjectFromWebIdentityToken, r.Result.AssumedRoleUser, r.Result.Credentials = c.issuer, c.subject, who, cr
	r.Result.Audience, r.Result.SourceIdentity, r.Result.PackedPolicySize = c.audience, c.sourceIdentity, 1
	return r
}
