package portal

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/web/page"
)

// CredentialsPage asks how long, or shows keys.
type CredentialsPage struct {
	page.Meta
	Assignment broker.AssignmentID
	Account    AccountView
	Role       RoleView
	Durations  []DurationChoice
	Keys       *Keys // nil: not asked for yet
	Profile    Snippet
}

// Template names the page.
func (CredentialsPage) Template() string { return "credentials" }

// DurationChoice is how long a role session may last.
type DurationChoice struct {
	Seconds int64
	Label   string
	Chosen  bool
}

// Keys is what a person copies into a terminal. Its snippets hold the secrets
// in the clear.
type Keys struct {
	Expires  time.Time
	ARN      string
	Snippets []Snippet
}

// Snippet is the credentials for one kind of shell or file.
type Snippet struct{ ID, Name, Hint, Text string }

var durations = []time.Duration{
	15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour,
}

func (p *Portal) askCredentials(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	id := r.URL.Query().Get("assignment")
	as, err := p.c.Access.Assignments(r.Context(), sess)
	if err != nil {
		return err
	}
	for _, a := range as {
		if string(a.ID) == id {
			return p.c.Pages.Render(w, http.StatusOK, p.newCredentialsPage(sess, a, 0))
		}
	}
	return broker.Errorf(broker.CodeDenied, "You do not have this role, or not any more.").
		Fix("Go back to the portal to see the roles you have now.")
}

func (p *Portal) newCredentialsPage(sess *broker.Session, a broker.Assignment, chosen time.Duration) CredentialsPage {
	out := CredentialsPage{
		Meta:       p.meta(sess, "Credentials for "+a.Role+" in "+a.Account.Name, ""),
		Assignment: a.ID, Account: newAccountView(a.Account), Role: newRoleView(&a),
	}
	out.Profile = configProfile(a)
	if chosen == 0 {
		chosen = a.MaxDuration
	}
	for _, d := range durations {
		if d < a.MaxDuration {
			out.Durations = append(out.Durations, DurationChoice{int64(d / time.Second), page.Lasts(d), d == chosen})
		}
	}
	out.Durations = append(out.Durations, DurationChoice{
		int64(a.MaxDuration / time.Second), page.Lasts(a.MaxDuration), a.MaxDuration == chosen,
	})
	return out
}

func (p *Portal) credentials(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	id, seconds := r.PostFormValue("assignment"), 0
	if err := fields(id); err != nil {
		return err
	}
	if s := r.PostFormValue("duration"); s != "" {
		var err error
		if seconds, err = strconv.Atoi(s); err != nil || seconds < 0 || seconds > 43200 {
			return broker.Errorf(broker.CodeInvalid, "The duration is a number of seconds, 43,200 at most.")
		}
	}
	d := time.Duration(seconds) * time.Second
	rs, err := p.c.Access.AssumeRole(r.Context(), sess, access.RoleRequest{Assignment: broker.AssignmentID(id), Duration: d})
	if err != nil {
		return p.c.Door.Fail(sess, err, "/credentials?"+url.Values{"assignment": {id}}.Encode())
	}
	out := p.newCredentialsPage(sess, rs.Assignment, d)
	out.Keys = &Keys{Expires: rs.Credentials.Expiration, ARN: rs.AssumedRoleARN, Snippets: snippets(rs)}
	return p.c.Pages.Render(w, http.StatusOK, out)
}

// profileName is what the command line calls a role's profile by default.
func profileName(a broker.Assignment) string {
	return strings.Trim(profileUnsafe.ReplaceAllString(a.Account.Name+"-"+a.Role, "-"), "-")
}

// configProfile is a profile that holds no secret: AWS clients ask the command
// line for keys whenever they need some, most of them through a shell. It is
// empty for a role whose name is not fit for one, which no configuration gives.
func configProfile(a broker.Assignment) Snippet {
	out := Snippet{ID: "profile", Name: "AWS profile", Hint: "Add to ~/.aws/config: no keys in a file, fresh ones by themselves. Needs the command line and rolegate login."}
	if broker.ValidRoleName(a.Role) == nil {
		out.Text = fmt.Sprintf("[profile %s]\ncredential_process = rolegate credentials %s %s\n", profileName(a), a.Account.ID, a.Role)
	}
	return out
}

var profileUnsafe = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

func snippets(rs broker.RoleSession) []Snippet {
	c := rs.Credentials
	values := [][2]string{
		{"AWS_ACCESS_KEY_ID", c.AccessKeyID}, {"AWS_SECRET_ACCESS_KEY", c.SecretAccessKey.Reveal()}, {"AWS_SESSION_TOKEN", c.SessionToken.Reveal()},
	}
	profile := profileName(rs.Assignment)
	var bash, fish, power, file strings.Builder
	fmt.Fprintf(&file, "[%s]\n", profile)
	for _, v := range values {
		fmt.Fprintf(&bash, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
		fmt.Fprintf(&fish, "set -gx %s '%s'\n", v[0], strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(v[1]))
		fmt.Fprintf(&power, "$Env:%s = '%s'\n", v[0], strings.ReplaceAll(v[1], "'", "''"))
		fmt.Fprintf(&file, "%s = %s\n", strings.ToLower(v[0]), strings.NewReplacer("\n", "", "\r", "").Replace(v[1]))
	}
	return []Snippet{
		{"bash", "bash, zsh", "Paste into a terminal on macOS or Linux.", bash.String()},
		{"fish", "fish", "Paste into fish.", fish.String()},
		{"powershell", "PowerShell", "Paste into PowerShell.", power.String()},
		{"file", "Credentials file", "Add to ~/.aws/credentials and use --profile " + profile + ".", file.String()},
	}
}
