package program_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

// device starts a device code for the rolegate program.
func device(t *testing.T, r *brokertest.Rig) program.DeviceStart {
	t.Helper()
	d, err := r.Dev.StartDevice(t.Context(), r.CLI(t), "laptop", broker.Requirement{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAttackGuessUserCodesFromOneAddress ensures that people without end do not
// give tries without end.
func TestAttackGuessUserCodesFromOneAddress(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	ctx := brokertest.From(t, "192.0.2.1")
	try := func(n int) error {
		s := *sess
		s.Identity.Subject.ID = fmt.Sprint("person ", n)
		_, err := r.Dev.FindDevice(ctx, &s, "BBBB-BBBB")
		return err
	}
	for n := range 100 {
		brokertest.WantCode(t, "a wrong code", broker.CodeNotFound, try(n))
	}
	brokertest.WantCode(t, "one more, of another person", broker.CodeRateLimited, try(100))
}

// TestUserCodesAreGoodOnce ensures that a request is found while it waits and by
// the whole code, that its answer is final, and that a refusal is one.
func TestUserCodesAreGoodOnce(t *testing.T) {
	for _, tt := range []struct {
		name    string
		approve bool
		want    broker.Code
	}{
		{"approved", true, ""},
		{"denied", false, broker.CodeDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			sess, d := r.SignIn(t), device(t, r)
			for _, code := range []string{"", d.UserCode[:4], d.UserCode + "B", "BBBB-BBBB"} {
				_, err := r.Dev.FindDevice(t.Context(), sess, code)
				brokertest.WantCode(t, "the code "+code, broker.CodeNotFound, err)
				if got := broker.Message(err); got != "No sign-in is waiting under this code." {
					t.Error(got)
				}
			}
			if _, err := r.Dev.FindDevice(t.Context(), sess, strings.ToLower(d.UserCode)); err != nil {
				t.Error(err)
			}
			if err := r.Dev.DecideDevice(t.Context(), sess, d.UserCode, tt.approve); err != nil {
				t.Fatal(err)
			}
			_, err := r.Dev.FindDevice(t.Context(), sess, d.UserCode)
			brokertest.WantCode(t, "found after the answer", broker.CodeNotFound, err)
			brokertest.WantCode(t, "a second answer", broker.CodeNotFound, r.Dev.DecideDevice(t.Context(), sess, d.UserCode, !tt.approve))
			_, err = r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
			brokertest.WantCode(t, "poll", tt.want, err)
		})
	}
	r := brokertest.New(t)
	sess, d := r.SignIn(t), device(t, r)
	r.Clock = r.Clock.Add(program.DeviceCodeTTL)
	brokertest.WantCode(t, "an approval that comes too late", broker.CodeNotFound, r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true))
}

// TestAttackProgramApprovesProgram ensures that a program, which acts for a
// person, lets no other program in.
func TestAttackProgramApprovesProgram(t *testing.T) {
	r := brokertest.New(t)
	_, mine := open(t, r)
	d := device(t, r)
	brokertest.WantCode(t, "device code", broker.CodeUnauthenticated, r.Dev.DecideDevice(t.Context(), mine, d.UserCode, true))
	_, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
	brokertest.WantCode(t, "poll", broker.CodePending, err)
	set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, mine), home, broker.NewSecret(brokertest.Verifier))
	brokertest.WantCode(t, "authorization code", broker.CodeUnauthenticated, err)
	if !set.Access.IsZero() {
		t.Error("there are tokens")
	}
}

// TestDecisionUnrecorded ensures that nobody is let in when the event cannot be
// recorded.
func TestDecisionUnrecorded(t *testing.T) {
	r := brokertest.New(t)
	sess, d := r.SignIn(t), device(t, r)
	r.Store.LoseEvents(true)
	brokertest.WantCode(t, "approval", broker.CodeUnavailable, r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true))
	r.Store.LoseEvents(false)
	_, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
	brokertest.WantCode(t, "poll", broker.CodePending, err)
	r.Clock = r.Clock.Add(program.DeviceCodeTTL)
	r.Store.LoseEvents(true)
	_, err = r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
	brokertest.WantCode(t, "poll of an expired code", broker.CodeUnavailable, err)
}

// TestDecisionsMeet ensures that an answer holds when the program polls at the
// same moment, and that of two answers the first does.
func TestDecisionsMeet(t *testing.T) {
	t.Run("a poll meanwhile", func(t *testing.T) {
		r := brokertest.New(t)
		trap := r.Trap(t)
		sess, d := r.SignIn(t), device(t, r)
		trap.Once("swap", "device/", func() {
			_, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
			brokertest.WantCode(t, "the poll meanwhile", broker.CodePending, err)
		})
		if err := r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true); err != nil {
			t.Fatal(err)
		}
		r.Clock = r.Clock.Add(program.DevicePollInterval)
		if _, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode); err != nil {
			t.Error("the poll after it:", err)
		}
	})
	t.Run("a refusal meanwhile", func(t *testing.T) {
		r := brokertest.New(t)
		trap := r.Trap(t)
		sess, d := r.SignIn(t), device(t, r)
		trap.Once("swap", "device/", func() {
			if err := r.Dev.DecideDevice(t.Context(), sess, d.UserCode, false); err != nil {
				t.Error(err)
			}
		})
		brokertest.WantCode(t, "the approval", broker.CodeNotFound, r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true))
		_, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
		brokertest.WantCode(t, "poll", broker.CodeDenied, err)
	})
	t.Run("a refusal during the poll", func(t *testing.T) {
		r := brokertest.New(t)
		trap := r.Trap(t)
		sess, d := r.SignIn(t), device(t, r)
		trap.Once("swap", "device/", func() {
			if err := r.Dev.DecideDevice(t.Context(), sess, d.UserCode, false); err != nil {
				t.Error(err)
			}
		})
		_, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
		brokertest.WantCode(t, "poll", broker.CodeDenied, err)
	})
	t.Run("somebody else is always quicker", func(t *testing.T) {
		r := brokertest.New(t)
		trap := r.Trap(t)
		sess, d := r.SignIn(t), device(t, r)
		trap.On(func(call, key string) error {
			if call == "swap" && strings.HasPrefix(key, "device/") {
				return brokertest.ErrLost
			}
			return nil
		})
		brokertest.WantCode(t, "approval", broker.CodeConflict, r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true))
		set, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
		brokertest.WantCode(t, "poll", broker.CodeSlowDown, err)
		if !set.Access.IsZero() {
			t.Error("there are tokens")
		}
	})
}

// TestDecisionsNeedTheStore ensures that an answer, and a poll, that could not be
// kept is reported as such.
func TestDecisionsNeedTheStore(t *testing.T) {
	r := brokertest.New(t)
	trap := r.Trap(t)
	sess, d := r.SignIn(t), device(t, r)
	trap.Fail("swap", "device/")
	brokertest.WantCode(t, "approval", broker.CodeUnavailable, r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true))
	_, err := r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
	brokertest.WantCode(t, "poll", broker.CodeUnavailable, err)
}

// TestPolls holds what a program is answered that asks for its tokens.
func TestPolls(t *testing.T) {
	r := brokertest.New(t)
	sess, cli, d := r.SignIn(t), r.CLI(t), device(t, r)
	other, _ := register(t, r)
	poll := func(what string, c program.Client, code broker.Secret, want broker.Code) program.TokenSet {
		t.Helper()
		set, err := r.Dev.PollDevice(t.Context(), c, code)
		brokertest.WantCode(t, what, want, err)
		return set
	}
	poll("a code that nobody got", cli, broker.NewSecret("made-up"), broker.CodeUnauthenticated)
	poll("another program's code", other, d.DeviceCode, broker.CodeUnauthenticated)
	poll("before the answer", cli, d.DeviceCode, broker.CodePending)
	r.Clock = r.Clock.Add(4 * time.Second)
	poll("too soon", cli, d.DeviceCode, broker.CodeSlowDown)
	r.Clock = r.Clock.Add(9 * time.Second)
	poll("too soon for the interval that grew", cli, d.DeviceCode, broker.CodeSlowDown)
	r.Clock = r.Clock.Add(15*time.Second - 500*time.Millisecond)
	poll("as soon as a network may make it", cli, d.DeviceCode, broker.CodePending)
	if err := r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true); err != nil {
		t.Fatal(err)
	}
	poll("too soon, though approved", cli, d.DeviceCode, broker.CodeSlowDown)
	r.Clock = r.Clock.Add(time.Minute)
	if poll("approved", cli, d.DeviceCode, "").Access.IsZero() {
		t.Error("no tokens")
	}
	poll("a second time", cli, d.DeviceCode, broker.CodeUnauthenticated)
	d = device(t, r)
	r.Clock = r.Clock.Add(program.DeviceCodeTTL)
	for range 2 {
		poll("expired", cli, d.DeviceCode, broker.CodeUnauthenticated)
	}
	r.Clock = r.Clock.Add(program.DeviceCodeTTL)
	poll("long expired", cli, d.DeviceCode, broker.CodeUnauthenticated)
}
