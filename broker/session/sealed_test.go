package session_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

// unsealed is a body as it would be without a seal, for the person of a row.
func unsealed(t *testing.T, row broker.SessionRow) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"identity":     broker.Identity{Subject: row.Subject, Username: "alice", Groups: []string{"admins"}, MFA: true},
		"session_name": "alice", "source_identity": "alice",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAttackSessionRowWritten ensures that who writes to the store can neither
// make a session nor change one: such a row is no session, and does not stand
// in the way of those that are.
func TestAttackSessionRowWritten(t *testing.T) {
	mallory := broker.NewSecret("mallory")
	tests := []struct {
		name   string
		change func(t *testing.T, row *broker.SessionRow, other broker.SessionRow)
	}{
		{"one bit of the body", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) { row.Body[len(row.Body)/2] ^= 1 }},
		{"the body cut", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) { row.Body = row.Body[:len(row.Body)-1] }},
		{"no body", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) { row.Body = nil }},
		{"a body that is not sealed", func(t *testing.T, row *broker.SessionRow, _ broker.SessionRow) { row.Body = unsealed(t, *row) }},
		{"the body of another person", func(_ *testing.T, row *broker.SessionRow, other broker.SessionRow) { row.Body = other.Body }},
		{"the row of another person under this key", func(_ *testing.T, row *broker.SessionRow, other broker.SessionRow) {
			key := row.Key
			*row = other
			row.Key = key
		}},
		{"this row under another key", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) { row.Key = mallory.Hash() }},
		{"another person in the columns", func(_ *testing.T, row *broker.SessionRow, other broker.SessionRow) { row.Subject = other.Subject }},
		{"another NameID", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) { row.NameID = "bob" }},
		{"another SessionIndex", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) { row.SessionIndex = "i9" }},
		{"a later end", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) {
			row.ExpiresAt = row.ExpiresAt.Add(time.Hour)
		}},
		{"a later beginning, after a revocation", func(_ *testing.T, row *broker.SessionRow, _ broker.SessionRow) {
			row.CreatedAt = row.CreatedAt.Add(time.Second)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			bob := r.As(t, "00u2", "bob", "i2")
			r.IdP.Auth.Subject.ID, r.IdP.Auth.NameID, r.IdP.Auth.SessionIndex, r.IdP.Auth.ReplayID = "00u1", "alice", "i1", "_9"
			out, err := r.Finish(t, r.Begin(t))
			if err != nil {
				t.Fatal(err)
			}
			alice := *out.Session
			row := r.Store.Sessions()[alice.Key]
			row.Body = bytes.Clone(row.Body)
			other := r.Store.Sessions()[bob.Key]
			r.Store.DropSessions(alice.Key)
			tt.change(t, &row, other)
			r.Store.SetSession(row)
			token := out.Token
			if row.Key == mallory.Hash() {
				token = mallory
			}
			_, err = r.Acc.Authenticate(t.Context(), token)
			brokertest.WantCode(t, "its token", broker.CodeUnauthenticated, err)
			if _, ok := r.Store.Sessions()[row.Key]; !ok {
				t.Error("the row is gone: it may be good for a node with other keys")
			}
			for _, s := range []*broker.Session{&alice, bob} {
				own, err := r.People.Own(t.Context(), s)
				if err != nil || s == bob && len(own) != 1 || s == &alice && len(own) != 0 {
					t.Errorf("%s sees %d sessions, %v", s.Identity.Subject, len(own), err)
				}
			}
			_, err = r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, &broker.Session{Key: row.Key}), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
			brokertest.WantCode(t, "a program in its name", broker.CodeUnauthenticated, err)
		})
	}
}

// TestAttackProgramRowWritten ensures the same for the session of a program,
// which may not become another's, or a browser's.
func TestAttackProgramRowWritten(t *testing.T) {
	r := brokertest.New(t)
	set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, r.SignIn(t)), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	sess, err := r.Dev.Authenticate(t.Context(), set.Access)
	if err != nil {
		t.Fatal(err)
	}
	row := r.Store.Sessions()[sess.Key]
	row.Body = unsealed(t, row)
	r.Store.SetSession(row)
	_, err = r.Dev.Authenticate(t.Context(), set.Access)
	brokertest.WantCode(t, "access token", broker.CodeUnauthenticated, err)
	_, err = r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
	brokertest.WantCode(t, "refresh token", broker.CodeUnauthenticated, err)
	family, _, _ := strings.Cut(set.Refresh.Reveal(), ".")
	_, err = r.Acc.Authenticate(t.Context(), broker.NewSecret(family))
	brokertest.WantCode(t, "as a browser", broker.CodeUnauthenticated, err)
}

// TestAttackStateWritten ensures that who writes to the store cannot make
// tokens, codes or approvals, nor move somebody else's under a name they know.
func TestAttackStateWritten(t *testing.T) {
	const theirs = "mallory-mallory-mallory-mallory-mallory-mal" // 43 characters, like a token
	hash := broker.NewSecret(theirs).Hash()
	sum := sha256.Sum256([]byte(brokertest.Verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	tests := []struct {
		name   string
		prefix string // of what alice has in the store
		record func(alice *broker.Session, key string, r *brokertest.Rig) map[string]any
		key    string // where mallory writes; "": in alice's place
		use    func(t *testing.T, r *brokertest.Rig) error
	}{
		{"access token", "token/", func(_ *broker.Session, key string, r *brokertest.Rig) map[string]any {
			return map[string]any{"session": key, "client": program.CLIClientID, "expires": r.Clock.Add(time.Hour)}
		}, "token/" + hash, func(t *testing.T, r *brokertest.Rig) error {
			_, err := r.Dev.Authenticate(t.Context(), broker.NewSecret(theirs))
			return err
		}},
		{"authorization code", "code/", func(alice *broker.Session, _ string, r *brokertest.Rig) map[string]any {
			return map[string]any{
				"client": program.CLIClientID, "redirect": "http://127.0.0.1:1/", "challenge": challenge, "source": alice.Key, "expires": r.Clock.Add(time.Minute),
			}
		}, "code/" + hash, func(t *testing.T, r *brokertest.Rig) error {
			_, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), broker.NewSecret(theirs), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
			return err
		}},
		{"device code", "device/", func(alice *broker.Session, _ string, r *brokertest.Rig) map[string]any {
			return map[string]any{
				"client": program.CLIClientID, "status": "approved", "source": alice.Key, "created": r.Clock, "expires": r.Clock.Add(time.Minute), "interval": 5,
			}
		}, "device/" + hash, func(t *testing.T, r *brokertest.Rig) error {
			_, err := r.Dev.PollDevice(t.Context(), r.CLI(t), broker.NewSecret(theirs))
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			alice := r.SignIn(t)
			set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, alice), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
			if err != nil {
				t.Fatal(err)
			}
			acting, err := r.Dev.Authenticate(t.Context(), set.Access)
			if err != nil {
				t.Fatal(err)
			}
			r.Code(t, alice)
			d, err := r.Dev.StartDevice(t.Context(), r.CLI(t), "laptop", broker.Requirement{})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Dev.DecideDevice(t.Context(), alice, d.UserCode, true); err != nil {
				t.Fatal(err)
			}
			plain, err := json.Marshal(tt.record(alice, acting.Key, r))
			if err != nil {
				t.Fatal(err)
			}
			r.Store.SetState(tt.key, plain)
			brokertest.WantCode(t, "made up", broker.CodeUnauthenticated, tt.use(t, r))
			moved := 0
			for k, v := range r.Store.State() {
				if strings.HasPrefix(k, tt.prefix) && k != tt.key {
					moved++
					r.Store.SetState(tt.key, v)
					brokertest.WantCode(t, "moved", broker.CodeUnauthenticated, tt.use(t, r))
				}
			}
			if moved == 0 {
				t.Error("there was nothing to move: the test shows nothing")
			}
		})
	}

	t.Run("user code that leads elsewhere", func(t *testing.T) {
		r := brokertest.New(t)
		alice := r.SignIn(t)
		starts := map[string]string{} // what the store keeps under the user code, by host
		var codes []string
		for _, host := range []string{"alice", "mallory"} {
			before := map[string]bool{}
			for k := range r.Store.State() {
				before[k] = true
			}
			d, err := r.Dev.StartDevice(t.Context(), r.CLI(t), host, broker.Requirement{})
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, d.UserCode)
			for k := range r.Store.State() {
				if !before[k] && strings.HasPrefix(k, "usercode/") {
					starts[host] = k
				}
			}
		}
		r.Store.SetState(starts["alice"], r.Store.State()[starts["mallory"]])
		_, err := r.Dev.FindDevice(t.Context(), alice, codes[0])
		brokertest.WantCode(t, "alice's code", broker.CodeNotFound, err)
	})

	t.Run("refresh token", func(t *testing.T) {
		r := brokertest.New(t)
		set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, r.SignIn(t)), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
		if err != nil {
			t.Fatal(err)
		}
		family, _, _ := strings.Cut(set.Refresh.Reveal(), ".")
		key := "family/" + broker.NewSecret(family).Hash()
		if _, ok := r.Store.State()[key]; !ok {
			t.Fatal("no family")
		}
		b, err := json.Marshal(map[string]any{"client": program.CLIClientID, "current": hash, "expires": r.Clock.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		r.Store.SetState(key, b)
		_, err = r.Dev.Refresh(t.Context(), r.CLI(t), broker.NewSecret(family+"."+theirs))
		brokertest.WantCode(t, "a secret of mallory's", broker.CodeUnauthenticated, err)
	})
}
