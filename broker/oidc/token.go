package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/rolegate/rolegate/broker"
)

// redeem gives the code for tokens (OpenID Connect core 3.1.3).
func (rp *RelyingParty) redeem(ctx context.Context, op *provider, code string, verifier broker.Secret) (*oauth2.Token, error) {
	opts, err := rp.clientAuth(op)
	if err != nil {
		return nil, err
	}
	opts = append(opts, oauth2.VerifierOption(verifier.Reveal()))
	tok, err := rp.oauth(op).Exchange(context.WithValue(ctx, oauth2.HTTPClient, rp.http), code, opts...)
	if err != nil {
		return nil, rp.tokenError(err)
	}
	return tok, nil
}

// renew gives a refresh token for tokens (OpenID Connect core 12).
func (rp *RelyingParty) renew(ctx context.Context, op *provider, refresh broker.Secret) (*oauth2.Token, error) {
	opts, err := rp.clientAuth(op)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, rp.http)
	c := rp.oauth(op)
	var tok *oauth2.Token
	if len(opts) == 0 {
		tok, err = c.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh.Reveal()}).Token()
	} else {
		// A token source takes no client assertion. Exchange leaves an empty
		// code in the form, which is as if it were not there (RFC 6749 3.2).
		c.RedirectURL = ""
		tok, err = c.Exchange(ctx, "", append(opts, oauth2.SetAuthURLParam("grant_type", "refresh_token"),
			oauth2.SetAuthURLParam("refresh_token", refresh.Reveal()))...)
	}
	if err != nil {
		return nil, rp.tokenError(err)
	}
	return tok, nil
}

// tokenError sorts what the token endpoint did. Its answer's body may hold what
// was sent and never goes on.
func (rp *RelyingParty) tokenError(err error) error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok || answer.Response == nil {
		return rp.unavailable(fmt.Errorf("token endpoint: %w", err))
	}
	status := answer.Response.StatusCode
	cause := fmt.Errorf("token endpoint: status %d, error %.60q", status, answer.ErrorCode)
	switch {
	case status >= 300 && status < 400 || status >= 500 || status == http.StatusTooManyRequests:
		return rp.unavailable(cause)
	case status == http.StatusUnauthorized, answer.ErrorCode == "invalid_client", answer.ErrorCode == "unauthorized_client":
		return broker.Errorf(broker.CodeUnavailable, "The identity provider %s does not know rolegate by its client secret or key.", rp.c.ID).
			Fix("An administrator has to renew the client's credentials in rolegate's configuration.").
			Because(fmt.Errorf("oidc: %s: %w", rp.c.ID, cause))
	case answer.ErrorCode != "" && answer.ErrorCode != "invalid_grant":
		return rp.notTaken().Because(fmt.Errorf("oidc: %s: %w", rp.c.ID, cause))
	}
	return rp.refused(cause)
}

// notTaken is the answer to a refusal that is about how we are registered.
func (rp *RelyingParty) notTaken() *broker.Error {
	return broker.Errorf(broker.CodeUnauthenticated, "The identity provider %s did not take rolegate's request.", rp.c.ID).
		Fix("An administrator has to compare how rolegate is registered there with its configuration here.")
}

// idToken is a verified ID token.
type idToken struct {
	raw                                    string
	claims                                 broker.Claims
	odd                                    broker.Unreadable // left out of claims
	issuer, subject, party                 string
	nonce, accessHash                      string
	acr, sessionID                         string
	expires, issuedAt, notBefore, authTime time.Time
}

// replayID names what was signed. The signature is left out: a second valid one
// can be made from an ECDSA signature without the key.
func (t idToken) replayID() string {
	signed := t.raw[:strings.LastIndexByte(t.raw, '.')]
	sum := sha256.Sum256([]byte(signed))
	return hex.EncodeToString(sum[:])
}

// signatures hands one verified payload from our keys to go-oidc, and back to
// us what go-oidc would only give as text.
type signatures struct {
	keys    *keySet
	payload []byte
	err     error
}

// VerifySignature implements go-oidc's KeySet.
func (s *signatures) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	s.payload, s.err = s.keys.verify(ctx, raw, typeID)
	return s.payload, s.err
}

// verify checks the ID token of a token answer (OpenID Connect core 3.1.3.7),
// all but the nonce. at_hash is optional in the code flow (3.1.3.6), where the
// access token comes by the same TLS connection: it is checked when present.
func (rp *RelyingParty) verify(ctx context.Context, op *provider, tok *oauth2.Token) (idToken, error) {
	raw, _ := tok.Extra("id_token").(string)
	if raw == "" || len(raw) > maxToken {
		return idToken{}, rp.refused(fmt.Errorf("no usable ID token (%d bytes)", len(raw)))
	}
	sigs := &signatures{keys: rp.keys}
	// Times are checked below, with the configured skew on each.
	library, err := gooidc.NewVerifier(op.Issuer, sigs, &gooidc.Config{
		ClientID: rp.c.ClientID, SupportedSigningAlgs: rp.c.Algorithms, SkipExpiryCheck: true,
	}).Verify(ctx, raw)
	if errors.Is(sigs.err, errFetch) {
		return idToken{}, rp.unavailable(sigs.err)
	}
	if err != nil {
		return idToken{}, rp.refused(err)
	}
	t, err := readToken(raw, sigs.payload)
	if err != nil {
		return idToken{}, rp.refused(err)
	}
	// Also of a token that is refused, as it may be refused because of that.
	if !t.issuedAt.IsZero() {
		rp.mu.Lock()
		rp.status.Skew, rp.status.SkewKnown = t.issuedAt.Sub(rp.c.Now()), true
		rp.mu.Unlock()
	}
	if err := rp.check(t); err != nil {
		return idToken{}, rp.refused(err)
	}
	if t.claims["at_hash"] != nil {
		library.AccessTokenHash = t.accessHash // by its exact name
		if err := library.VerifyAccessToken(tok.AccessToken); err != nil {
			return idToken{}, rp.refused(fmt.Errorf("at_hash: %w", err))
		}
	}
	return t, nil
}

// readToken takes the protocol claims by their exact names: encoding/json, which
// the library uses, would take "SUB" for "sub".
func readToken(raw string, payload []byte) (idToken, error) {
	claims, odd, err := flatten(payload)
	if err != nil {
		return idToken{}, err
	}
	t := idToken{raw: raw, claims: claims, odd: odd}
	var errs []error
	for name, into := range map[string]*string{
		"iss": &t.issuer, "sub": &t.subject, "azp": &t.party, "nonce": &t.nonce, "at_hash": &t.accessHash,
	} {
		v, err := one(claims, name)
		*into, errs = v, append(errs, err)
	}
	for name, into := range map[string]*time.Time{"exp": &t.expires, "iat": &t.issuedAt, "nbf": &t.notBefore} {
		v, err := date(claims, name)
		*into, errs = v, append(errs, err)
	}
	for _, name := range []string{"iss", "sub", "aud", "azp", "nonce", "at_hash", "exp", "iat", "nbf"} {
		if why, unreadable := odd[name]; unreadable { // which is not absent
			errs = append(errs, fmt.Errorf("%s is %s", name, why))
		}
	}
	// These prove something by what they say, and nothing where it cannot be
	// read. There are providers that write 0 for a time they do not know.
	t.acr, t.sessionID = single(claims, "acr"), single(claims, "sid")
	if at, err := date(claims, "auth_time"); err == nil {
		t.authTime = at
	}
	return t, errors.Join(errs...)
}

// check holds what only an ID token has, and what any token of the provider has.
func (rp *RelyingParty) check(t idToken) error {
	switch {
	case t.subject == "" || len(t.subject) > 255:
		return errors.New("no usable sub")
	case t.authTime.Sub(rp.c.Now()) > rp.c.ClockSkew:
		return rp.late("auth_time is to come,", t.authTime)
	}
	return rp.checkToken(t, true)
}

// late says by how much a time is off, with both clocks.
func (rp *RelyingParty) late(what string, at time.Time) error {
	return fmt.Errorf("%s at %s, and our clock says %s; %s are allowed", what, stamp(at), stamp(rp.c.Now()), rp.c.ClockSkew)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// checkToken holds issuer, audience and times, of an ID token (OpenID Connect
// core 3.1.3.7) and of a logout token (Back-Channel Logout 2.6) alike. A logout
// token may have no exp.
func (rp *RelyingParty) checkToken(t idToken, ends bool) error {
	now, skew := rp.c.Now(), rp.c.ClockSkew
	audience := t.claims["aud"]
	switch {
	case t.issuer != rp.c.Issuer:
		return fmt.Errorf("issuer %.200q", t.issuer)
	case !slices.Contains(audience, rp.c.ClientID):
		return errors.New("the audience is not us")
	case len(audience) > 1 && t.party == "":
		return errors.New("several audiences without azp")
	case t.claims["azp"] != nil && t.party != rp.c.ClientID:
		return fmt.Errorf("azp %.200q", t.party)
	case t.issuedAt.IsZero():
		return errors.New("no iat")
	case t.issuedAt.Sub(now) > skew:
		return rp.late("iat is to come,", t.issuedAt)
	case t.expires.IsZero() && ends:
		return errors.New("exp is missing")
	case !t.expires.IsZero() && !t.expires.After(t.issuedAt):
		return fmt.Errorf("exp %s is before iat %s", stamp(t.expires), stamp(t.issuedAt))
	case !t.expires.IsZero() && now.Sub(t.expires) >= skew:
		return rp.late("expired", t.expires)
	case t.notBefore.Sub(now) > skew:
		return rp.late("nbf is to come,", t.notBefore)
	}
	return nil
}

// RefreshTokens gets a fresh ID token about the same subject (OpenID Connect
// core 12.2). It keeps the refresh token when the provider does not give
// another. CodeUnauthenticated when the person has to sign in again.
func (rp *RelyingParty) RefreshTokens(ctx context.Context, s broker.Subject, t broker.Tokens) (broker.Tokens, error) {
	again := broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not renew your sign-in.").Fix("Sign in again.")
	if t.RefreshToken.IsZero() {
		return broker.Tokens{}, again.Because(errors.New("oidc: no refresh token"))
	}
	if s.Provider != rp.c.ID {
		return broker.Tokens{}, fmt.Errorf("oidc: a subject of %s was given to %s", s.Provider, rp.c.ID)
	}
	op, err := rp.current(ctx)
	if err != nil {
		return broker.Tokens{}, err
	}
	tok, err := rp.renew(ctx, op, t.RefreshToken)
	if err != nil {
		if broker.CodeOf(err) == broker.CodeUnauthenticated {
			return broker.Tokens{}, again.Because(err)
		}
		return broker.Tokens{}, err
	}
	id, err := rp.verify(ctx, op, tok)
	if err != nil {
		if broker.CodeOf(err) == broker.CodeUnauthenticated {
			return broker.Tokens{}, again.Because(err)
		}
		return broker.Tokens{}, err
	}
	if id.subject != s.ID {
		return broker.Tokens{}, again.Because(errors.New("oidc: the refreshed token is about somebody else"))
	}
	out := broker.Tokens{IDToken: broker.NewSecret(id.raw), IDExpires: id.expires, RefreshToken: t.RefreshToken}
	if tok.RefreshToken != "" {
		out.RefreshToken = broker.NewSecret(tok.RefreshToken)
	}
	broker.TraceFrom(ctx).Pass("oidc.refresh", "a fresh ID token until %s", id.expires.UTC().Format(time.RFC3339))
	return out, nil
}
