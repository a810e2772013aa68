package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/rolegate/rolegate/broker"
)

// Begin makes the authentication request (OpenID Connect core 3.1.2.1 with
// RFC 7636). CodeUnavailable while discovery fails.
func (rp *RelyingParty) Begin(ctx context.Context, r broker.AuthRequest) (broker.Challenge, error) {
	op, err := rp.current(ctx)
	if err != nil {
		return broker.Challenge{}, err
	}
	opts := []oauth2.AuthCodeOption{gooidc.Nonce(r.Nonce), oauth2.S256ChallengeOption(r.CodeVerifier.Reveal())}
	switch {
	case r.ForceAuthn:
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"))
	case rp.c.Offline:
		// OpenID Connect core 11: offline_access is given with consent.
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	if r.MaxAuthAge > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("max_age", fmt.Sprint(int(r.MaxAuthAge/time.Second))))
	}
	if len(r.RequestedContext) > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("acr_values", strings.Join(r.RequestedContext, " ")))
	}
	return broker.Challenge{URL: rp.oauth(op).AuthCodeURL(r.State, opts...)}, nil
}

func (rp *RelyingParty) oauth(op *provider) *oauth2.Config {
	c := &oauth2.Config{
		ClientID: rp.c.ClientID, ClientSecret: rp.c.ClientSecret.Reveal(), RedirectURL: rp.callback, Scopes: rp.c.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: op.Authorize, TokenURL: op.Token, AuthStyle: op.authStyle()},
	}
	if rp.c.ClientKey != nil {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return c
}

// refused is the answer to whatever does not verify.
func (rp *RelyingParty) refused(cause error) error {
	return broker.Errorf(broker.CodeUnauthenticated, "The answer of your identity provider could not be verified.").
		Fix("Start again from the portal. If it happens again, tell your administrator the code below.").
		Because(fmt.Errorf("oidc: %s: %w", rp.c.ID, cause))
}

// Finish checks the callback, redeems the code and verifies the ID token.
func (rp *RelyingParty) Finish(ctx context.Context, r broker.AuthRequest, form url.Values) (broker.Authentication, error) {
	op, err := rp.current(ctx)
	if err != nil {
		return broker.Authentication{}, err
	}
	trace := broker.TraceFrom(ctx)
	code, err := rp.callbackCode(op, r, form)
	if err != nil {
		return broker.Authentication{}, err
	}
	trace.Pass("oidc.callback", "one code, state and issuer are right")
	tok, err := rp.redeem(ctx, op, code, oauth2.VerifierOption(r.CodeVerifier.Reveal()))
	if err != nil {
		return broker.Authentication{}, err
	}
	trace.Pass("oidc.token", "the code was redeemed")
	raw, claims, err := rp.verify(ctx, op, tok)
	if err != nil {
		return broker.Authentication{}, err
	}
	if claims.Nonce != r.Nonce {
		return broker.Authentication{}, rp.refused(errors.New("the nonce is not ours"))
	}
	trace.Pass("oidc.id_token", "signature, issuer, audience, times and nonce are right; their clock is %s from ours",
		time.Unix(claims.IssuedAt, 0).Sub(rp.c.Now()).Round(time.Second))
	if err := rp.fresh(r, claims); err != nil {
		return broker.Authentication{}, err
	}
	all, err := rp.claims(ctx, op, tok, claims)
	if err != nil {
		return broker.Authentication{}, err
	}
	sum := sha256.Sum256([]byte(raw))
	auth := broker.Authentication{
		Subject: broker.Subject{Provider: rp.c.ID, ID: claims.Subject}, Claims: all,
		AuthnContext: broker.AuthnContext{ACR: claims.ACR, AMR: claims.AMR}, SessionIndex: claims.SessionID,
		ReplayID: hex.EncodeToString(sum[:]), ReplayExpires: time.Unix(claims.Expires, 0).Add(rp.c.ClockSkew + time.Minute),
	}
	if claims.AuthTime > 0 {
		auth.AuthnInstant = time.Unix(claims.AuthTime, 0)
	}
	if rp.c.Offline {
		auth.Tokens = broker.Tokens{IDToken: broker.NewSecret(raw), IDExpires: time.Unix(claims.Expires, 0), RefreshToken: broker.NewSecret(tok.RefreshToken)}
	}
	trace.Pass("oidc.claims", "%d claims, acr %q, amr %v", len(all), claims.ACR, claims.AMR)
	return auth, nil
}

// callbackCode checks the authorization response (RFC 6749 4.1.2, RFC 9207).
func (rp *RelyingParty) callbackCode(op *provider, r broker.AuthRequest, form url.Values) (string, error) {
	for _, k := range []string{"code", "state", "iss", "error"} {
		if len(form[k]) > 1 {
			return "", rp.refused(fmt.Errorf("parameter %s twice", k))
		}
	}
	if form.Get("state") != r.State {
		return "", rp.refused(errors.New("the state is not ours"))
	}
	if iss := form.Get("iss"); iss != rp.c.Issuer && (iss != "" || op.IssParameter) {
		return "", rp.refused(fmt.Errorf("answered by %.200q (mix-up)", iss))
	}
	if e := form.Get("error"); e != "" {
		cause := fmt.Errorf("oidc: %s: error %.60q: %.200q", rp.c.ID, e, form.Get("error_description"))
		if e == "access_denied" {
			return "", broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not sign you in.").
				Fix("Try again; it knows why it refused.").Because(cause)
		}
		return "", broker.Errorf(broker.CodeUnauthenticated, "Your identity provider answered with an error.").
			Fix("Try again. If it happens again, tell your administrator the code below.").Because(cause)
	}
	code := form.Get("code")
	if code == "" || len(code) > 4096 {
		return "", rp.refused(errors.New("no usable code"))
	}
	return code, nil
}

func (rp *RelyingParty) redeem(ctx context.Context, op *provider, code string, opts ...oauth2.AuthCodeOption) (*oauth2.Token, error) {
	if rp.c.ClientKey != nil {
		assertion, err := rp.clientAssertion(op)
		if err != nil {
			return nil, err
		}
		opts = append(opts, oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
			oauth2.SetAuthURLParam("client_assertion", assertion))
	}
	tok, err := rp.oauth(op).Exchange(context.WithValue(ctx, oauth2.HTTPClient, rp.http), code, opts...)
	if err == nil {
		return tok, nil
	}
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode < 500 {
		// The answer's body may hold what was sent: its code is enough.
		return nil, rp.refused(fmt.Errorf("token endpoint: status %d, error %.60q", answer.Response.StatusCode, answer.ErrorCode))
	}
	return nil, broker.Errorf(broker.CodeUnavailable, "The identity provider %s does not answer.", rp.c.ID).
		Fix("Try again in a minute.").Because(fmt.Errorf("oidc: token endpoint of %s: %w", rp.c.ID, withoutBody(err)))
}

func withoutBody(err error) error {
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) && answer.Response != nil {
		return fmt.Errorf("status %d", answer.Response.StatusCode)
	}
	return err
}

// clientAssertion is the JWT of RFC 7523 section 3 for private_key_jwt.
func (rp *RelyingParty) clientAssertion(op *provider) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: rp.c.ClientKey, KeyID: rp.c.ClientKeyID}}, nil)
	if err != nil {
		return "", fmt.Errorf("oidc: client key of %s: %w", rp.c.ID, err)
	}
	now := rp.c.Now()
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: rp.c.ClientID, Subject: rp.c.ClientID, Audience: jwt.Audience{op.Issuer}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("oidc: client assertion of %s: %w", rp.c.ID, err)
	}
	return assertion, nil
}

// idClaims are the protocol claims of an ID token (OpenID Connect core 2).
type idClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	Party     string   `json:"azp"`
	Expires   int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	AuthTime  int64    `json:"auth_time"`
	Nonce     string   `json:"nonce"`
	ACR       string   `json:"acr"`
	AMR       []string `json:"amr"`
	SessionID string   `json:"sid"`

	payload json.RawMessage
}

type audience []string

// UnmarshalJSON takes one string or a list of strings.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// verify checks the ID token (OpenID Connect core 3.1.3.7).
func (rp *RelyingParty) verify(ctx context.Context, op *provider, tok *oauth2.Token) (string, idClaims, error) {
	raw, ok := tok.Extra("id_token").(string)
	if !ok || raw == "" || len(raw) > maxToken {
		return "", idClaims{}, rp.refused(fmt.Errorf("no usable ID token (%d bytes)", len(raw)))
	}
	verifier := gooidc.NewVerifier(op.Issuer, rp.keys, &gooidc.Config{
		ClientID: rp.c.ClientID, SupportedSigningAlgs: rp.c.Algorithms,
		Now: func() time.Time { return rp.c.Now().Add(-rp.c.ClockSkew) },
	})
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		if strings.Contains(err.Error(), errFetch.Error()) {
			return "", idClaims{}, broker.Errorf(broker.CodeUnavailable, "The keys of the identity provider %s cannot be fetched.", rp.c.ID).
				Fix("Try again in a minute.").Because(err)
		}
		return "", idClaims{}, rp.refused(err)
	}
	var c idClaims
	if err := id.Claims(&c.payload); err != nil {
		return "", idClaims{}, rp.refused(err)
	}
	if err := json.Unmarshal(c.payload, &c); err != nil {
		return "", idClaims{}, rp.refused(fmt.Errorf("claims: %w", err))
	}
	if err := rp.checkClaims(c); err != nil {
		return "", idClaims{}, rp.refused(err)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
			return "", idClaims{}, rp.refused(fmt.Errorf("at_hash: %w", err))
		}
	}
	return raw, c, nil
}

func (rp *RelyingParty) checkClaims(c idClaims) error {
	now, skew := rp.c.Now(), rp.c.ClockSkew
	switch {
	case c.Subject == "" || len(c.Subject) > 255:
		return errors.New("no usable sub")
	case c.Issuer != rp.c.Issuer:
		return fmt.Errorf("issuer %.200q", c.Issuer)
	case !slices.Contains(c.Audience, rp.c.ClientID):
		return errors.New("the audience is not us")
	case len(c.Audience) > 1 && c.Party == "":
		return errors.New("several audiences without azp")
	case c.Party != "" && c.Party != rp.c.ClientID:
		return fmt.Errorf("azp %.200q", c.Party)
	case c.IssuedAt == 0:
		return errors.New("no iat")
	case time.Unix(c.IssuedAt, 0).Sub(now) > skew:
		return errors.New("iat is to come")
	case c.Expires == 0 || c.Expires <= c.IssuedAt:
		return errors.New("exp is missing or before iat")
	case !now.Before(time.Unix(c.Expires, 0).Add(skew)):
		return errors.New("expired")
	case time.Unix(c.NotBefore, 0).Sub(now) > skew:
		return errors.New("nbf is to come")
	case c.AuthTime < 0 || time.Unix(c.AuthTime, 0).Sub(now) > skew:
		return errors.New("auth_time is to come")
	}
	return nil
}

// fresh holds the provider to a max_age or prompt=login that was asked for.
func (rp *RelyingParty) fresh(r broker.AuthRequest, c idClaims) error {
	if !r.ForceAuthn && r.MaxAuthAge == 0 {
		return nil
	}
	at := time.Unix(c.AuthTime, 0)
	stale := c.AuthTime == 0 || r.MaxAuthAge > 0 && rp.c.Now().Sub(at) > r.MaxAuthAge+rp.c.ClockSkew ||
		r.ForceAuthn && at.Before(r.CreatedAt.Add(-rp.c.ClockSkew))
	if !stale {
		return nil
	}
	return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not ask you to sign in afresh.").
		Fix("Sign out there, then try again.").Because(fmt.Errorf("oidc: %s: auth_time %d", rp.c.ID, c.AuthTime))
}

// claims flattens the token's claims and, where configured, userinfo's under
// them (OpenID Connect core 5.3): userinfo adds, the signed token wins.
func (rp *RelyingParty) claims(ctx context.Context, op *provider, tok *oauth2.Token, c idClaims) (broker.Claims, error) {
	out, err := flatten(c.payload)
	if err != nil {
		return nil, rp.refused(err)
	}
	if !rp.c.UserInfo {
		return out, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, op.UserInfo, nil)
	if err != nil {
		return nil, fmt.Errorf("oidc: userinfo: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	req.Header.Set("Accept", "application/json")
	resp, err := rp.http.Do(req)
	if err != nil {
		return nil, broker.Errorf(broker.CodeUnavailable, "The identity provider %s does not answer.", rp.c.ID).
			Fix("Try again in a minute.").Because(fmt.Errorf("oidc: userinfo: %w", err))
	}
	defer resp.Body.Close()
	var body json.RawMessage
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&body) != nil {
		return nil, rp.refused(fmt.Errorf("userinfo: status %d or no JSON", resp.StatusCode))
	}
	more, err := flatten(body)
	if err != nil {
		return nil, rp.refused(fmt.Errorf("userinfo: %w", err))
	}
	if more.First("sub") != c.Subject {
		return nil, rp.refused(errors.New("userinfo is about somebody else"))
	}
	for k, v := range more {
		if _, have := out[k]; !have {
			out[k] = v
		}
	}
	return out, nil
}

// RefreshTokens gets a fresh ID token about the same subject (OpenID Connect
// core 12). CodeUnauthenticated when the person has to sign in again.
func (rp *RelyingParty) RefreshTokens(ctx context.Context, s broker.Subject, t broker.Tokens) (broker.Tokens, error) {
	op, err := rp.current(ctx)
	if err != nil {
		return broker.Tokens{}, err
	}
	again := broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not renew your sign-in.").Fix("Sign in again.")
	if t.RefreshToken.IsZero() {
		return broker.Tokens{}, again
	}
	tok, err := rp.redeem(ctx, op, "", oauth2.SetAuthURLParam("grant_type", "refresh_token"),
		oauth2.SetAuthURLParam("refresh_token", t.RefreshToken.Reveal()))
	if broker.CodeOf(err) == broker.CodeUnauthenticated {
		return broker.Tokens{}, again.Because(err)
	}
	if err != nil {
		return broker.Tokens{}, err
	}
	raw, claims, err := rp.verify(ctx, op, tok)
	if err != nil {
		return broker.Tokens{}, err
	}
	if claims.Subject != s.ID {
		return broker.Tokens{}, again.Because(errors.New("oidc: the refreshed token is about somebody else"))
	}
	out := broker.Tokens{IDToken: broker.NewSecret(raw), IDExpires: time.Unix(claims.Expires, 0), RefreshToken: t.RefreshToken}
	if tok.RefreshToken != "" {
		out.RefreshToken = broker.NewSecret(tok.RefreshToken)
	}
	return out, nil
}
