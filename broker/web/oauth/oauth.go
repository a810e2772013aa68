package oauth

import (
	"net/http"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/broker/web/wire"
)

// The routes.
const (
	PathAuthorize           = "/authorize"
	PathDevice              = "/device"
	pathDeviceAuthorization = "/oauth/device_authorization"
	pathToken               = "/oauth/token" //nolint:gosec // G101: a path
	pathRevoke              = "/oauth/revoke"
	pathDiscovery           = "/.well-known/oauth-authorization-server"
)

// Prefix is below which errors have the OAuth shape.
const Prefix = "/oauth/"

// The grant types (RFC 8628 3.4, RFC 8693 2.1).
const (
	GrantCode     = "authorization_code"
	GrantRefresh  = "refresh_token"
	GrantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

	accessTokenType = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // G101: a type's name
)

// Config is what the routes work with. All fields are needed.
type Config struct {
	Programs  *program.Service
	Door      *door.Door
	Pages     *page.Set
	PublicURL string
}

// OAuth serves the routes.
type OAuth struct{ c Config }

// New returns the routes' handlers.
func New(c Config) *OAuth { return &OAuth{c: c} }

// Handle registers a handler that returns its error.
type Handle = func(pattern string, h func(http.ResponseWriter, *http.Request) error)

// Mount registers the routes.
func (o *OAuth) Mount(handle Handle) {
	// People.
	handle("GET "+PathAuthorize, o.signedIn(o.ask))
	handle("POST "+PathAuthorize, o.signedIn(o.answer))
	handle("GET "+PathDevice, o.signedIn(o.askUserCode))
	handle("POST "+PathDevice, o.signedIn(o.device))
	// Programs.
	handle("POST "+pathDeviceAuthorization, o.deviceAuthorization)
	handle("POST "+pathToken, o.token)
	handle("POST "+pathRevoke, o.revoke)
	handle("GET "+pathDiscovery, o.discovery)
}

// Shape is the OAuth form of an error (RFC 6749 5.2).
func Shape(err error, status int) wire.Answer {
	a := wire.Answer{Status: http.StatusBadRequest, Body: wire.Describe(err)}
	switch wire.OAuthError(err) {
	case wire.InvalidClient:
		a.Status = http.StatusUnauthorized
		a.Header = map[string]string{"WWW-Authenticate": `Basic realm="rolegate"`}
	case wire.TemporarilyUnavailable, wire.ServerError:
		a.Status = status
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge:
		a.Status = status
	case http.StatusMethodNotAllowed, http.StatusNotFound: // no such route
		a.Status = status
		a.Body = wire.ErrorBody{Error: wire.InvalidRequest, Description: broker.Message(err)}
	}
	return a
}

func (o *OAuth) signedIn(h door.SessionHandler) func(http.ResponseWriter, *http.Request) error {
	return o.c.Door.SignedIn("/", nil, h)
}

func (o *OAuth) meta(sess *broker.Session, title string) page.Meta {
	return o.c.Door.Meta(sess, title, "")
}

type discovery struct {
	Issuer                 string   `json:"issuer"`
	Authorization          string   `json:"authorization_endpoint"`
	Token                  string   `json:"token_endpoint"`
	Device                 string   `json:"device_authorization_endpoint"`
	Revocation             string   `json:"revocation_endpoint"`
	ResponseTypes          []string `json:"response_types_supported"`
	GrantTypes             []string `json:"grant_types_supported"`
	ChallengeMethods       []string `json:"code_challenge_methods_supported"`
	AuthMethods            []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods  []string `json:"revocation_endpoint_auth_methods_supported"`
	AuthorizationResponses bool     `json:"authorization_response_iss_parameter_supported"`
}

func (o *OAuth) discovery(w http.ResponseWriter, _ *http.Request) error {
	u := o.c.PublicURL
	methods := []string{"none", "client_secret_basic", "client_secret_post"}
	wire.JSON(w, http.StatusOK, discovery{
		Issuer: u, Authorization: u + PathAuthorize, Token: u + pathToken, Device: u + pathDeviceAuthorization, Revocation: u + pathRevoke,
		ResponseTypes: []string{"code"}, GrantTypes: []string{GrantCode, GrantRefresh, GrantDevice, grantExchange},
		ChallengeMethods: []string{"S256"}, AuthMethods: methods, RevocationAuthMethods: methods, AuthorizationResponses: true,
	})
	return nil
}
