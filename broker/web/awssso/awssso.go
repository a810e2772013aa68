package awssso

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web/wire"
)

// Where the two services are.
const (
	PrefixOIDC   = "/aws/oidc/"
	PrefixPortal = "/aws/portal/"
)

// bearerHeader carries the access token to the portal.
const bearerHeader = "X-Amz-Sso_bearer_token" //nolint:gosec // G101: a header's name

// Config is what the routes work with. All fields are needed.
type Config struct {
	Programs  *program.Service
	Access    *access.Service
	PublicURL string
}

// SSO serves the routes.
type SSO struct{ c Config }

// New returns the routes' handlers.
func New(c Config) *SSO { return &SSO{c: c} }

// Handle registers a handler that returns its error.
type Handle = func(pattern string, h func(http.ResponseWriter, *http.Request) error)

// Mount registers the routes.
func (s *SSO) Mount(handle Handle) {
	handle("POST "+PrefixOIDC+"client/register", s.register)
	handle("POST "+PrefixOIDC+"device_authorization", s.deviceAuthorization)
	handle("POST "+PrefixOIDC+"token", s.token)
	handle("GET "+PrefixPortal+"assignment/accounts", s.accounts)
	handle("GET "+PrefixPortal+"assignment/roles", s.roles)
	handle("GET "+PrefixPortal+"federation/credentials", s.credentials)
	handle("POST "+PrefixPortal+"logout", s.logout)
}

type exception struct {
	name   string
	status int
}

var oidcExceptions = map[string]exception{
	wire.InvalidRequest:         {"InvalidRequestException", http.StatusBadRequest},
	wire.InvalidClient:          {"InvalidClientException", http.StatusUnauthorized},
	wire.InvalidGrant:           {"InvalidGrantException", http.StatusBadRequest},
	wire.InvalidRedirect:        {"InvalidRedirectUriException", http.StatusBadRequest},
	wire.UnsupportedGrantType:   {"UnsupportedGrantTypeException", http.StatusBadRequest},
	wire.AccessDenied:           {"AccessDeniedException", http.StatusBadRequest},
	wire.ExpiredToken:           {"ExpiredTokenException", http.StatusBadRequest},
	wire.AuthorizationPending:   {"AuthorizationPendingException", http.StatusBadRequest},
	wire.SlowDown:               {"SlowDownException", http.StatusBadRequest},
	wire.TemporarilyUnavailable: {"InternalServerException", http.StatusInternalServerError},
	wire.ServerError:            {"InternalServerException", http.StatusInternalServerError},
}

// ShapeOIDC is an error as SSO-OIDC says it. The service knows no "temporarily
// unavailable": the clients try a 500 again.
func ShapeOIDC(err error, status int) wire.Answer {
	body := wire.Describe(err)
	if status == http.StatusNotFound { // no such route
		body.Error = wire.InvalidRequest
	}
	if body.Error == wire.TemporarilyUnavailable {
		body.Error = wire.ServerError
	}
	x := oidcExceptions[body.Error]
	return wire.Answer{Status: x.status, Header: map[string]string{"x-amzn-ErrorType": x.name}, Body: body}
}

var portalExceptions = map[broker.Code]exception{
	broker.CodeInvalid:         {"InvalidRequestException", http.StatusBadRequest},
	broker.CodeUnauthenticated: {"UnauthorizedException", http.StatusUnauthorized},
	broker.CodeStepUp:          {"UnauthorizedException", http.StatusUnauthorized},
	broker.CodeDenied:          {"ForbiddenException", http.StatusForbidden},
	broker.CodeNotFound:        {"ResourceNotFoundException", http.StatusNotFound},
	broker.CodeRateLimited:     {"TooManyRequestsException", http.StatusTooManyRequests},
	broker.CodeUnavailable:     {"ServiceUnavailableException", http.StatusServiceUnavailable},
}

// ShapePortal is an error as the portal says it. UnauthorizedException makes
// the clients tell the person to sign in again.
func ShapePortal(err error, _ int) wire.Answer {
	x, ok := portalExceptions[broker.CodeOf(err)]
	if !ok {
		x = exception{"InternalServerException", http.StatusInternalServerError}
	}
	return wire.Answer{Status: x.status, Header: map[string]string{"x-amzn-ErrorType": x.name}, Body: struct {
		Message string `json:"message"`
	}{wire.Describe(err).Description}}
}

// readJSON decodes one document. Fields that are not known are left alone: the
// clients add some with their versions.
func readJSON(r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasPrefix(kind, "application/x-amz-json") {
		return broker.Errorf(broker.CodeInvalid, "The body must be application/json.")
	}
	d := json.NewDecoder(r.Body)
	if err := d.Decode(into); err != nil {
		return broker.Errorf(broker.CodeInvalid, "The body is not the JSON document that is needed here.").Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return broker.Errorf(broker.CodeInvalid, "The body holds more than one JSON document.")
	}
	return nil
}
