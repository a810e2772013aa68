package program

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
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

// maxClientName bounds the name that a program gives itself, maxClientID the id
// that its registration makes: it travels in addresses.
const (
	maxClientName = 100
	maxClientID   = 1500
)

// clientName is what the name of a registered client may hold: letters that look
// like what they are.
var clientName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._,()\[\]/:@+=-]*$`)

// reservedNames would make a program look like ours, or like one that somebody
// has looked at.
var reservedNames = []string{"rolegate", "verified", "official", "trusted", "approved"}

// ownAWSClients is the name under which the rolegate program registers AWS clients
// for an sso-session, whose name may be rolegate.
var ownAWSClients = regexp.MustCompile(`^AWS clients \(sso-session [A-Za-z0-9._-]{1,60}\)$`)

func checkName(name string) error {
	if ownAWSClients.MatchString(name) {
		return nil
	}
	if !clientName.MatchString(name) {
		return broker.Errorf(broker.CodeInvalid, "A client needs a name of letters, digits, spaces and punctuation, in ASCII.")
	}
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r
		case r == '0':
			return 'o'
		case r == '1':
			return 'l'
		case r == '3':
			return 'e'
		case r == '4', r == '@':
			return 'a'
		}
		return -1
	}, strings.ToLower(name))
	for _, x := range reservedNames {
		if strings.Contains(plain, x) {
			return broker.Errorf(broker.CodeInvalid, "A client may not call itself %q: people would take it for something else.", x)
		}
	}
	return nil
}

// Client is a program that may ask for tokens.
type Client struct {
	ID           string
	Name         string
	Registered   bool     // it registered itself, under a name of its own choice
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
	c := Client{Name: broker.CleanLabel(name, maxClientName), Registered: true, RedirectURIs: redirects, ExpiresAt: d.c.Now().Add(registrationTTL).UTC().Truncate(time.Second)}
	if err := checkName(c.Name); err != nil {
		return Client{}, broker.Secret{}, err
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
	sealed, err := d.c.Kept.Sealer.Seal(plain, sealedClient)
	if err != nil {
		return Client{}, broker.Secret{}, fmt.Errorf("broker: seal client: %w", err)
	}
	if c.ID = base64.RawURLEncoding.EncodeToString(sealed); len(c.ID) > maxClientID {
		return Client{}, broker.Secret{}, broker.Errorf(broker.CodeInvalid, "The name and the redirect URIs of this client are too long.").
			Fix("Register fewer or shorter redirect URIs.")
	}
	proof, err := d.c.Kept.Sealer.Seal([]byte(broker.NewSecret(c.ID).Hash()), sealedSecret)
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
	if id == "" || len(id) > maxClientID {
		return Client{}, errClient
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || strings.ContainsAny(id, "\r\n") { // which the decoder passes over: an id has one form
		return Client{}, errClient
	}
	plain, err := d.c.Kept.Sealer.Open(sealed, sealedClient)
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
	return Client{ID: id, Name: r.Name, Registered: true, RedirectURIs: r.RedirectURIs, ExpiresAt: r.ExpiresAt}, nil
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
	plain, err := d.c.Kept.Sealer.Open(sealed, sealedSecret)
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
