package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/rolegate/rolegate/broker"
)

// reservedParameters of an authentication request are ours to set: what protects
// a sign-in hangs on them.
var reservedParameters = []string{
	"response_type", "response_mode", "client_id", "client_secret", "client_assertion", "client_assertion_type", "redirect_uri", "scope",
	"state", "nonce", "code_challenge", "code_challenge_method", "max_age", "acr_values", "id_token_hint", "request", "request_uri",
	"registration", "code", "error", "iss", "dpop_jkt",
}

const maxParameter = 1024 // bytes of a name or value

// CheckAuthorize holds further parameters of an authentication request to what
// may be set: no reserved one, and no prompt=none, as somebody has to be able to
// sign in.
func CheckAuthorize(parameters map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		value := parameters[name]
		switch {
		case name == "" || len(name) > maxParameter || len(value) > maxParameter:
			return fmt.Errorf("the parameter %.40q is empty or too long", name)
		case slices.Contains(reservedParameters, strings.ToLower(name)):
			return fmt.Errorf("the parameter %s of the authentication request is rolegate's own to set", name)
		case name == "prompt" && slices.Contains(strings.Fields(value), "none"):
			return errors.New("prompt none would let nobody sign in")
		}
	}
	return nil
}

// scopes are those that are configured, without offline_access where the
// provider says that it has no such scope: it would refuse them all.
func (rp *RelyingParty) scopes(op *provider) []string {
	if len(op.Scopes) == 0 || slices.Contains(op.Scopes, offline) {
		return rp.c.Scopes
	}
	return slices.DeleteFunc(slices.Clone(rp.c.Scopes), func(s string) bool { return s == offline })
}

const offline = "offline_access"

// Begin makes the authentication request (OpenID Connect core 3.1.2.1 with
// RFC 7636), and brings it to the provider first where that wants it so
// (RFC 9126). CodeUnavailable while discovery fails.
func (rp *RelyingParty) Begin(ctx context.Context, r broker.AuthRequest) (broker.Challenge, error) {
	op, err := rp.current(ctx)
	if err != nil {
		return broker.Challenge{}, err
	}
	var opts []oauth2.AuthCodeOption
	for _, name := range slices.Sorted(maps.Keys(rp.c.Authorize)) { // ours come after them
		opts = append(opts, oauth2.SetAuthURLParam(name, rp.c.Authorize[name]))
	}
	opts = append(opts, gooidc.Nonce(r.Nonce), oauth2.S256ChallengeOption(r.CodeVerifier.Reveal()))
	prompt := strings.Fields(rp.c.Authorize["prompt"])
	maxAge := r.MaxAuthAge
	if r.ForceAuthn {
		if !slices.Contains(prompt, "login") {
			prompt = append([]string{"login"}, prompt...)
		}
		if maxAge == 0 {
			maxAge = freshLogin
		}
	}
	if len(prompt) > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("prompt", strings.Join(prompt, " ")))
	}
	if maxAge > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("max_age", fmt.Sprint(int64(maxAge/time.Second))))
	}
	if len(r.RequestedContext) > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("acr_values", strings.Join(r.RequestedContext, " ")))
	}
	address := rp.oauth(op).AuthCodeURL(r.State, opts...)
	if op.NeedsPAR {
		if address, err = rp.push(ctx, op, address); err != nil {
			return broker.Challenge{}, err
		}
	}
	return broker.Challenge{URL: address}, nil
}

// push brings the request to the provider and returns the address that stands
// for it (RFC 9126 2 and 4).
func (rp *RelyingParty) push(ctx context.Context, op *provider, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("oidc: authorization_endpoint of %s: %w", rp.c.ID, err)
	}
	end, err := url.Parse(op.Authorize)
	if err != nil {
		return "", fmt.Errorf("oidc: authorization_endpoint of %s: %w", rp.c.ID, err)
	}
	form := u.Query()
	for name := range end.Query() { // a query of the provider's own address
		form.Del(name)
	}
	status, body, err := rp.post(ctx, op, op.PAR, form)
	if err != nil {
		return "", rp.unavailable(fmt.Errorf("pushed authorization request: %w", err))
	}
	var answer struct {
		RequestURI string `json:"request_uri"`
		Error      string `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusCreated && status != http.StatusOK || answer.RequestURI == "" {
		return "", rp.unavailable(fmt.Errorf("pushed authorization request: status %d, error %.60q", status, answer.Error))
	}
	q := end.Query()
	q.Set("client_id", rp.c.ClientID)
	q.Set("request_uri", answer.RequestURI)
	end.RawQuery = q.Encode()
	return end.String(), nil
}
