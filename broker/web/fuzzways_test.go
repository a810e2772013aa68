package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
)

// recoveryPattern is a recovery code as its page shows it.
var recoveryPattern = regexp.MustCompile(`\b[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}\b`)

// FuzzDeepLink: whatever a deep link holds, it survives the sign-in unchanged
// and opens a role only when the person themselves opened it, and only one that
// they have.
func FuzzDeepLink(f *testing.F) {
	for _, s := range [][4]string{
		{"prod", "Admin", "", ""}, {"111122223333", "admin", "ec2/home?region=eu-west-1#Instances:x=a b", "eu-west-1"}, {"prod", "Root", "", ""}, {"p&account=x", "Admin#", "%00", "\xff"},
		{"prod", "Admin", "//evil.example", ""}, {"prod", "Admin", "evil", "?"}, {"prod", "Admin", "/go?entry=direct", ""}, {"", "", "", ""}, {strings.Repeat("a", 257), "Admin", "", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3], true)
		f.Add(s[0], s[1], s[2], s[3], false)
	}
	h := newHouse(f)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, account, role, destination, region string, theirs bool) {
		again(t)
		q := url.Values{"account": {account}, "role": {role}, "destination": {destination}, "region": {region}}
		open := fromElsewhere
		if theirs {
			open = typed
		}
		a := h.get("/go?"+q.Encode(), open)
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil || a.StatusCode != http.StatusSeeOther || to.Path != "/signin" {
			t.Fatalf("not signed in: %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
		h.get("/signin/okta?"+url.Values{"return_to": {to.Query().Get("return_to")}}.Encode(), fromHere).want(t, http.StatusSeeOther)
		back := h.acs().leads()
		u, err := url.Parse(back)
		if err != nil || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") {
			t.Fatalf("led to %q", back)
		}
		if u.Path == "/go" {
			got := u.Query()
			for k, v := range q {
				if got.Get(k) != v[0] {
					t.Errorf("%s was %q and is %q", k, v[0], got.Get(k))
				}
			}
		} else if len(q.Encode()) < 2000 {
			t.Errorf("%q came back as %q", q.Encode(), back)
		}
		a = h.get(back, fromElsewhere) // the redirect comes from the identity provider
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", back, a.StatusCode)
		}
		has := slices.ContainsFunc(h.aws.assignments, func(x broker.Assignment) bool {
			return (string(x.Account.ID) == account || strings.EqualFold(x.Account.Name, account)) && strings.EqualFold(x.Role, role)
		})
		if opened := a.Header.Get("Location") == awsLink; opened && (!has || !theirs) || h.aws.assumed > 0 && !opened && destination != "evil" {
			t.Errorf("opened %t, theirs %t, theirs to open %t, %d roles assumed", opened, theirs, has, h.aws.assumed)
		}
	})
}

// FuzzBinding: no cookies bind a browser to a sign-in but the one it was given
// when that began, however good the identity provider's answer is.
func FuzzBinding(f *testing.F) {
	for _, s := range []string{
		"__Host-rolegate_signin=BINDING", "rolegate_signin=BINDING", "__Host-rolegate_signin=\"BINDING\"", "__Host-rolegate_signin=BINDING; __Host-rolegate_signin=x",
		"__Host-rolegate_signin=x; __Host-rolegate_signin=BINDING", "__Host-rolegate_session=BINDING", "__Host-rolegate_signin=", "=;;=\x00", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	h.get("/signin/okta").want(f, http.StatusSeeOther)
	binding := h.cookies["__Host-rolegate_signin"].Value
	clear(h.cookies)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, cookie string) {
		again(t)
		cookie = strings.ReplaceAll(cookie, "BINDING", binding)
		a := h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {h.saml.last.State}}, fromElsewhere, func(r *http.Request) { r.Header["Cookie"] = []string{cookie} })
		_, signedIn := h.cookies["__Host-rolegate_session"]
		if a.StatusCode >= http.StatusInternalServerError || signedIn && !strings.Contains(cookie, binding) || signedIn != (len(h.store.Sessions()) == 1) {
			t.Errorf("%q: %d, signed in %t, %d sessions", cookie, a.StatusCode, signedIn, len(h.store.Sessions()))
		}
	})
}

// FuzzLogoutMessages: no request at a logout route ends a session but one whose
// message the adapter vouches for, and none leads elsewhere than the provider's
// own address.
func FuzzLogoutMessages(f *testing.F) {
	for i := range 4 {
		for _, s := range []string{
			"SAMLRequest=GOOD&RelayState=x", "SAMLRequest=x", "SAMLResponse=x&RelayState=STATE", "SAMLRequest=GOOD&SAMLResponse=GOOD", "SAMLRequest=GOOD&SAMLRequest=x",
			"logout_token=GOOD", "logout_token=GOOD&logout_token=x", "logout_token=x", "state=STATE", "RelayState=%2F%2Fevil.example&SAMLRequest=GOOD", "%zz", "",
		} {
			f.Add(uint8(i), s)
		}
	}
	h := newHouse(f)
	known(h.saml, "alice", "i1")
	h.signIn()
	known(h.oidc, "alice", "sid-1")
	h.get("/signin/entra")
	h.get("/oidc/entra/callback?code=c&state="+h.oidc.last.State, fromElsewhere)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, which uint8, message string) {
		again(t)
		h.saml.vouches, h.oidc.vouches = "GOOD", "GOOD"
		h.saml.notice = seen(h, "r1", broker.SessionFilter{Provider: "okta", NameID: "alice", SessionIndex: "i1"})
		h.oidc.notice = seen(h, "j1", broker.SessionFilter{Provider: "entra", NameID: "alice", SessionIndex: "sid-1"})
		h.saml.answer = &broker.Challenge{URL: theirSLO + "?SAMLResponse=x"}
		sessions := len(h.store.Sessions())
		var a answer
		switch {
		case which%4 == 0 && !unsendable(message):
			a = h.get("/saml/okta/slo?"+message, fromElsewhere)
		case which%4 == 1:
			a = h.do(http.MethodPost, "/saml/okta/slo", strings.NewReader(message), fromElsewhere, header("Content-Type", "application/x-www-form-urlencoded"))
		case which%4 == 2:
			a = h.do(http.MethodPost, "/oidc/entra/backchannel-logout", strings.NewReader(message), header(withoutCookies, "1"), header("Content-Type", "application/x-www-form-urlencoded"))
		case which%4 == 3 && !unsendable(message):
			a = h.get("/oidc/entra/signed-out?"+message, fromElsewhere)
		default:
			return
		}
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", message, a.StatusCode)
		}
		if to := a.Header.Get("Location"); to != "" && !strings.HasPrefix(to, theirSLO) {
			t.Errorf("%q led to %q", message, to)
		}
		ended := sessions - len(h.store.Sessions())
		if ended > 1 || ended == 1 && !strings.Contains(message, "GOOD") {
			t.Errorf("%q ended %d sessions", message, ended)
		}
		if ok := slices.ContainsFunc(h.store.AllEvents(), func(e broker.Event) bool { return e.Action == broker.ActionLogout && e.Outcome == broker.OutcomeOK }); (ended == 1) != ok {
			t.Errorf("%q ended %d sessions with the events %v", message, ended, h.store.AllEvents())
		}
	})
}

// FuzzFactorForms: no form proves a second factor but one with a right code,
// none takes a factor away or adds one without it, and a used code is used up.
func FuzzFactorForms(f *testing.F) {
	paths := []string{"/mfa", "/mfa/passkey", "/mfa/enrol/passkey", "/mfa/enrol/code", "/mfa/enrol/code/confirm", "/mfa/remove"}
	for i := range paths {
		for _, s := range []string{
			"code=~TOTP&return_to=%2Faccess", "code=~RECOVERY", "code=000000", "code=~TOTP&code=000000", "code=%D9%A1%D9%A2%D9%A3%D9%A4%D9%A5%D9%A6", "factor=~FACTOR", "id=~CEREMONY&name=x&code=~TOTP",
			"id=x&answer=%7B%7D", "id=" + strings.Repeat("a", 200) + "&answer=" + strings.Repeat("a", 20000), "code=~TOTP&return_to=%2F%2Fevil.example", "%zz", "",
		} {
			f.Add(uint8(i), s)
		}
	}
	h := newHouse(f, ownFactor(f))
	h.mfa = false
	h.signIn()
	a := h.post("/mfa/enrol/code", url.Values{"name": {"phone"}})
	key := strings.ReplaceAll(field(f, a.body, "key"), " ", "")
	code, err := totp.GenerateCode(key, h.clock)
	if err != nil {
		f.Fatal(err)
	}
	a = h.post("/mfa/enrol/code/confirm", url.Values{"id": {field(f, a.body, "id")}, "name": {"phone"}, "code": {code}}).want(f, http.StatusOK)
	given := foreign{"~RECOVERY": recoveryPattern.FindString(a.body), "~FACTOR": h.store.AllFactors()[0].ID}
	h.clock = h.clock.Add(time.Minute)
	h.signIn() // which has not proven a factor
	if given["~TOTP"], err = totp.GenerateCode(key, h.clock); err != nil || given["~RECOVERY"] == "" {
		f.Fatal(err, a.body)
	}
	again := h.snapshot()
	for _, code := range []string{given["~TOTP"], given["~RECOVERY"]} {
		h.post("/mfa", url.Values{"code": {code}}).want(f, http.StatusSeeOther)
		again(f)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		again(t)
		before, factors := h.cookies["__Host-rolegate_session"].Value, len(h.store.AllFactors())
		path := paths[int(which)%len(paths)]
		body = given.fill(body)
		post := func() answer {
			return h.do(http.MethodPost, path, strings.NewReader(body), fromHere, header("Content-Type", "application/x-www-form-urlencoded"))
		}
		a := post()
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
		if to := a.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("%s: %q led to %q", path, body, to)
		}
		if len(h.store.AllFactors()) != factors {
			t.Errorf("%s: %q changed the factors of a session without proof", path, body)
		}
		if c := h.cookies["__Host-rolegate_session"]; c == nil || c.Value == before {
			return
		}
		form, err := url.ParseQuery(body)
		typed := strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(strings.TrimSpace(form.Get("code")))
		if err != nil || path != "/mfa" || typed != given["~TOTP"] && !strings.EqualFold(typed, strings.ReplaceAll(given["~RECOVERY"], "-", "")) {
			t.Errorf("%s: %q proved a factor", path, body)
		}
		if e := h.store.AllEvents(); len(e) != 1 || e[0].Action != broker.ActionMFAUse || e[0].Outcome != broker.OutcomeOK {
			t.Errorf("proven with the events %v", e)
		}
		proven := h.cookies["__Host-rolegate_session"].Value
		if post(); h.cookies["__Host-rolegate_session"].Value != proven {
			t.Errorf("%q was good twice", body)
		}
	})
}
