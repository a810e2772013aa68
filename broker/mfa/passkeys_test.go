package mfa_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mfa"
)

const portal = "https://sso.example.com"

// device is an authenticator with one credential, and the site it believes to
// be at.
type device struct {
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	cred virtualwebauthn.Credential
}

func newDevice(handle string) *device {
	return &device{
		rp:   virtualwebauthn.RelyingParty{ID: "sso.example.com", Name: "rolegate", Origin: portal},
		auth: virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(handle)}),
		cred: newCredential(),
	}
}

// newCredential makes a P-256 credential. The library leaves out leading zeros of
// a coordinate, which COSE (RFC 9053 7.1.1) does not: such a key is made anew.
func newCredential() virtualwebauthn.Credential {
	for {
		c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if len(c.Key.AttestationData()) == 77 {
			return c
		}
	}
}

func (d *device) create(t testing.TB, options []byte) []byte {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(`{"publicKey":` + string(options) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.cred, *o))
}

func (d *device) get(t testing.TB, options []byte) []byte {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(`{"publicKey":` + string(options) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAssertionResponse(d.rp, d.auth, d.cred, *o))
}

var alice = broker.PasskeyUser{Handle: []byte("u-alice"), Name: "alice"}

// enrolled returns a relying party at which the device is enrolled.
func enrolled(t *testing.T, d *device) (*mfa.Passkeys, [][]byte) {
	t.Helper()
	p, err := mfa.NewPasskeys(mfa.Config{PublicURL: portal})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := p.BeginEnrol(alice, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, credential, err := p.FinishEnrol(alice, ch.State, d.create(t, ch.Options))
	if err != nil {
		t.Fatal(err)
	}
	return p, [][]byte{credential}
}

// TestPasskey ensures that an enrolled passkey is accepted again and again, and
// that its counter is kept.
func TestPasskey(t *testing.T) {
	d := newDevice("u-alice")
	p, have := enrolled(t, d)
	for n := uint32(1); n < 4; n++ {
		d.cred.Counter = n
		ch, err := p.BeginUse(alice, have)
		if err != nil {
			t.Fatal(err)
		}
		which, credential, err := p.FinishUse(alice, have, ch.State, d.get(t, ch.Options))
		if err != nil || which != 0 {
			t.Fatalf("%d, %v", which, err)
		}
		have[0] = credential
	}
	var kept struct {
		Flags         struct{ UserVerified bool }
		Authenticator struct{ SignCount uint32 }
	}
	if err := json.Unmarshal(have[0], &kept); err != nil || kept.Authenticator.SignCount != 3 || !kept.Flags.UserVerified {
		t.Errorf("%+v, %v", kept, err)
	}
}

// TestSecondPasskey ensures that the one that was used is named, of several.
func TestSecondPasskey(t *testing.T) {
	_, first := enrolled(t, newDevice("u-alice"))
	d := newDevice("u-alice")
	p, second := enrolled(t, d)
	have := [][]byte{first[0], second[0]}
	ch, err := p.BeginUse(alice, have)
	if err != nil {
		t.Fatal(err)
	}
	d.cred.Counter = 1
	if which, _, err := p.FinishUse(alice, have, ch.State, d.get(t, ch.Options)); err != nil || which != 1 {
		t.Errorf("%d, %v", which, err)
	}
}

// TestPasskeyBroken ensures that what cannot be read, of our own, is an error of
// ours and not taken for nothing.
func TestPasskeyBroken(t *testing.T) {
	d := newDevice("u-alice")
	p, have := enrolled(t, d)
	ch, err := p.BeginUse(alice, have)
	if err != nil {
		t.Fatal(err)
	}
	half := [][]byte{have[0], []byte("{")}
	for name, call := range map[string]func() error{
		"credential at enrolment": func() error { _, err := p.BeginEnrol(alice, half); return err },
		"credential before use":   func() error { _, err := p.BeginUse(alice, half); return err },
		"credential at use":       func() error { _, _, err := p.FinishUse(alice, half, ch.State, d.get(t, ch.Options)); return err },
		"state of an enrolment":   func() error { _, _, err := p.FinishEnrol(alice, []byte("{"), []byte("{}")); return err },
		"state of a use":          func() error { _, _, err := p.FinishUse(alice, have, []byte("{"), d.get(t, ch.Options)); return err },
	} {
		if err := call(); broker.CodeOf(err) != broker.CodeInternal {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "https:", "https://[::1"} {
		if _, err := mfa.NewPasskeys(mfa.Config{PublicURL: bad}); err == nil || !strings.Contains(err.Error(), "PublicURL") {
			t.Errorf("%q: %v", bad, err)
		}
		if err := (mfa.Config{PublicURL: bad}).Validate(); err == nil {
			t.Errorf("%q: the settings are said to be right", bad)
		}
	}
}

// TestAttackPasskeyUse ensures that each bad answer at use is refused.
func TestAttackPasskeyUse(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, d *device)
		answer func(t *testing.T, good []byte) []byte
	}{
		{name: "another origin", change: func(_ *testing.T, d *device) { d.rp.Origin = "https://sso.example.com.evil.test" }},
		{name: "another port", change: func(_ *testing.T, d *device) { d.rp.Origin = portal + ":8443" }},
		{name: "plain http", change: func(_ *testing.T, d *device) { d.rp.Origin = "http://sso.example.com" }},
		{name: "another relying party", change: func(_ *testing.T, d *device) { d.rp.ID = "evil.test" }},
		{name: "user not verified", change: func(_ *testing.T, d *device) { d.auth.Options.UserNotVerified = true }},
		{name: "user not present", change: func(_ *testing.T, d *device) { d.auth.Options.UserNotPresent = true }},
		{name: "counter went back", change: func(_ *testing.T, d *device) { d.cred.Counter = 4 }},
		{name: "counter stood still", change: func(_ *testing.T, d *device) { d.cred.Counter = 5 }},
		{name: "handle of another person", change: func(_ *testing.T, d *device) { d.auth.Options.UserHandle = []byte("u-mallory") }},
		{name: "credential of another person", change: func(_ *testing.T, d *device) { d.cred = newCredential() }},
		{name: "another key under the same id", change: func(_ *testing.T, d *device) {
			id := d.cred.ID
			d.cred = newCredential()
			d.cred.ID, d.cred.Counter = id, 9
		}},
		{name: "embedded in another site", answer: func(t *testing.T, good []byte) []byte {
			return editClientData(t, good, `"type":`, `"crossOrigin":true,"type":`)
		}},
		{name: "type of enrolment", answer: func(t *testing.T, good []byte) []byte {
			return editClientData(t, good, "webauthn.get", "webauthn.create")
		}},
		{name: "nothing", answer: func(*testing.T, []byte) []byte { return nil }},
		{name: "not JSON", answer: func(*testing.T, []byte) []byte { return []byte("<a>") }},
		{name: "empty object", answer: func(*testing.T, []byte) []byte { return []byte("{}") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDevice("u-alice")
			p, have := enrolled(t, d)
			d.cred.Counter = 5
			ch, err := p.BeginUse(alice, have)
			if err != nil {
				t.Fatal(err)
			}
			if _, have[0], err = p.FinishUse(alice, have, ch.State, d.get(t, ch.Options)); err != nil {
				t.Fatal(err)
			}
			d.cred.Counter = 6
			if ch, err = p.BeginUse(alice, have); err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(t, d)
			}
			answer := d.get(t, ch.Options)
			if tt.answer != nil {
				answer = tt.answer(t, answer)
			}
			if _, _, err = p.FinishUse(alice, have, ch.State, answer); broker.CodeOf(err) != broker.CodeUnauthenticated {
				t.Errorf("answered %v", err)
			}
		})
	}
	t.Run("answer to another challenge", func(t *testing.T) {
		d := newDevice("u-alice")
		p, have := enrolled(t, d)
		first, err := p.BeginUse(alice, have)
		if err != nil {
			t.Fatal(err)
		}
		second, err := p.BeginUse(alice, have)
		if err != nil {
			t.Fatal(err)
		}
		d.cred.Counter = 1
		if _, _, err := p.FinishUse(alice, have, second.State, d.get(t, first.Options)); broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Errorf("answered %v", err)
		}
	})
}

func editClientData(t *testing.T, answer []byte, before, after string) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(answer, &m); err != nil {
		t.Fatal(err)
	}
	r := m["response"].(map[string]any)
	data, err := base64.RawURLEncoding.DecodeString(r["clientDataJSON"].(string))
	if err != nil || !strings.Contains(string(data), before) {
		t.Fatalf("%s, %v", data, err)
	}
	r["clientDataJSON"] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(data), before, after, 1)))
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAttackPasskeyEnrolment ensures that each bad answer at enrolment is
// refused.
func TestAttackPasskeyEnrolment(t *testing.T) {
	for name, change := range map[string]func(*device){
		"another origin":        func(d *device) { d.rp.Origin = "https://evil.test" },
		"another relying party": func(d *device) { d.rp.ID = "evil.test" },
		"user not verified":     func(d *device) { d.auth.Options.UserNotVerified = true },
		"user not present":      func(d *device) { d.auth.Options.UserNotPresent = true },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice("u-alice")
			p, err := mfa.NewPasskeys(mfa.Config{PublicURL: portal})
			if err != nil {
				t.Fatal(err)
			}
			ch, err := p.BeginEnrol(alice, nil)
			if err != nil {
				t.Fatal(err)
			}
			change(d)
			if _, _, err := p.FinishEnrol(alice, ch.State, d.create(t, ch.Options)); broker.CodeOf(err) != broker.CodeUnauthenticated {
				t.Errorf("answered %v", err)
			}
		})
	}
}

// fuzzDevice has the same key and credential in every process: the workers of a
// fuzz target get the seeds of another one.
func fuzzDevice(f *testing.F) *device {
	f.Helper()
	d := newDevice("u-alice")
	for n := byte(1); ; n++ {
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{n}, 32))
		if err != nil {
			f.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			f.Fatal(err)
		}
		d.cred = virtualwebauthn.NewCredentialWithImportedKey(virtualwebauthn.KeyTypeEC2, der)
		d.cred.ID = bytes.Repeat([]byte{7}, 32)
		if len(d.cred.Key.AttestationData()) == 77 { // see newCredential
			return d
		}
	}
}

// withChallenge gives a ceremony a challenge that is the same in every process.
func withChallenge(f *testing.F, ch broker.PasskeyChallenge) broker.PasskeyChallenge {
	f.Helper()
	fixed := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))
	var state struct {
		Challenge string `json:"challenge"`
	}
	if err := json.Unmarshal(ch.State, &state); err != nil || state.Challenge == "" {
		f.Fatal(err, string(ch.State))
	}
	ch.State = bytes.ReplaceAll(ch.State, []byte(state.Challenge), []byte(fixed))
	ch.Options = bytes.ReplaceAll(ch.Options, []byte(state.Challenge), []byte(fixed))
	return ch
}

// FuzzPasskeyAnswer feeds both parsers: nothing foreign panics or is mistaken
// for a fault of ours, and what is accepted is the one device, with its user
// verified, answering the one challenge of its ceremony.
func FuzzPasskeyAnswer(f *testing.F) {
	p, err := mfa.NewPasskeys(mfa.Config{PublicURL: portal})
	if err != nil {
		f.Fatal(err)
	}
	d := fuzzDevice(f)
	enrol, err := p.BeginEnrol(alice, nil)
	if err != nil {
		f.Fatal(err)
	}
	enrol = withChallenge(f, enrol)
	created := d.create(f, enrol.Options)
	_, credential, err := p.FinishEnrol(alice, enrol.State, created)
	if err != nil {
		f.Fatal("the genuine answer is refused, so nothing is tried:", err)
	}
	have := [][]byte{credential}
	use, err := p.BeginUse(alice, have)
	if err != nil {
		f.Fatal(err)
	}
	use = withChallenge(f, use)
	d.cred.Counter = 1
	used := d.get(f, use.Options)
	if _, _, err := p.FinishUse(alice, have, use.State, used); err != nil {
		f.Fatal("the genuine answer is refused, so nothing is tried:", err)
	}
	for _, s := range []string{
		"", "{}", "[", "null", `{"id":"YQ","rawId":"YQ","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`,
		string(created), string(used), strings.Replace(string(used), "BwcH", "CAgI", 1), strings.Replace(string(created), "public-key", "password", 1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		id, kept, err := p.FinishEnrol(alice, enrol.State, b)
		switch {
		case err != nil && broker.CodeOf(err) != broker.CodeUnauthenticated:
			t.Errorf("enrolment: %v", err)
		case err == nil:
			var c struct {
				Flags struct{ UserVerified, UserPresent bool }
			}
			if jsonErr := json.Unmarshal(kept, &c); jsonErr != nil || id == "" || !c.Flags.UserVerified || !c.Flags.UserPresent {
				t.Errorf("%q enrolled %x as %s (%v)", b, id, kept, jsonErr)
			}
			said(t, b, "webauthn.create")
		}
		which, kept, err := p.FinishUse(alice, have, use.State, b)
		switch {
		case err != nil && broker.CodeOf(err) != broker.CodeUnauthenticated:
			t.Errorf("use: %v", err)
		case err == nil:
			var c struct{ Authenticator struct{ SignCount uint32 } }
			if jsonErr := json.Unmarshal(kept, &c); jsonErr != nil || which != 0 || c.Authenticator.SignCount == 0 {
				t.Errorf("%q is used as %d, %s (%v)", b, which, kept, jsonErr)
			}
			said(t, b, "webauthn.get")
		}
	})
}

// said checks that an accepted answer is about our challenge, at our site.
func said(t *testing.T, answer []byte, kind string) {
	t.Helper()
	var a struct {
		Response struct{ ClientDataJSON string }
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%q was taken (%v)", answer, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(a.Response.ClientDataJSON, "="))
	var data struct{ Type, Origin, Challenge string }
	if err := errors.Join(err, json.Unmarshal(raw, &data)); err != nil || data.Type != kind || data.Origin != portal ||
		strings.TrimRight(data.Challenge, "=") != base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32)) {
		t.Errorf("%q was taken: %s (%v)", answer, raw, err)
	}
}
