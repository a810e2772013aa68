package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestAttackSessionRowInTheDatabase ensures, with the real store and key, that a
// session that somebody wrote to is none: the person has to sign in again, and
// then can.
func TestAttackSessionRowInTheDatabase(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(row *broker.SessionRow, before broker.SessionRow)
	}{
		{"changed", func(row *broker.SessionRow, _ broker.SessionRow) { row.Body[len(row.Body)-1] ^= 1 }},
		{"swapped", func(row *broker.SessionRow, before broker.SessionRow) { row.Body = before.Body }},
		{"unsealed", func(row *broker.SessionRow, _ broker.SessionRow) {
			row.Body, _ = json.Marshal(map[string]any{"identity": broker.Identity{
				Subject: row.Subject, Username: "alice", Groups: []string{"corporate-group-0000"}, MFA: true,
			}, "session_name": "alice@example.com", "source_identity": "alice"})
		}},
		{"longer", func(row *broker.SessionRow, _ broker.SessionRow) { row.ExpiresAt = row.ExpiresAt.AddDate(1, 0, 0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.signIn()
			rows := w.rows()
			before := rows[0]
			delete(w.cookies, "__Host-rolegate_session")
			w.signIn()
			row := w.rows()[1]
			if row.Key == before.Key {
				t.Fatal("there is one session: the test shows nothing")
			}
			for _, secret := range []string{"corporate-group", "alice@example.com"} {
				if strings.Contains(string(row.Body), secret) {
					t.Errorf("%s is in the body in the clear", secret)
				}
			}
			if resp := w.do(http.MethodGet, "/", nil); resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d before the attack", resp.StatusCode)
			}
			tt.change(&row, before)
			if err := w.Store.SaveSession(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			resp := w.do(http.MethodGet, "/", nil)
			if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(resp.Header.Get("Location"), "/signin") {
				t.Errorf("status %d to %q", resp.StatusCode, resp.Header.Get("Location"))
			}
			w.signIn()
			if resp := w.do(http.MethodGet, "/", nil); resp.StatusCode != http.StatusOK {
				t.Errorf("status %d after another sign-in", resp.StatusCode)
			}
		})
	}
}

// rows are the sessions in the store, oldest first.
func (w *world) rows() []broker.SessionRow {
	w.Helper()
	rows, err := w.Store.FindSessions(w.Context(), broker.SessionFilter{Provider: "corp"})
	if err != nil || len(rows) == 0 {
		w.Fatal(len(rows), err)
	}
	return rows
}
