package program_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/program"
)

// parts are what a service of the rig's node is made from.
func parts(r *brokertest.Rig) program.Config {
	b := r.Broker()
	return program.Config{
		Kept: b.Kept, Book: b.Book, Journal: b.Journal, Limiter: b.Limiter, Now: r.Now,
		Policies: map[broker.ProviderID]broker.MFAPolicy{"okta": r.Policy},
	}
}

// TestNeedsItsParts ensures that a service that lacks a part does not start.
func TestNeedsItsParts(t *testing.T) {
	r := brokertest.New(t)
	if _, err := program.New(parts(r)); err != nil {
		t.Error("with all parts:", err)
	}
	for name, lose := range map[string]func(*program.Config){
		"state":    func(c *program.Config) { c.Kept.State = nil },
		"sealer":   func(c *program.Config) { c.Kept.Sealer = nil },
		"book":     func(c *program.Config) { c.Book = nil },
		"journal":  func(c *program.Config) { c.Journal = nil },
		"limiter":  func(c *program.Config) { c.Limiter = nil },
		"policies": func(c *program.Config) { c.Policies = nil },
	} {
		c := parts(r)
		lose(&c)
		if _, err := program.New(c); err == nil {
			t.Errorf("started without %s", name)
		}
	}
}

// register makes a client of the name "tool" and returns it with its secret.
func register(t *testing.T, r *brokertest.Rig, redirects ...string) (program.Client, broker.Secret) {
	t.Helper()
	c, secret, err := r.Dev.RegisterClient("tool", redirects)
	if err != nil {
		t.Fatal(err)
	}
	return c, secret
}

// TestAttackRedirectElsewhere ensures that a code is sent to the person's own
// machine only: each address is wrong in one thing, and is refused in a
// registration as in a request of the rolegate program.
func TestAttackRedirectElsewhere(t *testing.T) {
	r := brokertest.New(t)
	long := "http://127.0.0.1/" + strings.Repeat("a", 512-len("http://127.0.0.1/"))
	for _, tt := range []struct {
		name, uri string
		ok        bool
	}{
		{"IPv4", "http://127.0.0.1/", true},
		{"IPv6, a port and a path", "http://[::1]:8400/callback", true},
		{"512 bytes", long, true},
		{"513 bytes", long + "a", false},
		{"another host", "http://192.0.2.1/", false},
		{"another loopback address", "http://127.0.0.2/", false},
		{"a name that a resolver may change", "http://localhost/", false},
		{"an address with a zone", "http://[::1%25eth0]/", false},
		{"https", "https://127.0.0.1/", false},
		{"a scheme of its own", "tool://127.0.0.1/", false},
		{"no URL", "http://127.0.0.1:port/", false},
		{"a user in front", "http://evil@127.0.0.1/", false},
		{"a query", "http://127.0.0.1/?x=1", false},
		{"an empty query", "http://127.0.0.1/?", false},
		{"a fragment", "http://127.0.0.1/#x", false},
		{"an empty fragment", "http://127.0.0.1/#", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := broker.CodeInvalid
			if tt.ok {
				want = ""
			}
			_, _, err := r.Dev.RegisterClient("tool", []string{tt.uri})
			brokertest.WantCode(t, "registration", want, err)
			_, err = r.Dev.CheckClient(program.Authorize{ClientID: program.CLIClientID, RedirectURI: tt.uri})
			brokertest.WantCode(t, "request of the rolegate program", want, err)
		})
	}
	five := []string{home, home, home, home, home}
	if _, _, err := r.Dev.RegisterClient("tool", five); err != nil {
		t.Error("five redirect URIs:", err)
	}
	_, _, err := r.Dev.RegisterClient("tool", append(five, home))
	brokertest.WantCode(t, "six redirect URIs", broker.CodeInvalid, err)
}

// TestAttackRedirectOfAnother ensures that a registered program is answered at an
// address that it registered, on whatever port, and that the page that shows a
// code is for the rolegate program alone.
func TestAttackRedirectOfAnother(t *testing.T) {
	r := brokertest.New(t)
	c, _ := register(t, r, "http://127.0.0.1/callback")
	for _, tt := range []struct {
		name, client, uri string
		want              broker.Code
	}{
		{"its own", c.ID, "http://127.0.0.1/callback", ""},
		{"on a port", c.ID, "http://127.0.0.1:9999/callback", ""},
		{"another path", c.ID, "http://127.0.0.1/other", broker.CodeInvalid},
		{"another address", c.ID, "http://[::1]/callback", broker.CodeInvalid},
		{"the page that shows a code", c.ID, program.RedirectPaste, broker.CodeInvalid},
		{"the same of the rolegate program", program.CLIClientID, program.RedirectPaste, ""},
		{"an unknown program", "nobody", home, broker.CodeUnauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.Dev.CheckClient(program.Authorize{ClientID: tt.client, RedirectURI: tt.uri})
			brokertest.WantCode(t, "request", tt.want, err)
		})
	}
}

// TestAttackMadeUpClient ensures that a client is one that registered here, that
// its id has one form, and that its registration ends.
func TestAttackMadeUpClient(t *testing.T) {
	r := brokertest.New(t)
	c, secret := register(t, r)
	other, otherSecret := register(t, r)
	for _, tt := range []struct {
		name, id string
		secret   broker.Secret
		want     broker.Code
	}{
		{"its own secret", c.ID, secret, ""},
		{"no secret", c.ID, broker.Secret{}, broker.CodeUnauthenticated},
		{"another's secret", c.ID, otherSecret, broker.CodeUnauthenticated},
		{"another's id", other.ID, secret, broker.CodeUnauthenticated},
		{"the id as secret", c.ID, broker.NewSecret(c.ID), broker.CodeUnauthenticated},
		{"something after the secret", c.ID, broker.NewSecret(secret.Reveal() + "!"), broker.CodeUnauthenticated},
		{"something after the id", c.ID + "!", secret, broker.CodeUnauthenticated},
		{"the secret as id", secret.Reveal(), secret, broker.CodeUnauthenticated},
		{"no id", "", secret, broker.CodeUnauthenticated},
		{"an id of 2000 letters", strings.Repeat("a", 2000), secret, broker.CodeUnauthenticated},
		{"the rolegate program", program.CLIClientID, broker.Secret{}, ""},
		{"the rolegate program with a secret", program.CLIClientID, secret, broker.CodeUnauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := r.Dev.AuthenticateClient(tt.id, tt.secret)
			brokertest.WantCode(t, "authentication", tt.want, err)
			if (got.ID == "") != (tt.want != "") {
				t.Errorf("client %+v", got)
			}
		})
	}
	for _, name := range []string{"a", "ab", "abc"} { // of each length that the encoding tells apart
		c, _, err := r.Dev.RegisterClient(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{c.ID + "!", c.ID + "\n", c.ID[:8] + "\r" + c.ID[8:]} {
			_, err := r.Dev.Client(id)
			brokertest.WantCode(t, "an id in another form", broker.CodeUnauthenticated, err)
		}
	}
	r.Clock = c.ExpiresAt.Add(-time.Second)
	if _, err := r.Dev.AuthenticateClient(c.ID, secret); err != nil {
		t.Error("in the last second of the registration:", err)
	}
	r.Clock = c.ExpiresAt
	_, err := r.Dev.AuthenticateClient(c.ID, secret)
	brokertest.WantCode(t, "when the registration has ended", broker.CodeUnauthenticated, err)
}

// TestDeviceCodesAreLimited ensures that one address cannot ask for device codes
// without end, and that two requests never share a user code.
func TestDeviceCodesAreLimited(t *testing.T) {
	r := brokertest.New(t)
	r.Limit(t, map[limit.Kind]limit.Rate{limit.Device: {Address: 1, Per: time.Minute}})
	ctx := brokertest.From(t, "192.0.2.1")
	if _, err := r.Dev.StartDevice(ctx, r.CLI(t), "laptop", broker.Requirement{}); err != nil {
		t.Fatal(err)
	}
	d, err := r.Dev.StartDevice(ctx, r.CLI(t), "laptop", broker.Requirement{})
	brokertest.WantCode(t, "one too many", broker.CodeRateLimited, err)
	if !d.DeviceCode.IsZero() {
		t.Error("there is a code all the same")
	}
	c := parts(brokertest.New(t))
	c.Rand = zeros{}
	same, err := program.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := same.StartDevice(ctx, r.CLI(t), "laptop", broker.Requirement{}); err != nil {
		t.Fatal(err)
	}
	d, err = same.StartDevice(ctx, r.CLI(t), "laptop", broker.Requirement{})
	brokertest.WantCode(t, "a user code that is taken", broker.CodeUnavailable, err)
	if !d.DeviceCode.IsZero() {
		t.Error("there is a code all the same")
	}
}

// zeros is chance that never changes.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return copy(b, make([]byte, len(b))), nil }
