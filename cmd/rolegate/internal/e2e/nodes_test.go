package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// TestTwoNodesAreOne begins a sign-in on one node and ends it on the other,
// replays the answer, and ends the session on one to use it on the other.
func TestTwoNodesAreOne(t *testing.T) {
	c := newCluster(t, need(t, "ROLEGATE_TEST_POSTGRES"), 1)
	ctx := t.Context()
	b, err := formbrowser.New(oneShot)
	if err != nil {
		t.Fatal(err)
	}
	c.balancer.set(c.a.address)
	must(t, b, c.authenticate(ctx, b, c.people[0]))
	answer, ok := b.Find(formbrowser.Has("SAMLResponse"))
	if !ok {
		t.Fatalf("no SAML response at %s", b.URL)
	}
	idpPage := *b

	c.balancer.set(c.b.address)
	must(t, b, b.Submit(ctx, formbrowser.Has("SAMLResponse"), nil))
	if b.Status != http.StatusOK || b.URL.Path != "/" || !strings.Contains(b.Body, "production") {
		t.Fatalf("begun on A, ended on B: %d at %s", b.Status, b.URL)
	}
	for _, node := range []*process{c.b, c.a} {
		c.balancer.set(node.address)
		replayed := idpPage
		if err := replayed.Post(ctx, answer.Action, answer.Fields); err != nil || replayed.Status != http.StatusUnauthorized {
			t.Errorf("replayed on %s: %d %v", node.name, replayed.Status, err)
		}
		if status, body, _ := c.request(ctx, b, http.MethodGet, "/api/v1/me", ""); status != http.StatusOK || !strings.Contains(body, "person000") {
			t.Errorf("the session on %s: %d %s", node.name, status, body)
		}
	}

	session := *b
	c.balancer.set(c.a.address)
	stolen := session.Cookies(c.portal)
	must(t, b, b.Get(ctx, c.portal+"/"))
	must(t, b, b.Submit(ctx, func(f formbrowser.Form) bool { return f.Action == "/signout" }, nil))
	c.balancer.set(c.b.address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.portal+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range stolen {
		req.AddCookie(cookie)
	}
	if status, body, _ := do(req); status != http.StatusUnauthorized {
		t.Errorf("ended on A, used on B: %d %s", status, body)
	}
	if n := len(c.events(t, sqlstore.EventFilter{Action: broker.ActionSignIn, Outcome: broker.OutcomeOK})); n != 1 {
		t.Errorf("%d sign-ins are recorded", n)
	}
}

// TestNodeKilled kills a node while 200 people sign in, with answers of it on
// their way. Whoever got an answer is signed in and recorded; whoever did not
// begins again, also if it was only the answer that was lost.
func TestNodeKilled(t *testing.T) {
	const many, before, lost = 200, 50, 5
	c := newCluster(t, need(t, "ROLEGATE_TEST_POSTGRES"), many)
	ctx := t.Context()
	browsers := make([]*formbrowser.Browser, many)
	answered := make(chan int, many)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var broken []int
	for n := range many {
		wg.Go(func() {
			b, err := c.signIn(ctx, c.people[n])
			if err == nil {
				browsers[n] = b
				answered <- n
				return
			}
			if !errors.Is(err, errUnanswered) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			broken = append(broken, n)
		})
	}
	for range before {
		<-answered
	}
	answers := c.balancer.hold(t, c.b.address)
	for end := time.Now().Add(2 * time.Minute); answers.waiting.Load() < lost; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the node answers nobody")
		}
	}
	c.b.kill()
	answers.lose()
	atKill := before + len(answered)
	wg.Wait()
	recorded := map[string]bool{}
	for _, e := range c.events(t, sqlstore.EventFilter{Action: broker.ActionSignIn, Outcome: broker.OutcomeOK}) {
		recorded[e.Username] = true
	}
	count := 0
	for n, b := range browsers {
		if b == nil {
			continue
		}
		count++
		if !recorded[c.people[n].Username] {
			t.Errorf("%s was answered, and the event is lost", c.people[n].Username)
		}
		if status, body, _ := c.request(ctx, b, http.MethodGet, "/api/v1/me", ""); status != http.StatusOK || !strings.Contains(body, c.people[n].Username) {
			t.Errorf("%s was answered, and the session is lost: %d %s", c.people[n].Username, status, body)
		}
	}
	for _, n := range broken {
		if b, err := c.signIn(ctx, c.people[n]); err != nil {
			t.Errorf("%s again: %v\n%.500s", c.people[n].Username, err, b.Body)
		}
	}
	t.Logf("%d sign-ins at once, node killed after %d answers: %d answered, %d broke off and all were repeated", many, atKill, count, len(broken))
	if count+len(broken) != many || len(broken) == 0 {
		t.Errorf("%d answered and %d broken of %d: the kill has to come in between", count, len(broken), many)
	}
}

// TestNodesHoldTheSameKeys starts a node without keys, one with others, one
// that is a rotation ahead, and one that is behind.
func TestNodesHoldTheSameKeys(t *testing.T) {
	c := newCluster(t, need(t, "ROLEGATE_TEST_POSTGRES"), 1)
	beside := func(name string) string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(dir, os.DirFS(c.dir)); err != nil {
			t.Fatal(err)
		}
		keys, err := filepath.Glob(filepath.Join(dir, "certs", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if err := os.Chmod(k, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	ready := func(p *process, want int, says string) {
		t.Helper()
		var status int
		var body string
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			if status, body, _ = get(t.Context(), p.url()+"/readyz"); status == want {
				break
			}
		}
		if status != want || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s, want %d %q", p.name, status, body, want, says)
		}
	}
	ready(c.a, http.StatusOK, "")
	ready(c.b, http.StatusOK, "")

	empty := beside("empty")
	if err := os.RemoveAll(filepath.Join(empty, "certs")); err != nil {
		t.Fatal(err)
	}
	if p, said := c.try(t, "empty", empty); p != nil || !strings.Contains(said, "rolegate keys new") {
		t.Errorf("a node without keys: %v\n%s", p, said)
	}
	if _, err := os.Stat(filepath.Join(empty, "certs")); err == nil {
		t.Error("a node without keys has made some")
	}

	stranger := &cluster{dir: empty}
	stranger.run(t, "keys", "new")
	ready(c.start(t, "stranger", empty), http.StatusServiceUnavailable, "aws-saml.")
	ready(c.a, http.StatusOK, "") // those who were there first stay
	ready(c.b, http.StatusOK, "")

	ahead := &cluster{dir: beside("ahead")}
	ahead.run(t, "keys", "rotate", "aws-saml")
	third := c.start(t, "ahead", ahead.dir)
	ready(third, http.StatusOK, "")
	ready(c.a, http.StatusServiceUnavailable, "aws-saml.")
	again := c.start(t, "again", ahead.dir)
	ready(again, http.StatusOK, "")
	if got := fetch(t, again.url()+"/aws/saml/metadata"); got != fetch(t, third.url()+"/aws/saml/metadata") {
		t.Error("two nodes with the same keys publish different metadata")
	}
}
