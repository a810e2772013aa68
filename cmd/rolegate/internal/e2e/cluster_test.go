package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sandbox/aws"
	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// cluster is two processes of the built program on one PostgreSQL behind a TCP
// balancer, with an identity provider and an AWS double that know the balancer
// only.
type cluster struct {
	dir, portal, dsn string
	a, b             *process
	balancer         *balancer
	provider         *idp.SAML
	double           *aws.AWS
	people           []idp.Person
}

// process is a running rolegate.
type process struct {
	name, address string
	cmd           *exec.Cmd
	exited        chan struct{}
}

// newSchema makes an empty schema that goes when the test ends.
func newSchema(t *testing.T, base string) string {
	t.Helper()
	db, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	name := "e_" + strings.ToLower(rand.Text())
	if _, err := db.ExecContext(t.Context(), `create schema `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), `drop schema `+name+` cascade`); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	return base + "&search_path=" + name
}

func newCluster(t *testing.T, base string, people int) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), dsn: newSchema(t, base)}
	for n := range people {
		name := fmt.Sprintf("person%03d", n)
		c.people = append(c.people, idp.Person{Username: name, Password: name + "-demo", Name: name, Email: name + "@example.com", Groups: []string{"aws-developers"}})
	}
	c.balancer = newBalancer(t)
	c.portal = local(c.balancer.l)
	var err error
	if c.double, err = aws.New(aws.Options{}); err != nil {
		t.Fatal(err)
	}
	sts := httptest.NewServer(c.double.STS())
	t.Cleanup(sts.Close)
	idpServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.provider.Handler().ServeHTTP(w, r) }))
	t.Cleanup(idpServer.Close)
	if c.provider, err = idp.NewSAML(idp.SAMLOptions{BaseURL: idpServer.URL, People: c.people}); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(siteConfig, "https://sso.rolegate.test", c.portal, 1) +
		fmt.Sprintf("listen: 127.0.0.1:0\nstore: %q\ninsecure_no_rate_limits: true\ninsecure_aws_endpoints: {sts: %q}\n", c.dsn, sts.URL)
	for name, content := range map[string][]byte{"idp.xml": c.provider.Metadata(), "rolegate.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(c.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.run(t, "keys", "new")
	c.a, c.b = c.start(t, "A", c.dir), c.start(t, "B", c.dir)
	c.balancer.set(c.a.address, c.b.address)
	if err := c.provider.RegisterSP([]byte(fetch(t, c.portal+"/saml/other/metadata"))); err != nil {
		t.Fatal(err)
	}
	if err := c.double.PutSAMLMetadata("rolegate", []byte(fetch(t, c.portal+"/aws/saml/metadata"))); err != nil {
		t.Fatal(err)
	}
	return c
}

func local(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP listener's address has one
	return "http://localhost:" + port
}

// run runs a subcommand to its end.
func (c *cluster) run(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), bin, append(args, "--config", filepath.Join(c.dir, "rolegate.yaml"))...).CombinedOutput()
	if err != nil {
		t.Fatalf("rolegate %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// start starts a node on the configuration of dir and waits until it serves.
func (c *cluster) start(t *testing.T, name, dir string) *process {
	t.Helper()
	p, said := c.try(t, name, dir)
	if p == nil {
		t.Fatalf("node %s did not start:\n%s", name, said)
	}
	return p
}

// try is start for a node that may refuse; then it returns what it said.
func (c *cluster) try(t *testing.T, name, dir string) (*process, string) {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), bin, "serve", "--config", filepath.Join(dir, "rolegate.yaml"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: cmd, exited: make(chan struct{})}
	address := make(chan string, 1)
	var said bytes.Buffer
	go func() {
		defer close(p.exited)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var line struct{ Msg, Listen string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
				address <- line.Listen
			}
			if said.Len() < 1<<16 {
				said.Write(append(lines.Bytes(), '\n'))
			}
		}
		_ = cmd.Wait() // how it ended is the test's own doing
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone already
		<-p.exited
	})
	select {
	case p.address = <-address:
		return p, ""
	case <-p.exited:
		return nil, said.String()
	case <-time.After(2 * time.Minute):
		t.Fatalf("node %s neither serves nor ends", name)
		return nil, ""
	}
}

func (p *process) url() string { return "http://" + p.address }

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.exited
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// events are those of the database, read beside the nodes.
func (c *cluster) events(t *testing.T, f sqlstore.EventFilter) []broker.Event {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: c.dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // only read from
	events, err := s.Events(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// balancer passes TCP connections on, in turns, to the nodes that take them.
type balancer struct {
	l    net.Listener
	turn atomic.Uint64

	mu    sync.Mutex
	nodes []string
	held  map[string]*held
}

// held are the answers of a node that is about to break.
type held struct {
	waiting atomic.Int64
	cut     chan struct{}
	lose    func() // closes cut
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{l: l, held: map[string]*held{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { b.pass(in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return b
}

// set says who gets connections from now on.
func (b *balancer) set(nodes ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = nodes
}

// hold keeps back a node's answers from now on, to lose them.
func (b *balancer) hold(t *testing.T, node string) *held {
	b.mu.Lock()
	defer b.mu.Unlock()
	cut := make(chan struct{})
	h := &held{cut: cut, lose: sync.OnceFunc(func() { close(cut) })}
	t.Cleanup(h.lose)
	b.held[node] = h
	return h
}

func (b *balancer) holding(node string) *held {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held[node]
}

// answer passes on what a node says, unless that is held back.
func (b *balancer) answer(in io.Writer, out io.Reader, node string) {
	start := make([]byte, 4096)
	n, err := out.Read(start)
	if h := b.holding(node); h != nil && n > 0 {
		h.waiting.Add(1)
		<-h.cut
		return
	}
	if _, werr := in.Write(start[:n]); err == nil && werr == nil {
		_, _ = io.Copy(in, out)
	}
}

func (b *balancer) pass(in net.Conn) {
	defer in.Close() //nolint:errcheck // both sides have ended
	b.mu.Lock()
	nodes := slices.Clone(b.nodes)
	b.mu.Unlock()
	first := b.turn.Add(1)
	for i := range nodes {
		node := nodes[(first+uint64(i))%uint64(len(nodes))]
		out, err := net.Dial("tcp", node)
		if err != nil {
			continue // a node that takes no connections gets none
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.Copy(out, in) // ends with either side
			_ = out.Close()
		})
		b.answer(in, out, node)
		_ = in.Close()
		_ = out.Close()
		wg.Wait()
		return
	}
}

func fetch(t *testing.T, address string) string {
	t.Helper()
	status, body, _ := get(t.Context(), address)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", address, status, body)
	}
	return body
}

// get returns status 0 when there was no answer.
func get(ctx context.Context, address string) (status int, body string, header http.Header) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err.Error(), nil
	}
	return do(req)
}

// oneShot makes a connection for each request, so that each is balanced.
var oneShot = &http.Transport{DisableKeepAlives: true}

func do(req *http.Request) (status int, body string, header http.Header) {
	resp, err := (&http.Client{Transport: oneShot, Timeout: 2 * time.Minute}).Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return resp.StatusCode, string(b), resp.Header
}

// errUnanswered is a sign-in that broke off; the person may begin again.
var errUnanswered = errors.New("the sign-in broke off")

// signIn signs a person in from an empty browser.
func (c *cluster) signIn(ctx context.Context, p idp.Person) (*formbrowser.Browser, error) {
	b, err := formbrowser.New(oneShot)
	if err != nil {
		return nil, err
	}
	if err := c.authenticate(ctx, b, p); err != nil {
		return b, err
	}
	if err := b.Submit(ctx, formbrowser.Has("SAMLResponse"), nil); err != nil {
		return b, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	if b.Status != http.StatusOK || b.URL.Path != "/" {
		return b, fmt.Errorf("%w: %d at %s", errUnanswered, b.Status, b.URL)
	}
	return b, nil
}

// authenticate goes as far as the form with the SAML response.
func (c *cluster) authenticate(ctx context.Context, b *formbrowser.Browser, p idp.Person) error {
	if err := b.Get(ctx, c.portal+"/signin/other"); err != nil {
		return fmt.Errorf("%w: %w", errUnanswered, err)
	}
	if b.Status != http.StatusOK {
		return fmt.Errorf("%w: %d at %s", errUnanswered, b.Status, b.URL)
	}
	return b.Submit(ctx, formbrowser.Has("username"), map[string]string{"username": p.Username, "password": p.Password})
}

// request is an API request with the browser's session.
func (c *cluster) request(ctx context.Context, b *formbrowser.Browser, method, path, body string) (status int, answer string, header http.Header) {
	req, err := http.NewRequestWithContext(ctx, method, c.portal+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error(), nil
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	for _, cookie := range b.Cookies(c.portal) {
		req.AddCookie(cookie)
	}
	return do(req)
}
