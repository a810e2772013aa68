package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

func fromScript(r *http.Request) { r.Header.Set("X-Requested-With", "fetch") }

// TestFavourites ensures that a star comes on and off with and without script,
// stays on the page it was on, and leads nowhere else.
func TestFavourites(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id := string(h.aws.assignments[1].ID)
	h.get("/").want(t, http.StatusOK, `aria-pressed="false"><span class="vh">Favourite: ReadOnly in test`).wantNot(t, "Favourites")
	h.post("/favourites", url.Values{"assignment": {id}, "on": {"1"}, "return_to": {"/?q=test"}}).wantLocation(t, "/?q=test")
	h.get("/").want(t, http.StatusOK, `<h2 id="favourites">Favourites</h2>`, `aria-pressed="true"><span class="vh">Favourite: ReadOnly in test`)
	h.get("/?q=test").want(t, http.StatusOK, `aria-pressed="true"`).wantNot(t, "<h2 id=\"favourites\"")
	h.post("/favourites", url.Values{"assignment": {id}, "on": {"0"}}, fromScript).want(t, http.StatusNoContent)
	h.get("/").want(t, http.StatusOK).wantNot(t, "Favourites")
	h.post("/favourites", url.Values{"assignment": {id}, "on": {"1"}, "return_to": {"https://evil.example/"}}).wantLocation(t, "/")
	h.post("/favourites", url.Values{"assignment": {"foreign"}, "on": {"1"}}).want(t, http.StatusForbidden)
	h.post("/favourites", url.Values{"assignment": {strings.Repeat("a", 300)}}).want(t, http.StatusBadRequest)
}

// TestUsedLately ensures that roles that were used come first on the page.
func TestUsedLately(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.get("/").wantNot(t, "Used lately")
	h.post("/console", url.Values{"assignment": {string(h.aws.assignments[0].ID)}}).wantLocation(t, awsLink)
	h.get("/").want(t, http.StatusOK, `<h2 id="recent">Used lately</h2>`, `<b>Admin</b> <span>prod</span>`)
}

// TestGroupBy ensures that accounts can be grouped by a label, those without it
// last, and that search and pages keep the choice.
func TestGroupBy(t *testing.T) {
	h := newHouse(t)
	for i, env := range []string{"production", "development", ""} {
		x := assignment("00000000000"+string(rune('1'+i)), "a"+string(rune('1'+i)), "R")
		if env != "" {
			x.Account.Labels = map[string]string{"env": env, "team": "core"}
		}
		if i == 0 {
			h.aws.assignments = nil
		}
		h.aws.assignments = append(h.aws.assignments, x)
	}
	h.signIn()
	h.get("/").want(t, http.StatusOK, "<option>env</option>", "<option>team</option>").wantNot(t, "<h2>env: ")
	body := h.get("/?group=env").want(t, http.StatusOK, `<option selected>env</option>`, `<h3 class="an">a1</h3>`).body
	order := []int{strings.Index(body, "<h2>env: development</h2>"), strings.Index(body, "<h2>env: production</h2>"), strings.Index(body, "<h2>env: without a label</h2>")}
	if order[0] < 0 || order[1] < order[0] || order[2] < order[1] {
		t.Errorf("groups at %v", order)
	}
	h.get("/?group=env&q=core").want(t, http.StatusOK, "<h2>env: development</h2>", "2 of 3 roles match.").wantNot(t, "without a label")
	h.get("/?group=made-up").want(t, http.StatusOK).wantNot(t, "made-up: ")
}

// TestRenewal ensures that a session that is about to end says so, and how to go
// on.
func TestRenewal(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.get("/").want(t, http.StatusOK, `id="renew" data-ends="2026-11-24T10:00:00Z" hidden>`, `<a href="/signin/okta">Stay signed in</a>`)
	for range 12 { // kept in use until near its absolute end
		h.clock = h.clock.Add(49 * time.Minute)
		h.get("/").want(t, http.StatusOK)
	}
	h.get("/").want(t, http.StatusOK, `id="renew" data-ends="2026-11-24T19:00:00Z">`)
}

// TestDeniedDeepLinkSaysWhatWouldGive ensures that the page of a role that one
// lacks names the rule and the group.
func TestDeniedDeepLinkSaysWhatWouldGive(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.aws.missing = []broker.RuleResult{{Rule: "roots", Missing: []string{"aws-root"}}}
	h.get("/go?account=prod&role=Root", typed).want(t, http.StatusForbidden, "The rule &#34;roots&#34; gives it to members of aws-root.")
}

func (a answer) wantNot(t testing.TB, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(a.body, p) {
			t.Errorf("the page holds %q", p)
		}
	}
}
