package session_test

import (
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

// thief lets programs in from a session that is not theirs, and passes on what
// they get, until none gets in any more after over is set.
func thief(t *testing.T, r *brokertest.Rig, stolen broker.Session, clients [2]program.Client, in *atomic.Int32, first func(), over *atomic.Bool) {
	sum := sha256.Sum256([]byte(brokertest.Verifier))
	ask := program.Authorize{
		ClientID: program.CLIClientID, RedirectURI: "http://127.0.0.1:1/", ResponseType: "code", State: "s",
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), ChallengeMethod: "S256",
	}
	for {
		last := over.Load()
		code, err := r.Dev.Approve(t.Context(), &stolen, ask)
		if err != nil {
			t.Error(err)
			return
		}
		set, err := r.Dev.RedeemCode(t.Context(), clients[0], code, ask.RedirectURI, broker.NewSecret(brokertest.Verifier))
		if err == nil {
			in.Add(1)
			first()
			_, err = r.Dev.Exchange(t.Context(), clients[0], set.Access, clients[1])
		}
		switch {
		case broker.CodeOf(err) != "" && broker.CodeOf(err) != broker.CodeUnauthenticated:
			t.Error(err)
			return
		case err != nil && last:
			return
		}
	}
}

// TestAttackThiefLetsProgramsIn ensures that somebody with a copy of a browser's
// cookie who lets programs in as fast as they can has none left once the person's
// other sessions, or all, have ended.
func TestAttackThiefLetsProgramsIn(t *testing.T) {
	const rounds = 50
	for _, tt := range []struct {
		name string
		keep bool
		end  func(t *testing.T, r *brokertest.Rig, mine *broker.Session) error
	}{
		{"all others ended", true, func(t *testing.T, r *brokertest.Rig, mine *broker.Session) error {
			_, err := r.People.EndOthers(t.Context(), mine)
			return err
		}},
		{"provider logout", true, func(t *testing.T, r *brokertest.Rig, _ *broker.Session) error {
			r.Hears("l"+r.Clock.String(), brokertest.Named("alice", "stolen"))
			_, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{})
			return err
		}},
		{"factors reset", false, func(t *testing.T, r *brokertest.Rig, mine *broker.Session) error {
			_, err := r.Broker().Resetter.Reset(t.Context(), "admin", mine.Identity.Subject)
			return err
		}},
		{"ended everywhere", false, func(t *testing.T, r *brokertest.Rig, mine *broker.Session) error {
			return r.People.EndEverywhere(t.Context(), mine)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := brokertest.New(t)
			other, _, err := r.Dev.RegisterClient("another program", []string{"http://127.0.0.1/"})
			if err != nil {
				t.Fatal(err)
			}
			clients := [2]program.Client{r.CLI(t), other}
			for i := range rounds {
				r.Clock = r.Clock.Add(time.Second)
				stolen, mine := r.As(t, "00u1", "alice", "stolen"), r.As(t, "00u1", "alice", "mine")
				var in atomic.Int32
				var over atomic.Bool
				begun := make(chan struct{})
				first := sync.OnceFunc(func() { close(begun) })
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() { thief(t, r, *stolen, clients, &in, first, &over) })
				}
				<-begun
				if err := tt.end(t, r, mine); err != nil {
					t.Error(err)
				}
				over.Store(true)
				wg.Wait()
				alive := live(t, r)
				if alive[mine.Key] != tt.keep {
					t.Errorf("round %d: mine is live: %t", i, alive[mine.Key])
				}
				delete(alive, mine.Key)
				if len(alive) != 0 {
					t.Fatalf("round %d: %d of %d programs live", i, len(alive), in.Load())
				}
				r.Store.DropSessions()
			}
		})
	}
}
