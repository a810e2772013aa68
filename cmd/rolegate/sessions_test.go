package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

// TestSessionsOnTheCommandLine lists sealed sessions of a store that a server has
// open, revokes a person's, and ensures that the server's side sees them end and
// that the event says who did it.
func TestSessionsOnTheCommandLine(t *testing.T) {
	files, err := txtar.ParseFile("testdata/sessions.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := txtar.Write(files, dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	ctx := t.Context()
	keys, err := issuer.OpenKeys("certs", issuer.OpenOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := keys.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:rolegate.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // the test is over
	j, err := journal.New(journal.Config{Events: store, State: store})
	if err != nil {
		t.Fatal(err)
	}
	book, err := session.New(session.Config{
		EnderConfig: session.EnderConfig{Store: store, List: store, Revoker: store, Journal: j},
		Sealer:      sealer, Policies: map[broker.ProviderID]broker.MFAPolicy{"corp": {}, "gone": {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, sub := range []broker.Subject{{Provider: "corp", ID: "alice-1"}, {Provider: "gone", ID: "bob-1"}} {
		id := broker.Identity{Subject: sub, Username: strings.TrimSuffix(sub.ID, "-1")}
		if err := book.Begin(ctx, &broker.Session{
			Key: broker.NewSecret(sub.ID).Hash(), Identity: id, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(time.Hour), Remote: "192.0.2.7",
		}); err != nil {
			t.Fatal(err)
		}
		if err := (session.Identities{Store: store, Sealer: sealer}).Save(ctx, id, now); err != nil {
			t.Fatal(err)
		}
	}
	rolegate := func(args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(ctx, args, func(name string) string { return map[string]string{"SUDO_USER": "oskar"}[name] }, strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs.String())
		}
		return out.String(), errs.String()
	}
	out, _ := rolegate("sessions", "list")
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, "corp/alice-1") || !strings.Contains(out, "192.0.2.7") ||
		!strings.Contains(out, "opens nothing: the provider is not configured") {
		t.Errorf("all:\n%s", out)
	}
	for _, args := range [][]string{{"sessions", "list", "alice", "--json"}, {"sessions", "list", "--provider", "corp", "--json"}} {
		out, _ = rolegate(args...)
		var rows []listedSession
		if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 || rows[0].Username != "alice" || rows[0].NoProvider {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if _, errs := rolegate("sessions", "revoke", "alice"); !strings.Contains(errs, "corp/alice-1: 1 sessions ended") {
		t.Error(errs)
	}
	if _, err := book.Live(ctx, broker.NewSecret("alice-1").Hash()); broker.CodeOf(err) != broker.CodeNotFound {
		t.Errorf("it lives: %v", err)
	}
	if _, err := book.Live(ctx, broker.NewSecret("bob-1").Hash()); err != nil {
		t.Error("somebody else's:", err)
	}
	events, err := store.Events(ctx, sqlstore.EventFilter{Action: broker.ActionRevoke})
	if err != nil || len(events) != 1 || events[0].Detail["os_user"] == "" || events[0].Detail["sudo_user"] != "oskar" ||
		events[0].Detail["sessions"] != "1" || events[0].Username != "rolegate sessions revoke" {
		t.Errorf("events %+v, %v", events, err)
	}
}

// TestSessionListIsWhole ensures that a list whose next page is lost, as the
// session that it goes on after has ended, is an error and not a shorter list.
func TestSessionListIsWhole(t *testing.T) {
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // the test is over
	now := time.Now()
	row := broker.SessionRow{
		Key: broker.NewSecret("x").Hash(), Subject: broker.Subject{Provider: "corp", ID: "alice-1"}, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	if err := store.SaveSession(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := stillThere(t.Context(), store, row.Key); err != nil {
		t.Error("it is there:", err)
	}
	if err := store.DeleteSession(t.Context(), row.Key); err != nil {
		t.Fatal(err)
	}
	if err := stillThere(t.Context(), store, row.Key); exitCode(err) != exitConflict {
		t.Errorf("it has ended: %v", err)
	}
}
