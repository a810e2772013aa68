package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/rolegate/rolegate/broker"
)

const (
	maxCode = 4096
	// maxReplay bounds how long a redeemed token is remembered. Its nonce is
	// good for one pending sign-in of minutes, so this is a second line.
	maxReplay = 24 * time.Hour
	// freshLogin goes out as max_age beside prompt=login, as a provider owes
	// an auth_time only then (OpenID Connect core 2). What comes back is held
	// against the time of the request.
	freshLogin = 10 * time.Minute
)

// refused is the answer to whatever does not verify.
func (rp *RelyingParty) refused(cause error) error {
	return broker.Errorf(broker.CodeUnauthenticated, "The answer of your identity provider could not be verified.").
		Fix("Start again from the portal. If it happens again, tell your administrator the trace id below.").
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
	trace.Pass("oidc.callback", "one code; state and issuer are right")
	tok, err := rp.redeem(ctx, op, code, r.CodeVerifier)
	if err != nil {
		return broker.Authentication{}, err
	}
	trace.Pass("oidc.token", "the code was redeemed")
	id, err := rp.verify(ctx, op, tok)
	if err != nil {
		return broker.Authentication{}, err
	}
	if id.nonce == "" || id.nonce != r.Nonce {
		return broker.Authentication{}, rp.refused(errors.New("the nonce is not ours"))
	}
	trace.Pass("oidc.id_token", "signature, issuer, audience, times and nonce are right; their clock is %s from ours",
		id.issuedAt.Sub(rp.c.Now()).Round(time.Second))
	if err := rp.fresh(r, id.authTime); err != nil {
		return broker.Authentication{}, err
	}
	all := sent{id.claims, id.odd}
	if rp.c.UserInfo {
		if all, err = rp.withUserInfo(ctx, op, tok, id); err != nil {
			return broker.Authentication{}, err
		}
		trace.Pass("oidc.userinfo", "about the same subject")
	}
	// Spent, and about nobody: it is not kept with what is known of a person.
	delete(all.claims, "nonce")
	auth := broker.Authentication{
		Subject: broker.Subject{Provider: rp.c.ID, ID: id.subject}, NameID: id.subject, LogoutHint: logoutHint(id.raw), Claims: all.claims,
		AuthnContext: broker.AuthnContext{ACR: id.acr, AMR: id.claims["amr"]}, AuthnInstant: id.authTime, SessionIndex: id.sessionID,
		ReplayID: id.replayID(), ReplayExpires: id.expires.Add(rp.c.ClockSkew + time.Minute),
	}
	if len(all.odd) > 0 {
		auth.Unreadable = all.odd
	}
	if n, said := all.said(); n > 0 {
		trace.Pass("oidc.claims", "%d claims left out: %.1000s", n, said)
	}
	if end := rp.c.Now().Add(maxReplay); auth.ReplayExpires.After(end) {
		auth.ReplayExpires = end
	}
	if rp.c.Offline {
		auth.Tokens = broker.Tokens{IDToken: broker.NewSecret(id.raw), IDExpires: id.expires, RefreshToken: broker.NewSecret(tok.RefreshToken)}
		lasts := "roles by the provider's own token last as long as it, as the provider gave no refresh token (see offline_access)"
		if tok.RefreshToken != "" {
			lasts = "with a refresh token"
		}
		trace.Pass("oidc.offline", "tokens are kept, %s", lasts)
	}
	trace.Pass("oidc.claims", "%d claims, acr %q, amr %q", len(all.claims), id.acr, id.claims["amr"])
	return auth, nil
}

// callbackCode checks the authorization response (RFC 6749 4.1.2, RFC 9207).
func (rp *RelyingParty) callbackCode(op *provider, r broker.AuthRequest, form url.Values) (string, error) {
	for _, k := range []string{"code", "state", "iss", "error"} {
		if len(form[k]) > 1 {
			return "", rp.refused(fmt.Errorf("parameter %s twice", k))
		}
	}
	if r.State == "" || form.Get("state") != r.State {
		return "", rp.refused(errors.New("the state is not ours"))
	}
	if iss := form.Get("iss"); iss != rp.c.Issuer && (form.Has("iss") || op.IssParameter) {
		return "", rp.refused(fmt.Errorf("answered by %.200q (mix-up)", iss))
	}
	if e := form.Get("error"); e != "" {
		return "", rp.answered(e, form.Get("error_description"))
	}
	code := form.Get("code")
	if code == "" || len(code) > maxCode {
		return "", rp.refused(errors.New("no usable code"))
	}
	return code, nil
}

// answered puts an error answer (RFC 6749 4.1.2.1, OpenID Connect core 3.1.2.6)
// into plain words. What the provider says about it is for the trace only.
func (rp *RelyingParty) answered(code, description string) error {
	var e *broker.Error
	switch code {
	case "access_denied":
		e = broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not sign you in.").
			Fix("Try again; the identity provider knows why it refused.")
	case "login_required", "interaction_required", "account_selection_required", "consent_required":
		e = broker.Errorf(broker.CodeUnauthenticated, "Your identity provider needs something from you first.").
			Fix("Start again from the portal and go through all of its pages.")
	case "unmet_authentication_requirements":
		e = broker.Errorf(broker.CodeUnauthenticated, "Your identity provider could not sign you in as strongly as is needed here.").
			Fix("Set up a second factor there, then try again.")
	case "server_error", "temporarily_unavailable":
		e = broker.Errorf(broker.CodeUnavailable, "The identity provider %s has a problem of its own.", rp.c.ID).
			Fix("Try again in a minute, or choose another identity provider.")
	default:
		e = rp.notTaken()
	}
	return e.Because(fmt.Errorf("oidc: %s: error %.60q: %.200q", rp.c.ID, code, description))
}

// fresh holds the provider to a max_age or prompt=login that was asked for.
func (rp *RelyingParty) fresh(r broker.AuthRequest, at time.Time) error {
	if !r.ForceAuthn && r.MaxAuthAge == 0 {
		return nil
	}
	stale := at.IsZero() || r.MaxAuthAge > 0 && rp.c.Now().Sub(at) > r.MaxAuthAge+rp.c.ClockSkew ||
		r.ForceAuthn && at.Before(r.CreatedAt.Add(-rp.c.ClockSkew))
	if !stale {
		return nil
	}
	return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not ask you to sign in afresh.").
		Fix("Sign out there, then try again.").Because(fmt.Errorf("oidc: %s: auth_time %s", rp.c.ID, at.UTC().Format(time.RFC3339)))
}
