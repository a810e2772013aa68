package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// database is a PostgreSQL of the test's own, to be stopped.
type database struct {
	dir string
	pid int
}

const peerScripts = "../../../../.ci/peers/"

func newDatabase(t *testing.T) *database {
	t.Helper()
	need(t, "ROLEGATE_TEST_POSTGRES") // where one is, there is the program
	dir, err := os.MkdirTemp("", "rolegate-pg")
	if err != nil {
		t.Fatal(err)
	}
	d := &database{dir: dir}
	t.Cleanup(func() {
		if out, err := exec.Command("bash", peerScripts+"stop.sh", dir).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		_ = os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	d.start(t)
	return d
}

func (d *database) start(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", peerScripts+"postgresql/start.sh", d.dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if d.pid, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
		t.Fatal(err)
	}
}

// stop is an immediate shutdown: no checkpoint, connections cut.
func (d *database) stop(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(d.pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(d.dir, "data", "postmaster.pid")); os.IsNotExist(err) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("PostgreSQL does not stop")
		}
	}
}

func (d *database) dsn(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, "dsn"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// answer is one of those that the load got.
type answer struct {
	begin, end time.Time
	what       string
	status     int
	key        string // access key id of released credentials
	retryAfter string
}

// answers are those of one load.
type answers struct {
	mu  sync.Mutex
	all []answer
}

func (l *answers) note(a answer, header http.Header) {
	a.end, a.retryAfter = time.Now(), header.Get("Retry-After")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
}

// await waits until the load has got answers to so much of what it asked after begin.
func (l *answers) await(t *testing.T, begin time.Time, want int) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		l.mu.Lock()
		n := 0
		for _, a := range l.all {
			if a.begin.After(begin) {
				n++
			}
		}
		l.mu.Unlock()
		if n >= want {
			return
		}
	}
	t.Fatal("the load gets no answers")
}

// load asks for credentials and sign-ins, from several people, until done.
func (c *cluster) load(t *testing.T, l *answers, sessions []*formbrowser.Browser, assignment string, done <-chan struct{}) {
	ctx := t.Context()
	var wg sync.WaitGroup
	for n, b := range sessions {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond): // a pause, as people make
				}
				a := answer{begin: time.Now(), what: "credentials"}
				status, body, header := c.request(ctx, b, http.MethodPost, "/api/v1/role-credentials", fmt.Sprintf(`{"assignment":%q,"duration_seconds":900}`, assignment))
				var got struct {
					AccessKeyID string `json:"access_key_id"`
				}
				if status == http.StatusOK && json.Unmarshal([]byte(body), &got) == nil {
					a.key = got.AccessKeyID
				}
				a.status = status
				l.note(a, header)
				if n%2 == 0 {
					a := answer{begin: time.Now(), what: "sign-in"}
					fresh, err := c.signIn(ctx, c.people[n])
					if fresh == nil {
						t.Error(err)
						return
					}
					a.status = fresh.Status
					l.note(a, fresh.Header)
				}
			}
		})
	}
	wg.Wait()
}

// TestDatabaseOutage stops PostgreSQL under load and starts it again.
// ROLEGATE_TEST_OUTAGE is how long it is away.
func TestDatabaseOutage(t *testing.T) {
	length := 3 * time.Second
	if v := os.Getenv("ROLEGATE_TEST_OUTAGE"); v != "" {
		var err error
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	d := newDatabase(t)
	const people = 8
	c := newCluster(t, d.dsn(t), people)
	var sessions []*formbrowser.Browser
	for _, p := range c.people {
		b, err := c.signIn(t.Context(), p)
		must(t, b, err)
		sessions = append(sessions, b)
	}
	f, ok := sessions[0].Find(formbrowser.Has("assignment"))
	if !ok {
		t.Fatal("no role")
	}
	load, done, over := &answers{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		c.load(t, load, sessions, f.Fields.Get("assignment"), done)
	}()
	load.await(t, time.Time{}, 10)
	stopping := time.Now()
	d.stop(t)
	stopped := time.Now()
	time.Sleep(length) // the outage itself
	load.await(t, stopped, 10)
	if status, _, header := get(t.Context(), c.a.url()+"/readyz"); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("readyz says %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	if status, _, _ := get(t.Context(), c.a.url()+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz says %d", status)
	}
	starting := time.Now()
	d.start(t)
	started := time.Now()
	load.await(t, started, 100)
	close(done)
	<-over
	if !c.a.running() || !c.b.running() {
		t.Error("a node has ended")
	}
	judgeOutage(t, c, load.all, stopping, stopped, starting, started)
}

// judgeOutage holds the answers against the events and prints the numbers.
func judgeOutage(t *testing.T, c *cluster, all []answer, stopping, stopped, starting, started time.Time) {
	t.Helper()
	recorded := map[string]bool{}
	for _, e := range c.events(t, sqlstore.EventFilter{Action: broker.ActionCredentials, Outcome: broker.OutcomeOK}) {
		recorded[e.Detail["access_key_id"]] = true
	}
	var released, before, after, during, unrecorded int
	var slowest, back time.Duration
	statuses := map[int]int{}
	for _, a := range all {
		if a.key != "" {
			released++
			if !recorded[a.key] {
				unrecorded++
				t.Errorf("%s was released without an event", a.key)
			}
		}
		good := a.key != "" || a.what == "sign-in" && a.status == http.StatusOK
		switch {
		case a.begin.After(stopped) && a.end.Before(starting):
			during++
			statuses[a.status]++
			slowest = max(slowest, a.end.Sub(a.begin))
			if a.status != http.StatusServiceUnavailable || a.retryAfter == "" {
				t.Errorf("%s while the database was away: %d, Retry-After %q", a.what, a.status, a.retryAfter)
			}
		case good && a.end.Before(stopping):
			before++
		case good && a.end.After(started):
			if after == 0 || a.end.Sub(started) < back {
				back = a.end.Sub(started)
			}
			after++
		case !good && (a.begin.Before(stopping) && a.end.Before(stopping) || a.begin.After(started)):
			t.Errorf("%s %d at %s after the start", a.what, a.status, a.end.Sub(started))
		}
	}
	t.Logf("database away for %s: %d answers before; while away %d answers, by status %v, slowest %s; %d answers after, the first %s after it was back; %d credentials released in all, %d without an event",
		starting.Sub(stopped).Round(10*time.Millisecond), before, during, statuses, slowest.Round(time.Millisecond), after, back.Round(time.Millisecond), released, unrecorded)
	if before == 0 || during == 0 || after == 0 || released == 0 {
		t.Error("there has to be load before, while and after")
	}
}
