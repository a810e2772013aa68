package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// retryAfter is the least time between two tries at discovery that a sign-in
// sets off.
const retryAfter = 5 * time.Second

// provider is what we use of a discovery document (OpenID Connect Discovery 3,
// RFC 8414 2).
type provider struct {
	Issuer, Authorize, Token, UserInfo, Keys, EndSession, Revocation, PAR string
	Responses, Auth, PKCE, Scopes                                         []string
	IssParameter, NeedsPAR, NeedsJAR                                      bool
	leftOut                                                               []string // addresses that are there and will not do
}

// leave notes an address that is not used; one that is not there is none.
func (op *provider) leave(name, address string, why error) {
	if address != "" {
		op.leftOut = append(op.leftOut, name+": "+why.Error())
	}
}

// read takes the members by their exact names. What has an odd type says
// nothing: only what is needed is missed.
func (op *provider) read(body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return err
	}
	for name, into := range map[string]*string{
		"issuer": &op.Issuer, "authorization_endpoint": &op.Authorize, "token_endpoint": &op.Token, "userinfo_endpoint": &op.UserInfo,
		"jwks_uri": &op.Keys, "end_session_endpoint": &op.EndSession, "revocation_endpoint": &op.Revocation,
		"pushed_authorization_request_endpoint": &op.PAR,
	} {
		if json.Unmarshal(members[name], into) != nil {
			*into = ""
		}
	}
	for name, into := range map[string]*[]string{
		"response_types_supported": &op.Responses, "token_endpoint_auth_methods_supported": &op.Auth,
		"code_challenge_methods_supported": &op.PKCE, "scopes_supported": &op.Scopes,
	} {
		var one string
		if json.Unmarshal(members[name], into) != nil {
			*into = nil
			if json.Unmarshal(members[name], &one) == nil {
				*into = strings.Fields(one)
			}
		}
	}
	for name, into := range map[string]*bool{
		"authorization_response_iss_parameter_supported": &op.IssParameter, "require_pushed_authorization_requests": &op.NeedsPAR,
		"require_signed_request_object": &op.NeedsJAR,
	} {
		raw, there := members[name]
		if there && json.Unmarshal(raw, into) != nil { // it asks for more, and in doubt it does
			*into = !strings.EqualFold(string(raw), `"false"`)
		}
	}
	return nil
}

// Refresh fetches the discovery document and the keys. On failure the last good
// copy of each stays.
func (rp *RelyingParty) Refresh(ctx context.Context) error {
	select {
	case rp.gate <- struct{}{}:
		defer func() { <-rp.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return rp.refresh(ctx)
}

// refresh is called with the gate held.
func (rp *RelyingParty) refresh(ctx context.Context) error {
	op, err := rp.discover(ctx)
	if err == nil {
		rp.keys.setURL(op.Keys)
		err = rp.keys.refresh(ctx)
	}
	gaveUp := err != nil && errors.Is(ctx.Err(), context.Canceled) // says nothing about the provider
	if rp.refreshed(op, err, gaveUp) && rp.c.Changed != nil {
		rp.c.Changed(rp.ProviderStatus())
	}
	return err
}

// refreshed keeps what a refresh came to, and reports whether the provider is up
// or down since.
func (rp *RelyingParty) refreshed(op *provider, err error, gaveUp bool) (changed bool) {
	odd := rp.keys.odd()
	rp.mu.Lock()
	defer rp.mu.Unlock()
	if op != nil {
		rp.op, rp.status.Issuer = op, op.Issuer
	}
	if gaveUp {
		return false
	}
	rp.tried = rp.c.Now()
	changed = rp.status.Tried(rp.tried, err)
	if err == nil {
		rp.status.Refreshed, rp.status.LeftOut = rp.tried, slices.Concat(op.leftOut, odd)
	}
	return changed
}

// current returns the last good discovery document; without one it tries to get
// it, for one caller at a time and not more often than [retryAfter].
func (rp *RelyingParty) current(ctx context.Context) (*provider, error) {
	if op, _, _ := rp.known(); op != nil {
		return op, nil
	}
	select {
	case rp.gate <- struct{}{}:
		defer func() { <-rp.gate }()
	case <-ctx.Done():
		return nil, rp.unavailable(ctx.Err())
	}
	op, again, err := rp.known()
	if op == nil && again {
		// Those who wait for the answer do not lose it when the first leaves.
		err = rp.refresh(context.WithoutCancel(ctx))
		op, _, _ = rp.known()
	}
	if op == nil {
		return nil, rp.unavailable(err)
	}
	return op, nil
}

func (rp *RelyingParty) known() (op *provider, again bool, err error) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	return rp.op, rp.c.Now().Sub(rp.tried) >= retryAfter, rp.status.Err
}

func (rp *RelyingParty) unavailable(cause error) error {
	return broker.Errorf(broker.CodeUnavailable, "The identity provider %s does not answer.", rp.c.ID).
		Fix("Try again in a minute, or choose another identity provider.").Because(fmt.Errorf("oidc: %s: %w", rp.c.ID, cause))
}

func (rp *RelyingParty) discover(ctx context.Context) (*provider, error) {
	fail := func(err error) (*provider, error) {
		return nil, fmt.Errorf("oidc: discovery of %s: %w", rp.c.ID, err)
	}
	address := rp.c.DiscoveryURL
	if address == "" {
		address = strings.TrimSuffix(rp.c.Issuer, "/") + "/.well-known/openid-configuration"
	}
	var op provider
	body, err := rp.get(ctx, address)
	if err == nil {
		err = op.read(body)
	}
	if err != nil {
		return fail(err)
	}
	if op.Issuer != rp.c.Issuer {
		return fail(fmt.Errorf("the document is about %.200q and not %q", broker.RedactURL(op.Issuer), rp.c.Issuer))
	}
	for name, u := range map[string]string{"token_endpoint": op.Token, "jwks_uri": op.Keys} {
		if err := rp.c.checkURL(u); err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
	}
	// The browser goes there and we do not: with a provider in a sandbox it is
	// a plain page on this machine.
	if err := (Config{InsecureHTTP: true}).checkURL(op.Authorize); err != nil {
		return fail(fmt.Errorf("authorization_endpoint: %w", err))
	}
	// We send refresh tokens and requests there.
	if err := rp.c.checkURL(op.Revocation); err != nil {
		op.leave("revocation_endpoint", op.Revocation, err)
		op.Revocation = ""
	}
	if op.NeedsJAR {
		return fail(errors.New("it wants signed request objects (RFC 9101), which rolegate does not send"))
	}
	if op.NeedsPAR {
		if err := rp.c.checkURL(op.PAR); err != nil {
			return fail(fmt.Errorf("pushed_authorization_request_endpoint: %w", err))
		}
	}
	// Signing out there is an extra: an address that will not do is none.
	if err := (Config{InsecureHTTP: true}).checkURL(op.EndSession); err != nil {
		op.leave("end_session_endpoint", op.EndSession, err)
		op.EndSession = ""
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
	if err := rp.offered(&op); err != nil {
		return fail(err)
	}
	return &op, nil
}

func (rp *RelyingParty) getJSON(ctx context.Context, address string, into any) error {
	body, err := rp.get(ctx, address)
	if err != nil {
		return broker.RedactedError(err)
	}
	return json.Unmarshal(body, into)
}

func (rp *RelyingParty) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	status, body, err := rp.call(req)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	return body, err
}

// call sends a request and reads the answer, at most [maxAnswer] of it.
func (rp *RelyingParty) call(req *http.Request) (status int, body []byte, err error) {
	req.Header.Set("Accept", "application/json")
	resp, err := rp.http.Do(req)
	if err != nil {
		return 0, nil, broker.RedactedError(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
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
