package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
)

// Answer is an error as a protocol wants it.
type Answer struct {
	Status int
	Header map[string]string
	Body   any
}

// Shape turns an error into its protocol's answer. status is what a page would
// have.
type Shape func(err error, status int) Answer

// JSON writes a document that nobody may keep.
func JSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // our own types: cannot happen
		status, b = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749 5.1
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client went away: nobody to tell
}

// Once returns the values of which each parameter has one. CodeInvalid when a
// parameter is there twice (RFC 6749 3.1, 3.2).
func Once(form url.Values) (map[string]string, error) {
	out := make(map[string]string, len(form))
	for k, v := range form {
		if len(v) != 1 {
			return nil, broker.Errorf(broker.CodeInvalid, "A parameter is repeated.")
		}
		out[k] = v[0]
	}
	return out, nil
}

// errGrantType is the cause of the error for a grant type that is not known.
var errGrantType = errors.New("wire: unsupported grant type")

// ErrRedirect is the cause of the error for a redirect URI that a client may
// not have.
var ErrRedirect = errors.New("wire: invalid redirect URI")

// UnsupportedGrant is the error for a grant type that is not known.
func UnsupportedGrant() error {
	return broker.Errorf(broker.CodeInvalid, "This grant type is not known here.").Because(errGrantType)
}

// The OAuth error values (RFC 6749 5.2, RFC 8628 3.5, RFC 7591 3.2.2).
const (
	InvalidRequest         = "invalid_request"
	InvalidClient          = "invalid_client"
	InvalidGrant           = "invalid_grant"
	InvalidRedirect        = "invalid_redirect_uri"
	UnsupportedGrantType   = "unsupported_grant_type"
	AccessDenied           = "access_denied"
	ExpiredToken           = "expired_token"
	AuthorizationPending   = "authorization_pending"
	SlowDown               = "slow_down"
	TemporarilyUnavailable = "temporarily_unavailable"
	ServerError            = "server_error"
)

var oauthErrors = map[broker.Code]string{
	broker.CodeInvalid: InvalidRequest, broker.CodeUnauthenticated: InvalidGrant, broker.CodeDenied: AccessDenied,
	broker.CodeStepUp: InvalidGrant, broker.CodeNotFound: InvalidGrant, broker.CodePending: AuthorizationPending,
	broker.CodeSlowDown: SlowDown, broker.CodeRateLimited: SlowDown, broker.CodeUnavailable: TemporarilyUnavailable,
}

// OAuthError returns the OAuth error value of err.
func OAuthError(err error) string {
	switch {
	case errors.Is(err, program.ErrClient):
		return InvalidClient
	case errors.Is(err, program.ErrDeviceCodeExpired):
		return ExpiredToken
	case errors.Is(err, errGrantType):
		return UnsupportedGrantType
	case errors.Is(err, ErrRedirect):
		return InvalidRedirect
	}
	if s, ok := oauthErrors[broker.CodeOf(err)]; ok {
		return s
	}
	return ServerError
}

// ErrorBody is the document of an OAuth error.
type ErrorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// Describe returns the document of err: its message and what to do about it.
func Describe(err error) ErrorBody {
	text := broker.Message(err)
	if fix := broker.Remedy(err); fix != "" {
		text += " " + fix
	}
	return ErrorBody{Error: OAuthError(err), Description: text}
}
