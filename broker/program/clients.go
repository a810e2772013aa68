package program

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// CLIClientID is the public client of the rolegate program itself. It has no
// secret: whoever holds its tokens got them by PKCE or a device code.
const CLIClientID = "rolegate-cli"

// RedirectPaste is the redirect URI of a program without a browser on its
// machine: the page shows the code, the person carries it over.
const RedirectPaste = "urn:ietf:wg:oauth:2.0:oob"

// registrationTTL is how long a registered client is known.
const registrationTTL = 90 * 24 * time.Hour

// maxClientName bounds the name that a program gives itself.
const maxClientName = 100

// Client is a program that may ask for tokens.
type Client struct {
	ID           string
	Name         string
	RedirectURIs []string // of a registered client, compared without the port; nil: any loopback address
	ExpiresAt    time.Time
}

// clientRecord is what a registered client's id holds, sealed: nothing of a
// registration is stored, so nobody can fill the store with them.
type clientRecord struct {
	Name         string    `json:"n"`
	RedirectURIs []string  `json:"r,omitempty"`
	ExpiresAt    time.Time `json:"e"`
}

const (
	sealedClient = "client"
	sealedSecret = "client-secret"
)

// RegisterClient makes a client with an id and a secret of its own (RFC 7591).
// CodeInvalid for a redirect URI that is not a loopback address.
func (d *Service) RegisterClient(name string, redirects []string) (Client, broker.Secret, error) {
	c := Client{Name: broker.CleanLabel(name, maxClientName), RedirectURIs: redirects, ExpiresAt: d.c.Now().Add(registrationTTL).UTC().Truncate(time.Second)}
	if c.Name == "" {
		return Client{}, broker.Secret{}, broker.Errorf(broker.CodeInvalid, "A client needs a name.")
	}
	if len(redirects) > 5 {
		return Client{}, broker.Secret{}, broker.Errorf(broker.CodeInvalid, "A client has five redirect URIs at most.")
	}
	for _, r := range redirects {
		if _, err := loopbackURI(r); err != nil {
			return Client{}, broker.Secret{}, err
		}
	}
	plain, err := json.Marshal(clientRecord{Name: c.Name, RedirectURIs: redirects, ExpiresAt: c.ExpiresAt})
	if err != nil {
		return Client{}, broker.Secret{}, fmt.Errorf("broker: encode client: %w", err)
	}
	sealed, err := d.c.Sealer.Seal(plain, sealedClient)
	if err != nil {
		return Client{}, broker.Secret{}, fmt.Errorf("broker: seal client: %w", err)
	}
	c.ID = base64.RawURLEncoding.EncodeToString(sealed)
	proof, err := d.c.Sealer.Seal([]byte(broker.NewSecret(c.ID).Hash()), sealedSecret)
	if err != nil {
		return Client{}, broker.Secret{}, fmt.Errorf("broker: seal client secret: %w", err)
	}
	return c, broker.NewSecret(base64.RawURLEncoding.EncodeToString(proof)), nil
}

// ErrClient is the cause of the error for a client that is unknown, expired or
// does not prove who it is.
var ErrClient = errors.New("broker: client not authenticated")

var errClient = broker.Errorf(broker.CodeUnauthenticated, "This program is not known here, or its registration has expired.").
	Fix("Sign in again with the program, so that it registers once more.").
	Because(ErrClient)

// Client returns the client with the id. CodeUnauthenticated for an unknown or
// expired one.
func (d *Service) Client(id string) (Client, error) {
	if id == CLIClientID {
		return Client{ID: id, Name: "rolegate command line"}, nil
	}
	if id == "" || len(id) > 1500 {
		return Client{}, errClient
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil {
		return Client{}, errClient
	}
	plain, err := d.c.Sealer.Open(sealed, sealedClient)
	if err != nil {
		return Client{}, errClient.Because(errors.Join(ErrClient, err))
	}
	var r clientRecord
	if err := json.Unmarshal(plain, &r); err != nil {
		return Client{}, errClient.Because(errors.Join(ErrClient, err))
	}
	if !d.c.Now().Before(r.ExpiresAt) {
		return Client{}, errClient.Because(fmt.Errorf("%w: registration ended at %s", ErrClient, r.ExpiresAt))
	}
	return Client{ID: id, Name: r.Name, RedirectURIs: r.RedirectURIs, ExpiresAt: r.ExpiresAt}, nil
}

// AuthenticateClient returns the client if the secret is its own. The rolegate
// program has none and must send none. CodeUnauthenticated otherwise.
func (d *Service) AuthenticateClient(id string, secret broker.Secret) (Client, error) {
	c, err := d.Client(id)
	if err != nil {
		return Client{}, err
	}
	if id == CLIClientID {
		if !secret.IsZero() {
			return Client{}, errClient
		}
		return c, nil
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(secret.Reveal())
	if err != nil {
		return Client{}, errClient
	}
	plain, err := d.c.Sealer.Open(sealed, sealedSecret)
	if err != nil || string(plain) != broker.NewSecret(id).Hash() {
		return Client{}, errClient
	}
	return c, nil
}

// loopbackURI parses http://127.0.0.1[:PORT]/… or http://[::1][:PORT]/…
// (RFC 8252 7.3): an address, never a name that a resolver may change.
func loopbackURI(s string) (*url.URL, error) {
	bad := broker.Errorf(broker.CodeInvalid, "The redirect URI must be http://127.0.0.1:PORT or http://[::1]:PORT on the person's own machine.")
	u, err := url.Parse(s)
	if err != nil || len(s) > 512 || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") {
		return nil, bad
	}
	if a, err := netip.ParseAddr(u.Hostname()); err != nil || a.Zone() != "" || (a != netip.MustParseAddr("127.0.0.1") && a != netip.IPv6Loopback()) {
		return nil, bad
	}
	return u, nil
}

// allows reports whether the client may be answered at the redirect URI.
func (c Client) allows(redirect string) error {
	if redirect == RedirectPaste && c.ID == CLIClientID {
		return nil
	}
	u, err := loopbackURI(redirect)
	if err != nil {
		return err
	}
	if c.ID == CLIClientID {
		return nil
	}
	same := func(registered string) bool {
		r, err := loopbackURI(registered)
		return err == nil && r.Hostname() == u.Hostname() && r.EscapedPath() == u.EscapedPath()
	}
	if !slices.ContainsFunc(c.RedirectURIs, same) {
		return broker.Errorf(broker.CodeInvalid, "The program did not register this redirect URI.")
	}
	return nil
}
