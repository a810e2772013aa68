package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/mfa"
	"github.com/rolegate/rolegate/broker/web"
)

// ownFactor gives the people of okta rolegate's own factor.
func ownFactor(t testing.TB) func(*house, *web.Config) {
	return func(h *house, c *web.Config) {
		passkeys, err := mfa.NewPasskeys(mfa.Config{PublicURL: h.public})
		if err != nil {
			t.Fatal(err)
		}
		h.parts(c, func(p *brokertest.Parts) {
			p.Passkeys, p.Codes = passkeys, mfa.NewCodes("rolegate", nil)
			p.Providers[0].MFA.Own, p.Providers[0].MFA.EnrolUntil = broker.OwnFactorRequired, h.clock.Add(time.Hour)
		})
	}
}

// field returns the value of an input, or the text of the element with the id.
func field(t testing.TB, body, name string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		got := map[string]string{}
		for _, a := range n.Attr {
			got[a.Key] = a.Val
		}
		if n.Data == "input" && got["name"] == name {
			return got["value"]
		}
		if got["id"] == name && n.FirstChild != nil {
			return n.FirstChild.Data
		}
	}
	t.Fatalf("no %s in\n%s", name, body)
	return ""
}

// factorPages walks through the pages of rolegate's own factor, without script.
func factorPages(t *testing.T, h *house, look func(name string, a answer)) {
	t.Helper()
	h.mfa = false
	h.signIn()
	look("security", h.get("/security"))
	look("portal", h.get("/"))
	look("enrol", h.get("/mfa/enrol?return_to="+url.QueryEscape("/access?x="+hostile)))
	a := h.post("/mfa/enrol/code", url.Values{"name": {hostile}})
	look("enrolcode", a)
	id, key := field(t, a.body, "id"), strings.ReplaceAll(field(t, a.body, "key"), " ", "")
	a = h.post("/mfa/enrol/code/confirm", url.Values{"id": {id}, "name": {hostile}, "code": {hostile}})
	look("enrolcode", a)
	code, err := totp.GenerateCode(key, h.clock)
	if err != nil {
		t.Fatal(err)
	}
	look("recovery", h.post("/mfa/enrol/code/confirm", url.Values{"id": {id}, "name": {hostile}, "code": {code}}))
	look("security", h.get("/security"))
	look("factor", h.get("/mfa?return_to="+url.QueryEscape(hostile)))
	look("factor", h.post("/mfa", url.Values{"code": {hostile}}))
	look("factor", h.post("/mfa/passkey", url.Values{"id": {hostile}, "answer": {hostile}}))
}

// enrolled signs in as a person with a second factor of rolegate's, whose codes
// the function it returns gives.
func (h *house) enrolled() func() string {
	h.t.Helper()
	h.mfa = false
	h.signIn()
	a := h.post("/mfa/enrol/code", url.Values{"name": {"phone"}})
	id, key := field(h.t, a.body, "id"), strings.ReplaceAll(field(h.t, a.body, "key"), " ", "")
	code := func() string {
		c, err := totp.GenerateCode(key, h.clock)
		if err != nil {
			h.t.Fatal(err)
		}
		return c
	}
	h.post("/mfa/enrol/code/confirm", url.Values{"id": {id}, "name": {"phone"}, "code": {code()}}).want(h.t, http.StatusOK)
	h.clock = h.clock.Add(time.Minute)
	h.signIn()
	return code
}

// TestFactorPages ensures that the pages work without script from enrolment to
// removal, that the session's token changes at each proof, that hostile names
// stay text, and that the answer leads back to the click.
func TestFactorPages(t *testing.T) {
	h := newHouse(t, ownFactor(t))
	factorPages(t, h, func(name string, a answer) {
		if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d\n%s", name, a.StatusCode, a.body)
		}
		if strings.Contains(a.body, "<script>") || strings.Contains(a.body, "<img src=x") {
			t.Errorf("%s holds hostile markup", name)
		}
	})
	h.clock = h.clock.Add(time.Minute)
	h.signIn()
	before := h.cookies["__Host-rolegate_session"].Value
	a := h.get("/mfa/enrol")
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/mfa?") {
		t.Errorf("enrolment without the existing factor: %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	var kept struct{ Secret string }
	for _, r := range h.store.AllFactors() {
		if r.Kind == broker.FactorCode {
			h.opened(r.Body, "factor/otp/"+r.ID+"/"+r.Subject.String(), &kept)
		}
	}
	code, err := totp.GenerateCode(kept.Secret, h.clock)
	if err != nil {
		t.Fatal(err)
	}
	a = h.post("/mfa", url.Values{"code": {code}, "return_to": {"/access"}})
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/access" {
		t.Errorf("use: %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	if h.cookies["__Host-rolegate_session"].Value == before {
		t.Error("the session kept its token")
	}
	a = h.post("/mfa/remove", url.Values{"factor": {h.store.AllFactors()[0].ID}})
	if a.StatusCode != http.StatusSeeOther || len(h.store.AllFactors()) != 0 {
		t.Errorf("removal: %d, %d factors left", a.StatusCode, len(h.store.AllFactors()))
	}
}
