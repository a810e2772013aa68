package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/static"
	"github.com/rolegate/rolegate/templates"
)

const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}javascript:alert(3)`

// hostileHouse has hostile strings wherever configuration, claims or a request
// can put one.
func hostileHouse(t *testing.T) *house {
	h := newHouse(t, other(func(p *brokertest.Parts) {
		for i := range p.Providers {
			p.Providers[i].Name = hostile
		}
	}))
	auth := h.saml.auth
	h.saml.auth = func() broker.Authentication {
		a := auth()
		a.Subject.ID = hostile
		a.Claims = broker.Claims{"username": {hostile}, "email": {hostile}, "unverified": {hostile}, "groups": {hostile}, "name": {hostile}}
		return a
	}
	x := assignment("111122223333", hostile, hostile)
	x.ID, x.Description, x.Account.Color, x.Account.Warning, x.Account.Partition = hostile, hostile, hostile, hostile, hostile
	x.Account.Labels = map[string]string{hostile: hostile}
	x.Require.MFA = true
	h.mfa = true
	h.aws.assignments = []broker.Assignment{x}
	h.aws.rules = []broker.RuleResult{
		{Rule: hostile, Matched: true, Groups: []string{hostile}, Reason: hostile, Grants: []broker.AssignmentID{hostile}},
		{Rule: hostile, Missing: []string{hostile}, Reason: hostile},
	}
	return h
}

// everyPage goes through all pages and hands each to look.
func everyPage(t *testing.T, h *house, look func(name string, a answer)) {
	t.Helper()
	q := url.QueryEscape(hostile)
	look("signin", h.get("/signin?return_to="+url.QueryEscape("/"+hostile)))
	h.saml.beginErr = brokertest.ErrDown
	look("signin", h.get("/signin"))
	h.saml.beginErr = nil
	look("signin", h.post("/signin", url.Values{"email": {"x@" + hostile}, "return_to": {hostile}}))
	look("continue", h.post("/signin", url.Values{"email": {"x@example.com"}}))
	h.saml.post = true
	look("post", h.get("/signin/okta"))
	h.saml.post = false
	h.saml.unasked = true
	look("arrive", h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {hostile}}, fromElsewhere))
	h.saml.unasked = false
	h.signIn()
	look("portal", h.get("/"))
	look("portal", h.get("/?q="+q+"&page="+q+"&destination="+q+"&region="+q))
	look("access", h.get("/access"))
	look("access", h.get("/access?assignment="+q))
	look("go", h.get("/go?account="+q+"&role="+q+"&destination="+q+"&region="+q, fromElsewhere))
	ask := "/authorize?" + authorization("client_id", program.CLIClientID, "host", hostile, "state", hostile)
	look("authorize", h.get(ask))
	look("authorize", h.get("/authorize?"+authorization("host", hostile, "redirect_uri", program.RedirectPaste)))
	look("paste", h.post("/authorize", authorizationForm("answer", "yes", "host", hostile, "redirect_uri", program.RedirectPaste)))
	look("error", h.get("/authorize?client_id="+q+"&redirect_uri="+q))
	look("device", h.get("/device?user_code="+q))
	look("device", h.post("/device", url.Values{"user_code": {hostile[:30]}}))
	d := h.startDevice(hostile)
	look("device", h.post("/device", url.Values{"user_code": {d.UserCode}}))
	look("device", h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"deny"}}))
	id := string(h.aws.assignments[0].ID)
	look("credentials", h.get("/credentials?assignment="+url.QueryEscape(id)))
	look("credentials", h.post("/credentials", url.Values{"assignment": {id}}))
	look("sessions", h.get("/sessions"))
	adminPages(t, h, look)
	h.mfa, h.aws.assignments[0].Require.MFA = false, true
	h.signIn()
	look("error", h.post("/console", url.Values{"assignment": {id}, "destination": {hostile}}))
	look("error", h.get("/go?account=x&role="+q, typed))
	look("error", h.get("/"+url.PathEscape(hostile)))
	h.saml.beginErr = broker.Errorf(broker.CodeUnavailable, "%s", hostile).Fix("%s", hostile)
	look("error", h.get("/signin/okta"))
	h.saml.beginErr = nil
	h.aws.assignments = nil
	look("noroles", h.get("/"))
	h.saml.logout = &broker.Challenge{URL: "https://idp.example/slo?x=" + url.QueryEscape(hostile)}
	look("continue", h.post("/signout", nil))
	look("signedout", h.get("/saml/okta/slo?SAMLResponse=x&RelayState="+h.saml.gone.State, fromElsewhere))
	h.signIn()
	h.saml.logout = &broker.Challenge{URL: "https://idp.example/slo", Form: url.Values{hostile: {hostile}}}
	look("post", h.post("/signout", nil))
	h.signIn()
	h.saml.logoutErr = errors.New(hostile)
	look("signedout", h.post("/signout", nil))
	look("error", h.get("/saml/okta/slo?SAMLResponse="+q+"&RelayState="+q, fromElsewhere))
	h.saml.noticeErr = broker.Errorf(broker.CodeUnauthenticated, "%s", hostile).Fix("%s", hostile)
	look("error", h.post("/saml/okta/slo", url.Values{"SAMLRequest": {hostile}}, fromElsewhere))
}

// TestEveryPageIsLooked ensures that the walk leaves out no page.
func TestEveryPageIsLooked(t *testing.T) {
	assets, err := static.New()
	if err != nil {
		t.Fatal(err)
	}
	set, err := page.New(templates.FS, assets)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	everyPage(t, hostileHouse(t), func(name string, _ answer) { seen = append(seen, name) })
	factorPages(t, newHouse(t, ownFactor(t)), func(name string, _ answer) { seen = append(seen, name) })
	for _, name := range set.Names() {
		if !slices.Contains(seen, name) {
			t.Errorf("page %s is not looked at", name)
		}
	}
}

// TestHTMLInjection ensures that hostile strings never become markup, and that
// no page holds what the policy forbids anyway.
func TestHTMLInjection(t *testing.T) {
	everyPage(t, hostileHouse(t), func(name string, a answer) {
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.Header.Get("Content-Type"))
			return
		}
		scripts := 0
		tokens := html.NewTokenizer(strings.NewReader(a.body))
		for {
			kind := tokens.Next()
			if kind == html.ErrorToken {
				break
			}
			if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
				continue
			}
			tok := tokens.Token()
			if tok.Data == "script" {
				scripts++
			}
			if tok.Data == "style" || tok.Data == "iframe" || tok.Data == "object" || tok.Data == "base" {
				t.Errorf("%s: <%s>", name, tok.Data)
			}
			for _, x := range tok.Attr {
				if strings.HasPrefix(x.Key, "on") || x.Key == "style" || x.Key == "srcdoc" {
					t.Errorf("%s: <%s %s=%q>", name, tok.Data, x.Key, x.Val)
				}
				if slices.Contains([]string{"href", "src", "action", "formaction"}, x.Key) &&
					!strings.HasPrefix(x.Val, "/") && x.Val != "#main" && !strings.HasPrefix(x.Val, "https://idp.example/") {
					t.Errorf("%s: <%s %s=%q> leads elsewhere", name, tok.Data, x.Key, x.Val)
				}
				if x.Key == "src" && strings.Contains(x.Val, "alert") || x.Key == "fill" && strings.Contains(x.Val, "<") {
					t.Errorf("%s: <%s %s=%q>", name, tok.Data, x.Key, x.Val)
				}
			}
		}
		if scripts != 1 {
			t.Errorf("%s has %d scripts", name, scripts)
		}
	})
}

// TestAccessibleMarkup ensures what WCAG 2.2 asks of each page's structure:
// language and title, one h1, the skip link's target, headings without gaps, a
// label for each field, a name for each button and link, ids that are unique.
func TestAccessibleMarkup(t *testing.T) {
	look := func(name string, a answer) {
		doc, err := html.Parse(strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		ids, labels, last := map[string]int{}, map[string]bool{}, 0
		for n := range doc.Descendants() {
			if n.Data == "label" {
				labels[attr(n, "for")] = true
			}
		}
		h1 := 0
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if id := attr(n, "id"); id != "" {
				if ids[id]++; ids[id] > 1 {
					t.Errorf("%s: id %q is not unique", name, id)
				}
			}
			switch n.Data {
			case "html":
				if attr(n, "lang") != "en" {
					t.Errorf("%s has no language", name)
				}
			case "title":
				if strings.TrimSpace(text(n)) == "· rolegate" {
					t.Errorf("%s has no title", name)
				}
			case "h1", "h2", "h3", "h4":
				level := int(n.Data[1] - '0')
				if level == 1 {
					h1++
				}
				if level > last+1 {
					t.Errorf("%s: %s after h%d", name, n.Data, last)
				}
				last = level
			case "input", "select", "textarea":
				if attr(n, "type") != "hidden" && !labels[attr(n, "id")] {
					t.Errorf("%s: field %q has no label", name, attr(n, "name"))
				}
			case "button", "a":
				if strings.TrimSpace(text(n)) == "" {
					t.Errorf("%s: <%s> has no name", name, n.Data)
				}
			case "img":
				if !slices.ContainsFunc(n.Attr, func(x html.Attribute) bool { return x.Key == "alt" }) {
					t.Errorf("%s: image without alt", name)
				}
			}
		}
		if h1 != 1 || ids["main"] != 1 {
			t.Errorf("%s: %d h1, %d main", name, h1, ids["main"])
		}
	}
	everyPage(t, newHouse(t), look)
	everyPage(t, hostileHouse(t), look)
}

func attr(n *html.Node, key string) string {
	for _, x := range n.Attr {
		if x.Key == key {
			return x.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// many makes n roles in n/4 accounts.
func many(n int) []broker.Assignment {
	out := make([]broker.Assignment, n)
	for i := range out {
		out[i] = assignment(fmt.Sprintf("%012d", 100000000000+i/4), fmt.Sprintf("account-%04d", i/4), []string{"Admin", "Developer", "Operator", "ReadOnly"}[i%4])
		out[i].Account.Labels = map[string]string{"env": []string{"production", "staging"}[i/4%2], "team": fmt.Sprint("team-", i%7)}
		out[i].Description = "What people do with it"
	}
	return out
}

var rowPattern = regexp.MustCompile(`name="assignment" value="([^"]+)"`)

// TestSearchAndPaging ensures what a search finds, without script, and that a
// page never lists more than its size.
func TestSearchAndPaging(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.aws.assignments = many(5000)
	for _, row := range []struct {
		query string
		rows  int
		say   string
	}{
		{"", 50, "5000 roles. Showing 1 to 50."},
		{"page=100", 50, "Showing 4951 to 5000."},
		{"page=101", 0, "5000 roles"},
		{"page=999999999", 0, "5000 roles"},
		{"page=-1", 50, "Showing 1 to 50."},
		{"q=account-0007", 4, "4 of 5000 roles match."},
		{"q=ACCOUNT-0007+admin", 1, "1 of 5000 roles match."},
		{"q=100000000007", 4, "4 of 5000"},
		{"q=env%3DProduction", 50, "2500 of 5000 roles match."},
		{"q=team-3+staging+read", 50, "89 of 5000"},
		{"q=nothing", 0, "Nothing matches"},
		{"q=Ä", 0, "Nothing matches"},
		{"q=" + strings.Repeat("x", 300), 50, "5000 roles"},
	} {
		t.Run(row.query, func(t *testing.T) {
			a := h.get("/?"+row.query).want(t, http.StatusOK, row.say)
			if got := len(rowPattern.FindAllString(a.body, -1)); got != row.rows {
				t.Errorf("%d rows, want %d", got, row.rows)
			}
		})
	}
	t.Run("every role is on exactly one page", func(t *testing.T) {
		h.aws.assignments = many(250)
		seen := map[string]bool{}
		next := "/"
		for next != "" {
			a := h.get(next).want(t, http.StatusOK)
			for _, m := range rowPattern.FindAllStringSubmatch(a.body, -1) {
				if seen[m[1]] {
					t.Errorf("%s twice", m[1])
				}
				seen[m[1]] = true
			}
			_, after, ok := strings.Cut(a.body, `rel="prev"`)
			if !ok {
				after = a.body
			}
			next = ""
			if m := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(after); m != nil {
				next = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		if len(seen) != 250 {
			t.Errorf("%d roles seen", len(seen))
		}
	})
}

// TestPicker ensures that the chosen destination and region go into each row's
// form, the region only where the partition has it.
func TestPicker(t *testing.T) {
	h := newHouse(t)
	h.aws.assignments[1].Account.Partition = broker.PartitionChina
	h.signIn()
	a := h.get("/?destination=ec2%2Fhome&region=eu-west-1").want(t, http.StatusOK)
	if got := strings.Count(a.body, `name="destination" value="ec2/home"`); got != 2 {
		t.Errorf("%d rows go to EC2", got)
	}
	if got := strings.Count(a.body, `name="region" value="eu-west-1"`); got != 1 {
		t.Errorf("%d rows go to eu-west-1", got)
	}
	a = h.get("/?destination=elsewhere&region=mars-1").want(t, http.StatusOK)
	if strings.Contains(a.body, "elsewhere") || strings.Contains(a.body, "mars-1") {
		t.Error("an unknown choice is on the page")
	}
}

// TestNoRoles ensures that the page says why, with the groups that were sent
// and those that would help.
func TestNoRoles(t *testing.T) {
	h := newHouse(t)
	h.aws.assignments = nil
	h.aws.rules = []broker.RuleResult{{Rule: "admins", Missing: []string{"aws-platform"}, Reason: "no"}}
	h.signIn()
	h.get("/").want(t, http.StatusOK, "No roles yet", "alice", "staff", "aws-platform")
}

// TestAccessPage ensures that a person sees why, for all and for one role.
func TestAccessPage(t *testing.T) {
	h := newHouse(t)
	ids := []broker.AssignmentID{h.aws.assignments[0].ID, h.aws.assignments[1].ID}
	h.aws.rules = []broker.RuleResult{
		{Rule: "first rule", Matched: true, Groups: []string{"staff"}, Reason: "You are in staff.", Grants: ids[:1]},
		{Rule: "second rule", Matched: true, Reason: "Everybody.", Grants: ids[1:]},
		{Rule: "third rule", Missing: []string{"aws-finance"}, Reason: "You are not."},
	}
	h.signIn()
	h.get("/access").want(t, http.StatusOK, "first rule", "second rule", "third rule", "aws-finance", "Admin in prod", "okta/00u1")
	if strings.Contains(h.get("/access").body, "not verified") {
		t.Error("an address that counts is called unverified")
	}
	a := h.get("/access?assignment="+string(ids[0])).want(t, http.StatusOK, "Why you have Admin in prod", "first rule", "You are in staff.")
	if strings.Contains(a.body, "second rule") || strings.Contains(a.body, "third rule") {
		t.Error("rules of other roles are on the page")
	}
}

// TestUnverifiedEmailIsShown ensures that an address which nobody vouches for is
// shown as that.
func TestUnverifiedEmailIsShown(t *testing.T) {
	h := newHouse(t)
	auth := h.saml.auth
	h.saml.auth = func() broker.Authentication {
		a := auth()
		a.Claims = broker.Claims{"username": {"alice"}, "unverified": {"ceo@example.com"}, "groups": {"staff"}}
		return a
	}
	h.signIn()
	h.get("/access").want(t, http.StatusOK, "ceo@example.com (not verified: it decides nothing)")
}

// TestRegionsAreEscaped ensures that the menu of regions, which is written once
// and not by the template, is escaped like everything else.
func TestRegionsAreEscaped(t *testing.T) {
	h := newHouse(t, func(_ *house, c *web.Config) {
		c.Regions = map[broker.Partition][]string{broker.PartitionAWS: {`<b>"&`}}
	})
	h.signIn()
	h.get("/").want(t, http.StatusOK, `<optgroup label="aws"><option>&lt;b&gt;&#34;&amp;</option></optgroup>`)
}

// TestAWSProfile ensures that the page offers a profile that holds no keys,
// before any are asked for.
func TestAWSProfile(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.aws.assignments = []broker.Assignment{assignment("111122223333", "Production EU", "Admin"), assignment("111122223333", "x $(id)\n[default]", "Read+Only")}
	for i, want := range []string{
		"[profile Production-EU-Admin]\ncredential_process = rolegate credentials 111122223333 Admin\n",
		"[profile x-id-default--Read-Only]\ncredential_process = rolegate credentials 111122223333 Read&#43;Only\n",
	} {
		h.get("/credentials?assignment="+url.QueryEscape(string(h.aws.assignments[i].ID))).want(t, http.StatusOK, want)
	}
	if h.aws.assumed > 0 {
		t.Error("keys were asked for")
	}
}

// TestAttackRoleNameInTheProfile ensures that the page offers no line that runs
// what a role is called.
func TestAttackRoleNameInTheProfile(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	for _, role := range []string{"Admin$(touch x)", "Admin`id`", "a b\n[default]\"\\", "--config=x", "a;b"} {
		h.aws.assignments = []broker.Assignment{assignment("111122223333", "x", role)}
		a := h.get("/credentials?assignment=" + url.QueryEscape(string(h.aws.assignments[0].ID)))
		if a.want(t, http.StatusOK); strings.Contains(a.body, "credential_process") {
			t.Errorf("%q: %s", role, a.body)
		}
	}
}
