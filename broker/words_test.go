package broker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
)

func TestMFAPolicy(t *testing.T) {
	p := broker.MFAPolicy{AMR: [][]string{{"mfa"}, {"pwd", "otp"}, {}}, ACR: [][]string{{"loa2"}}}
	tests := []struct {
		c    broker.AuthnContext
		want bool
	}{
		{broker.AuthnContext{AMR: []string{"mfa"}}, true},
		{broker.AuthnContext{AMR: []string{"otp", "pwd"}}, true},
		{broker.AuthnContext{AMR: []string{"otp"}}, false},
		{broker.AuthnContext{AMR: []string{"hwk"}}, false},
		{broker.AuthnContext{ACR: "loa2"}, true},
		{broker.AuthnContext{ACR: "mfa"}, false},
		{broker.AuthnContext{}, false},
	}
	for _, tt := range tests {
		if got := p.Satisfied(tt.c, nil); got != tt.want {
			t.Errorf("%+v: %t", tt.c, got)
		}
	}
	if (broker.MFAPolicy{ACR: [][]string{{""}}}).Satisfied(broker.AuthnContext{}, nil) {
		t.Error("an empty value proves something")
	}
}

// TestSecretRedacts ensures that no way of printing shows the value.
func TestSecretRedacts(t *testing.T) {
	s := broker.NewSecret("planted")
	inside := struct {
		hidden broker.Secret
		Shown  broker.Secret
	}{s, s}
	js, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "x", "s", s, "i", inside)
	for _, got := range []string{
		s.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", inside, inside, inside),
		fmt.Sprint(&s), string(js), log.String(), fmt.Errorf("x: %v", s).Error(),
	} {
		if strings.Contains(got, "planted") || strings.Contains(got, "706c616e746564") {
			t.Errorf("printed: %s", got)
		}
	}
	if err := json.Unmarshal([]byte(`"x"`), &s); err == nil {
		t.Error("a Secret was unmarshalled")
	}
}

func TestCleanSessionName(t *testing.T) {
	sub := broker.Subject{Provider: "p", ID: "1"}
	for in, want := range map[string]string{
		"alice@example.com": "alice@example.com", "Bob (Ops), Jr. *": "Bob-Ops-,-Jr.", "jürgen@x": "j-rgen@x",
		"": sub.Opaque(), "a": sub.Opaque(), "日本": sub.Opaque(), "  x y ": "x-y", "aws:root": "aws-root",
		strings.Repeat("a", 80): strings.Repeat("a", 64),
	} {
		if got := broker.CleanSessionName(in, sub); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzSessionName: whatever is wanted, both candidates are names AWS takes.
func FuzzSessionName(f *testing.F) {
	f.Add("alice", "1")
	f.Add("aws:x", "")
	f.Fuzz(func(t *testing.T, wanted, id string) {
		sub := broker.Subject{Provider: "p", ID: id}
		clean := broker.CleanSessionName(wanted, sub)
		for _, n := range []string{clean, broker.DistinctSessionName(clean, sub)} {
			if len(n) < 2 || len(n) > 64 || strings.ContainsFunc(n, func(r rune) bool {
				return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-", r)
			}) {
				t.Errorf("%q -> %q", wanted, n)
			}
		}
	})
}

func TestErrorKeepsCausePrivate(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.1: refused")
	err := fmt.Errorf("saml: %w", broker.Errorf(broker.CodeUnavailable, "Okta does not answer.").Fix("Try later.").Because(cause))
	if broker.Message(err) != "Okta does not answer." || broker.Remedy(err) != "Try later." || broker.CodeOf(err) != broker.CodeUnavailable || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if broker.Message(cause) == cause.Error() || broker.CodeOf(cause) != broker.CodeInternal || broker.CodeOf(nil) != "" {
		t.Error("a foreign error shows")
	}
}

// TestCleanLabel ensures that foreign text is one short line that says what it
// seems to say.
func TestCleanLabel(t *testing.T) {
	for in, want := range map[string]string{
		"laptop": "laptop", " a\tb\n": "ab", "x\u202ey": "xy", "\x1b[31mred": "[31mred", "ünï": "ünï", "\xff": "", "abcdef": "abcde",
	} {
		if got := broker.CleanLabel(in, 7); in != "abcdef" && got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
	if got := broker.CleanLabel("abcdef", 5); got != "abcde" {
		t.Error(got)
	}
}

func TestLocalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/go?account=1": "/go?account=1", "": "/", "//evil.example": "/", "https://evil.example": "/",
		`/\evil.example`: "/", "/a\nb": "/", "javascript:alert(1)": "/", "/%2f/evil": "/%2f/evil", "evil": "/", "/\t/evil": "/",
		"/" + strings.Repeat("a", 3000): "/",
	} {
		if got := broker.LocalPath(in); got != want {
			t.Errorf("LocalPath(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzLocalPath: whatever is kept stays on this site for a browser.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "//a", `/\a`, "/a?b=c#d", "https:/a", "/\x00"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://sso.example.com/x")
	f.Fuzz(func(t *testing.T, s string) {
		got := broker.LocalPath(s)
		u, err := base.Parse(got)
		if err != nil || u.Host != "sso.example.com" || u.Scheme != "https" || strings.ContainsAny(got, "\r\n\\") {
			t.Errorf("LocalPath(%q) = %q leaves the site", s, got)
		}
	})
}

// TestWorkingDay ensures when sessions end by the clocks of a place, on days of
// 23 and 25 hours too.
func TestWorkingDay(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, start, dayEnd, want string
		absolute                  time.Duration
	}{
		{"morning", "2026-11-24T09:00:00+01:00", "19h", "2026-11-24T19:00:00+01:00", 12 * time.Hour},
		{"absolute comes first", "2026-11-24T09:00:00+01:00", "19h", "2026-11-24T17:00:00+01:00", 8 * time.Hour},
		{"a minute before", "2026-11-24T18:59:00+01:00", "19h", "2026-11-24T19:00:00+01:00", 12 * time.Hour},
		{"at the end itself", "2026-11-24T19:00:00+01:00", "19h", "2026-11-25T19:00:00+01:00", 48 * time.Hour},
		{"evening", "2026-11-24T20:00:00+01:00", "19h", "2026-11-25T19:00:00+01:00", 48 * time.Hour},
		{"day of 25 hours", "2026-10-25T00:00:00+02:00", "19h", "2026-10-25T19:00:00+01:00", 48 * time.Hour},
		{"day of 23 hours", "2026-03-29T00:00:00+01:00", "19h", "2026-03-29T19:00:00+02:00", 48 * time.Hour},
		{"in the hour that there is twice", "2026-10-25T02:45:00+02:00", "19h", "2026-10-25T19:00:00+01:00", 48 * time.Hour},
		{"an end in the hour that there is not", "2026-03-29T01:00:00+01:00", "2h30m", "2026-03-29T03:30:00+02:00", 48 * time.Hour},
		{"midnight", "2026-11-24T09:00:00+01:00", "0h", "2026-11-25T00:00:00+01:00", 48 * time.Hour},
		{"another day there", "2026-11-24T23:30:00Z", "19h", "2026-11-25T19:00:00+01:00", 48 * time.Hour},
	} {
		t.Run(row.name, func(t *testing.T) {
			start, err := time.Parse(time.RFC3339, row.start)
			if err != nil {
				t.Fatal(err)
			}
			end, err := time.ParseDuration(row.dayEnd)
			if err != nil {
				t.Fatal(err)
			}
			got := broker.SessionLimits{Absolute: row.absolute, DayEnd: end, Zone: berlin}.End(start)
			if s := got.In(berlin).Format(time.RFC3339); s != row.want {
				t.Errorf("%s, want %s", s, row.want)
			}
		})
	}
	r := brokertest.New(t) // 09:00 UTC is 10:00 there
	r.Limits = broker.SessionLimits{Idle: 20 * time.Hour, Absolute: 24 * time.Hour, DayEnd: 19 * time.Hour, Zone: berlin}
	r.Limit(t, nil)
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Clock = r.Clock.Add(9*time.Hour - time.Second)
	if _, err := r.Acc.Authenticate(t.Context(), out.Token); err != nil {
		t.Errorf("a second before: %v", err)
	}
	r.Clock = r.Clock.Add(time.Second)
	if _, err := r.Acc.Authenticate(t.Context(), out.Token); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("at the end: %v", err)
	}
}

// TestAttackNamesRunOut ensures that whoever chooses names on purpose can neither
// take the last one that a person may have, nor the id that AWS knows them by.
func TestAttackNamesRunOut(t *testing.T) {
	r := brokertest.New(t)
	alice := broker.Subject{Provider: "okta", ID: "00u1"}
	names := broker.SessionNames("alice@example.com", alice)
	for i, name := range names {
		mallory := broker.Subject{Provider: "other", ID: fmt.Sprint("m", i)}
		for _, kind := range []broker.NameKind{broker.NameRoleSession, broker.NameSourceIdentity} {
			got, err := r.Store.ClaimName(t.Context(), kind, mallory, broker.SessionNames(name, mallory)...)
			if err != nil {
				t.Fatal(err)
			}
			if strings.EqualFold(got, alice.Opaque()) {
				t.Errorf("mallory is %s, alice's id", got)
			}
		}
	}
	for _, kind := range []broker.NameKind{broker.NameRoleSession, broker.NameSourceIdentity} {
		got, err := r.Store.ClaimName(t.Context(), kind, alice, names...)
		if err != nil || !strings.Contains(got, "u-") && !strings.HasPrefix(got, "alice@example.com-") {
			t.Errorf("alice is %q, %v", got, err)
		}
	}
	for _, n := range names {
		if len(n) > 64 {
			t.Errorf("%s has %d characters", n, len(n))
		}
	}
}
