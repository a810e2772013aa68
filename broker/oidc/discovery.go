package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/rolegate/rolegate/broker"
)

// retryAfter is the least time between two tries at discovery that a sign-in
// sets off.
const retryAfter = 5 * time.Second

// provider is what we use of a discovery document (OpenID Connect Discovery 3).
type provider struct {
	Issuer       string   `json:"issuer"`
	Authorize    string   `json:"authorization_endpoint"`
	Token        string   `json:"token_endpoint"`
	UserInfo     string   `json:"userinfo_endpoint"`
	Keys         string   `json:"jwks_uri"`
	Responses    []string `json:"response_types_supported"`
	Auth         []string `json:"token_endpoint_auth_methods_supported"`
	PKCE         []string `json:"code_challenge_methods_supported"`
	IssParameter bool     `json:"authorization_response_iss_parameter_supported"`
}

// Refresh fetches the discovery document. On failure the last good copy stays.
func (rp *RelyingParty) Refresh(ctx context.Context) error {
	op, err := rp.discover(ctx)
	rp.mu.Lock()
	defer rp.mu.Unlock()
	rp.tried, rp.status.Err = rp.c.Now(), err
	if err != nil {
		return err
	}
	rp.op, rp.status.Issuer, rp.status.Refreshed = op, op.Issuer, rp.c.Now()
	rp.keys.setURL(op.Keys)
	return nil
}

func (rp *RelyingParty) current(ctx context.Context) (*provider, error) {
	rp.mu.Lock()
	op, again := rp.op, rp.c.Now().Sub(rp.tried) >= retryAfter
	rp.mu.Unlock()
	if op != nil {
		return op, nil
	}
	err := rp.Status().Err
	if again {
		err = rp.Refresh(ctx)
	}
	rp.mu.Lock()
	defer rp.mu.Unlock()
	if rp.op == nil {
		return nil, broker.Errorf(broker.CodeUnavailable, "The identity provider %s does not answer.", rp.c.ID).
			Fix("Try again in a minute, or choose another identity provider.").Because(err)
	}
	return rp.op, nil
}

func (rp *RelyingParty) discover(ctx context.Context) (*provider, error) {
	fail := func(err error) (*provider, error) {
		return nil, fmt.Errorf("oidc: discovery of %s: %w", rp.c.ID, err)
	}
	var op provider
	if err := rp.getJSON(ctx, rp.c.Issuer+"/.well-known/openid-configuration", &op); err != nil {
		return fail(err)
	}
	if op.Issuer != rp.c.Issuer {
		return fail(fmt.Errorf("the document is about %.200q and not %q", op.Issuer, rp.c.Issuer))
	}
	for name, u := range map[string]string{"token_endpoint": op.Token, "jwks_uri": op.Keys} {
		if err := rp.c.checkURL(u); err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
	}
	// The browser goes there and we do not, so a sandbox may have it elsewhere;
	// but never to a scheme that is no web page.
	if err := (Config{InsecureHTTP: rp.c.InsecureHTTP || loopback(op.Authorize)}).checkURL(op.Authorize); err != nil {
		return fail(fmt.Errorf("authorization_endpoint: %w", err))
	}
	if rp.c.UserInfo {
		if err := rp.c.checkURL(op.UserInfo); err != nil {
			return fail(fmt.Errorf("userinfo_endpoint: %w", err))
		}
	}
	if len(op.Responses) > 0 && !slices.Contains(op.Responses, "code") {
		return fail(errors.New("it does not offer the code flow"))
	}
	if len(op.PKCE) > 0 && !slices.Contains(op.PKCE, "S256") {
		return fail(errors.New("it does not offer PKCE with S256"))
	}
	if rp.c.ClientKey != nil && len(op.Auth) > 0 && !slices.Contains(op.Auth, "private_key_jwt") {
		return fail(errors.New("it does not offer private_key_jwt"))
	}
	return &op, nil
}

// authStyle says where the client secret goes. It is never probed: a probe
// burns the code.
func (op *provider) authStyle() oauth2.AuthStyle {
	if len(op.Auth) == 0 || slices.Contains(op.Auth, "client_secret_basic") {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}

func (rp *RelyingParty) getJSON(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := rp.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// bounded is a transport whose answers end with an error after maxAnswer bytes.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("oidc: an answer of more than %d bytes", maxAnswer)
	}
	return n, err
}
