package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/rolegate/rolegate/broker"
)

const (
	// maxHint bounds the ID token that goes into the address of a logout:
	// longer ones break on the limits of proxies and servers.
	maxHint        = 4 << 10
	maxLogoutToken = 16 << 10
	maxLogoutQuery = 4 << 10
	// maxLogoutAge is how long ago a logout token may have been issued: time
	// enough for a provider that tries again.
	maxLogoutAge = 10 * time.Minute
	// backChannel is the one event of a logout token (Back-Channel Logout 2.4).
	backChannel = "http://schemas.openid.net/event/backchannel-logout"
)

// logoutHint keeps the ID token for the id_token_hint.
func logoutHint(raw string) broker.Secret {
	if len(raw) > maxHint {
		return broker.Secret{}
	}
	return broker.NewSecret(raw)
}

// BeginLogout makes the logout request (RP-Initiated Logout 2). It is a GET: a
// POST from our page would come without the provider's SameSite cookies. Nil
// when the provider offers none.
func (rp *RelyingParty) BeginLogout(ctx context.Context, r broker.LogoutRequest) (*broker.Challenge, error) {
	if !r.Tokens.RefreshToken.IsZero() {
		rp.revoke(ctx, r.Tokens.RefreshToken)
	}
	if rp.c.NoLogout {
		return nil, nil
	}
	op, err := rp.current(ctx)
	if err != nil {
		return nil, err
	}
	if op.EndSession == "" {
		return nil, nil
	}
	u, err := url.Parse(op.EndSession)
	if err != nil {
		return nil, fmt.Errorf("oidc: end_session_endpoint of %s: %w", rp.c.ID, err)
	}
	q := u.Query()
	q.Set("client_id", rp.c.ClientID)
	q.Set("post_logout_redirect_uri", rp.gone)
	q.Set("state", r.State)
	if !r.Hint.IsZero() {
		q.Set("id_token_hint", r.Hint.Reveal())
	}
	u.RawQuery = q.Encode()
	return &broker.Challenge{URL: u.String()}, nil
}

// revokeTime is how long a person waits for the provider to forget their tokens.
const revokeTime = 5 * time.Second

// revoke tells the provider that a refresh token is over (RFC 7009), where it
// wants to know. The sign-out goes on whatever comes of it: here the token is
// gone already.
func (rp *RelyingParty) revoke(ctx context.Context, token broker.Secret) {
	ctx, cancel := context.WithTimeout(ctx, revokeTime)
	defer cancel()
	trace := broker.TraceFrom(ctx)
	op, err := rp.current(ctx)
	if err != nil || op.Revocation == "" {
		trace.Pass("oidc.revoke", "the provider names no revocation_endpoint: its refresh token ends by itself")
		return
	}
	status, _, err := rp.post(ctx, op, op.Revocation, url.Values{"token": {token.Reveal()}, "token_type_hint": {"refresh_token"}})
	if err != nil || status != http.StatusOK {
		trace.Fail("oidc.revoke", "the refresh token was not revoked: status %d, %v", status, err)
		return
	}
	trace.Pass("oidc.revoke", "the provider has ended the refresh token")
}

// FinishLogout checks that the browser comes back from our request: the state is
// all that RP-Initiated Logout 3 has. Who knows it was told by us.
func (rp *RelyingParty) FinishLogout(ctx context.Context, r broker.LogoutRequest, m broker.LogoutMessage) error {
	err := errors.New("the state is not ours")
	if len(m.Query) <= maxLogoutQuery && m.Form == nil {
		q, parseErr := url.ParseQuery(m.Query)
		if parseErr == nil && r.State != "" && slices.Equal(q["state"], []string{r.State}) {
			err = nil
		}
	}
	if err != nil {
		broker.TraceFrom(ctx).Fail("oidc.logout", "%v", err)
		return broker.Errorf(broker.CodeUnauthenticated, "You are signed out here, but your identity provider did not confirm that you are signed out there.").
			Fix("Sign out at your identity provider as well.").Because(fmt.Errorf("oidc: %s: %w", rp.c.ID, err))
	}
	broker.TraceFrom(ctx).Pass("oidc.logout", "the browser came back from the provider")
	return nil
}

// ReceiveLogout verifies a logout token (Back-Channel Logout 2.6) and says which
// sessions it ends. CodeUnauthenticated for whatever does not verify,
// CodeUnavailable when the provider's keys cannot be fetched.
func (rp *RelyingParty) ReceiveLogout(ctx context.Context, m broker.LogoutMessage) (broker.LogoutNotice, error) {
	if _, err := rp.current(ctx); err != nil {
		return broker.LogoutNotice{}, err
	}
	n, err := rp.logoutToken(ctx, m.Form)
	trace := broker.TraceFrom(ctx)
	if errors.Is(err, errFetch) {
		trace.Fail("oidc.logout_token", "%v", err)
		return broker.LogoutNotice{}, rp.unavailable(err)
	}
	if err != nil {
		trace.Fail("oidc.logout_token", "%v", err)
		return broker.LogoutNotice{}, broker.Errorf(broker.CodeUnauthenticated, "The logout token does not verify.").
			Fix("Compare the identity provider's settings for this client with rolegate's configuration.").
			Because(fmt.Errorf("oidc: %s: %w", rp.c.ID, err))
	}
	trace.Pass("oidc.logout_token", "verified; by sid: %t, by sub: %t", n.Sessions[0].SessionIndex != "", n.Sessions[0].NameID != "")
	return n, nil
}

// AnswerLogout is nil: the answer on the back channel is a status.
func (rp *RelyingParty) AnswerLogout(context.Context, broker.LogoutNotice, error) (*broker.Challenge, error) {
	return nil, nil
}

func (rp *RelyingParty) logoutToken(ctx context.Context, form url.Values) (broker.LogoutNotice, error) {
	var n broker.LogoutNotice
	if len(form["logout_token"]) != 1 {
		return n, fmt.Errorf("%d logout_token fields, one is needed", len(form["logout_token"]))
	}
	raw := form["logout_token"][0]
	if raw == "" || len(raw) > maxLogoutToken {
		return n, fmt.Errorf("a logout token of %d bytes", len(raw))
	}
	payload, err := rp.keys.verify(ctx, raw, typeLogout)
	if err != nil {
		return n, err
	}
	t, err := readToken(raw, payload)
	if err != nil {
		return n, err
	}
	if err := rp.checkLogout(t, payload); err != nil {
		return n, err
	}
	id, err := one(t.claims, "jti")
	if err != nil || id == "" || len(id) > 255 {
		return n, errors.New("no usable jti")
	}
	// Both, where both are named: this session, if it is this person's.
	n.Sessions = []broker.SessionFilter{{Provider: rp.c.ID, NameID: t.subject, SessionIndex: t.sessionID}}
	n.RequestID, n.ReplayID = id, "logout:"+id
	n.ReplayExpires = t.issuedAt.Add(maxLogoutAge)
	if !t.expires.IsZero() && t.expires.Before(n.ReplayExpires) {
		n.ReplayExpires = t.expires
	}
	n.ReplayExpires = n.ReplayExpires.Add(rp.c.ClockSkew)
	return n, nil
}

// checkLogout holds the claims (Back-Channel Logout 2.4 and 2.6).
// Some providers send no exp: then the age that iat says bounds it.
func (rp *RelyingParty) checkLogout(t idToken, payload []byte) error {
	members, err := membersOf(payload)
	if err != nil {
		return err
	}
	if _, nonce := members["nonce"]; nonce { // also one that is null, or a list of objects
		return errors.New("a nonce: an ID token is no logout token")
	}
	if sid, there := members["sid"]; there && len(t.claims["sid"]) != 1 && string(sid) != "null" {
		return errors.New("sid is no text") // without it, more sessions would end than are meant
	}
	if err := rp.checkToken(t, false); err != nil {
		return err
	}
	switch {
	case rp.c.Now().Sub(t.issuedAt) >= maxLogoutAge+rp.c.ClockSkew:
		return errors.New("issued too long ago")
	case t.subject == "" && t.sessionID == "":
		return errors.New("neither sub nor sid")
	case len(t.subject) > 255 || len(t.sessionID) > maxSessionID:
		return errors.New("sub or sid is too long")
	}
	return onlyBackChannel(members["events"])
}

// maxSessionID bounds a sid, of which no specification says a length.
const maxSessionID = 1024

// onlyBackChannel wants the one event of a logout token, and an object in it.
func onlyBackChannel(raw json.RawMessage) error {
	events, err := membersOf(raw)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	event, ok := events[backChannel]
	if !ok || len(events) != 1 {
		return errors.New("events is not the back-channel logout")
	}
	if _, err := membersOf(event); err != nil {
		return fmt.Errorf("the event: %w", err)
	}
	return nil
}

// membersOf returns the members of a JSON object by their exact names. (Claims
// have no empty objects, and encoding/json into a struct folds case.)
func membersOf(raw []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	out := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		if _, twice := out[text(name)]; twice {
			return nil, fmt.Errorf("%.80q comes twice", text(name))
		}
		out[text(name)] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return out, nil
}

var _ interface {
	broker.LogoutInitiator
	broker.LogoutReceiver
} = (*RelyingParty)(nil)
