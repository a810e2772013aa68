package program

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/session"
)

// AccessTokenTTL is how long an access token lives. AWS's own clients refresh
// 15 minutes early, so it is not much shorter.
const AccessTokenTTL = time.Hour

// RefreshGrace is how long the refresh token before the present one still
// works: several processes share one file and may refresh at the same moment.
// They all get the same next token.
const RefreshGrace = time.Minute

// maxPrograms bounds how many programs act for a person at one time.
const maxPrograms = 100

// TokenSet is what a program gets. Each refresh token is used once.
type TokenSet struct {
	Access           broker.Secret
	Refresh          broker.Secret
	ExpiresIn        time.Duration
	SessionExpiresAt time.Time // no refresh goes beyond it
}

type accessRecord struct {
	Session   string    `json:"session"`
	ClientID  string    `json:"client"`
	ExpiresAt time.Time `json:"expires"`
}

// familyRecord is the refresh tokens of one session. A refresh token is
// FAMILY.SECRET; only hashes of the secrets are kept. The next secret is
// derived from the one before and Nonce, so that within the grace it can be
// handed out again to whoever holds the one before, and by nobody else.
type familyRecord struct {
	ClientID  string    `json:"client"`
	Current   string    `json:"current"`            // hash
	Previous  string    `json:"previous,omitempty"` // hash
	Nonce     []byte    `json:"nonce,omitempty"`    // made Current of the previous
	RotatedAt time.Time `json:"rotated,omitzero"`
	ExpiresAt time.Time `json:"expires"`
}

// open makes a session for a program from the browser session that approved it,
// and its first tokens. The event comes before anything that works.
func (d *Service) open(ctx context.Context, source *broker.Session, client broker.SessionClient) (TokenSet, *broker.Session, error) {
	now := d.c.Now()
	n, err := d.c.Book.Programs(ctx, source.Identity.Subject)
	if err != nil {
		return TokenSet{}, nil, err
	}
	if n >= maxPrograms {
		return TokenSet{}, nil, broker.Errorf(broker.CodeDenied, "%d programs act for you already.", n).
			Fix("End those that you do not use any more: open Sessions in the portal.")
	}
	family, err := broker.RandomSecret(d.c.Rand)
	if err != nil {
		return TokenSet{}, nil, err
	}
	secret, err := broker.RandomSecret(d.c.Rand)
	if err != nil {
		return TokenSet{}, nil, err
	}
	sess := &broker.Session{
		Key: family.Hash(), Identity: source.Identity, NameID: source.NameID, SessionIndex: source.SessionIndex,
		SessionName: source.SessionName, SourceIdentity: source.SourceIdentity,
		LastUsedAt: now, ExpiresAt: source.ExpiresAt, Own: source.Own, Client: &client,
	}
	// It begins after what it is made from, by whatever clock: what revoked the
	// person's sessions before that one must not count for this one.
	if sess.CreatedAt = now; source.CreatedAt.After(now) {
		sess.CreatedAt = source.CreatedAt
	}
	e := journal.Entry{Action: broker.ActionToken, By: sess, Target: client.Name}
	e.Detail = map[string]string{"by": "sign-in", "host": client.Host, "asked_from": client.Remote, "until": sess.ExpiresAt.UTC().Format(time.RFC3339)}
	if client.Root != "" {
		e.Detail["by"] = "exchange"
	}
	if err := d.c.Journal.Record(ctx, e); err != nil {
		return TokenSet{}, nil, err
	}
	tokens := familyRecord{ClientID: client.ID, Current: secret.Hash(), ExpiresAt: sess.ExpiresAt}
	if err := d.c.Kept.Put(ctx, "family/"+sess.Key, tokens, sess.ExpiresAt.Sub(now)); err != nil {
		return TokenSet{}, nil, err
	}
	err = d.c.Book.Derive(ctx, sess, source.Key)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return TokenSet{}, nil, errTokenEnded.Because(err)
	}
	if err != nil {
		return TokenSet{}, nil, err
	}
	out, err := d.access(ctx, sess)
	out.Refresh = joinRefresh(family, secret)
	return out, sess, err
}

func joinRefresh(family, secret broker.Secret) broker.Secret {
	return broker.NewSecret(family.Reveal() + "." + secret.Reveal())
}

// access makes an access token for a program's session.
func (d *Service) access(ctx context.Context, sess *broker.Session) (TokenSet, error) {
	token, err := broker.RandomSecret(d.c.Rand)
	if err != nil {
		return TokenSet{}, err
	}
	now := d.c.Now()
	ttl := min(AccessTokenTTL, sess.ExpiresAt.Sub(now)).Truncate(time.Second)
	if ttl <= 0 {
		return TokenSet{}, errTokenEnded
	}
	r := accessRecord{Session: sess.Key, ClientID: sess.Client.ID, ExpiresAt: now.Add(ttl)}
	return TokenSet{Access: token, ExpiresIn: ttl, SessionExpiresAt: sess.ExpiresAt}, d.c.Kept.Put(ctx, "token/"+token.Hash(), r, ttl)
}

var errTokenEnded = broker.Errorf(broker.CodeUnauthenticated, "This sign-in has ended.").Fix("Sign in again with the program, for example rolegate login.")

// Authenticate returns the session of an access token. CodeUnauthenticated when
// there is none or it has ended; the message says when that was because a
// refresh token was used twice. CodeRateLimited when its person asks too often.
func (d *Service) Authenticate(ctx context.Context, token broker.Secret) (*broker.Session, error) {
	if token.IsZero() {
		return nil, errTokenEnded
	}
	var r accessRecord
	_, err := d.c.Kept.Get(ctx, "token/"+token.Hash(), &r)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil, errTokenEnded.Because(err)
	}
	if err != nil {
		return nil, err
	}
	if !d.c.Now().Before(r.ExpiresAt) {
		return nil, errTokenEnded
	}
	sess, err := d.c.Book.Use(ctx, r.Session)
	if sess, err = d.ofProgram(ctx, r.Session, sess, err); err != nil {
		return nil, err
	}
	if err := d.c.Limiter.AllowRequest(ctx, sess); err != nil {
		return nil, err
	}
	return sess, nil
}

// ofProgram passes a live session on if it is a program's, and says why one is
// not live.
func (d *Service) ofProgram(ctx context.Context, key string, sess *broker.Session, err error) (*broker.Session, error) {
	if root, ok := errors.AsType[*session.RootError](err); ok {
		key = root.Key
	}
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil, d.whyEnded(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	if sess.IsBrowser() {
		return nil, errTokenEnded
	}
	return sess, nil
}

// whyEnded tells both ends of a stolen token what happened.
func (d *Service) whyEnded(ctx context.Context, key string) error {
	var why string
	_, err := d.c.Kept.Get(ctx, "ended/"+key, &why)
	switch {
	case broker.CodeOf(err) == broker.CodeNotFound:
		return errTokenEnded.Because(err)
	case err != nil:
		return err
	}
	return broker.Errorf(broker.CodeUnauthenticated, "This sign-in was ended because %s: somebody else may have a copy of it.", why).
		Fix("Sign in again, and tell your administrator if you do not know why.")
}

// end ends a program's session and remembers why.
func (d *Service) end(ctx context.Context, key, why string) error {
	sess, err := d.c.Book.Live(ctx, key)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return d.c.Book.Remove(ctx, key)
	}
	if err != nil {
		return err
	}
	if sess.IsBrowser() {
		return nil
	}
	ctx, cancel := broker.Detached(ctx)
	defer cancel()
	if left := sess.ExpiresAt.Sub(d.c.Now()); why != signedOut && left > 0 {
		if err := d.c.Kept.Put(ctx, "ended/"+key, why, left); err != nil {
			return err
		}
	}
	return d.c.Book.End(ctx, key, journal.Entry{
		Action: broker.ActionTokenRevoke, By: sess, Target: sess.Client.Name, Detail: map[string]string{"reason": why, "host": sess.Client.Host},
	})
}

const signedOut = "signed out"

// Refresh turns a refresh token into new tokens. Within [RefreshGrace] the one
// before works again and gives the same next one; any other that was used
// already ends the session, for whoever stole it and for whoever owned it.
// CodeUnauthenticated for everything that does not work.
func (d *Service) Refresh(ctx context.Context, c Client, refresh broker.Secret) (TokenSet, error) {
	family, secret, ok := splitRefresh(refresh)
	if !ok {
		return TokenSet{}, errTokenEnded
	}
	key := family.Hash()
	sess, err := d.c.Book.Live(ctx, key)
	if sess, err = d.ofProgram(ctx, key, sess, err); err != nil {
		return TokenSet{}, err
	}
	if err := d.c.Limiter.AllowRequest(ctx, sess); err != nil {
		return TokenSet{}, err
	}
	for range 5 {
		var r familyRecord
		raw, err := d.c.Kept.Get(ctx, "family/"+key, &r)
		if broker.CodeOf(err) == broker.CodeNotFound {
			return TokenSet{}, errTokenEnded.Because(err)
		}
		if err != nil {
			return TokenSet{}, err
		}
		if r.ClientID != c.ID {
			return TokenSet{}, errTokenEnded.Because(fmt.Errorf("refresh token of another client"))
		}
		switch {
		case same(secret.Hash(), r.Current):
			next, done, err := d.rotate(ctx, "family/"+key, raw, r, secret)
			if err != nil {
				return TokenSet{}, err
			}
			if done {
				return d.refreshed(ctx, sess, family, next)
			}
		case same(secret.Hash(), r.Previous) && d.c.Now().Sub(r.RotatedAt) <= RefreshGrace:
			return d.refreshed(ctx, sess, family, deriveSecret(secret, r.Nonce))
		default:
			if err := d.end(ctx, key, "a refresh token was used twice"); err != nil {
				return TokenSet{}, err
			}
			return TokenSet{}, d.whyEnded(ctx, key)
		}
	}
	return TokenSet{}, broker.Errorf(broker.CodeUnavailable, "Too many processes refresh at once.").Fix("Try again.")
}

// same compares hashes of secrets.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func splitRefresh(s broker.Secret) (family, secret broker.Secret, ok bool) {
	a, b, ok := strings.Cut(s.Reveal(), ".")
	return broker.NewSecret(a), broker.NewSecret(b), ok && len(a) == 43 && len(b) == 43
}

func deriveSecret(before broker.Secret, nonce []byte) broker.Secret {
	mac := hmac.New(sha256.New, nonce)
	mac.Write([]byte(before.Reveal()))
	return broker.NewSecret(base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
}

func (d *Service) rotate(ctx context.Context, key string, raw []byte, r familyRecord, secret broker.Secret) (broker.Secret, bool, error) {
	nonce, err := broker.RandomSecret(d.c.Rand)
	if err != nil {
		return broker.Secret{}, false, err
	}
	now := d.c.Now()
	next := deriveSecret(secret, []byte(nonce.Reveal()))
	r.Previous, r.Current, r.Nonce, r.RotatedAt = r.Current, next.Hash(), []byte(nonce.Reveal()), now
	left := r.ExpiresAt.Sub(now)
	if left <= 0 {
		return broker.Secret{}, false, errTokenEnded
	}
	done, err := d.c.Kept.Swap(ctx, key, raw, r, left)
	return next, done, err
}

func (d *Service) refreshed(ctx context.Context, sess *broker.Session, family, secret broker.Secret) (TokenSet, error) {
	e := journal.Entry{Action: broker.ActionToken, By: sess, Target: sess.Client.Name}
	e.Detail = map[string]string{"by": "refresh", "host": sess.Client.Host}
	if err := d.c.Journal.Record(ctx, e); err != nil {
		return TokenSet{}, err
	}
	out, err := d.access(ctx, sess)
	out.Refresh = joinRefresh(family, secret)
	return out, err
}

// ExchangeWindow is how long after a sign-in of the rolegate program its tokens
// can be passed on.
const ExchangeWindow = 5 * time.Minute

// Exchange gives the holder of an access token of the rolegate program tokens
// for another client (RFC 8693), in a session that ends with the first one:
// two programs that each rotate refresh tokens cannot share one family. It works
// once, right after the sign-in: an access token that is stolen later must not
// become a refresh token that lasts as long as the session.
func (d *Service) Exchange(ctx context.Context, c Client, token broker.Secret, audience Client) (TokenSet, error) {
	sess, err := d.Authenticate(ctx, token)
	if err != nil {
		return TokenSet{}, err
	}
	if c.ID != CLIClientID || sess.Client.ID != c.ID || sess.Client.Root != "" || audience.ID == c.ID {
		return TokenSet{}, broker.Errorf(broker.CodeDenied, "Only a sign-in of the rolegate program can be passed on to another program.")
	}
	late := broker.Errorf(broker.CodeDenied, "A sign-in can be passed on to another program once, in its first %d minutes.", int(ExchangeWindow/time.Minute)).
		Fix("Sign in again: rolegate login.")
	if d.c.Now().Sub(sess.CreatedAt) > ExchangeWindow {
		return TokenSet{}, late
	}
	first, err := d.c.Kept.State.PutIfAbsent(ctx, "exchanged/"+sess.Key, []byte{1}, max(sess.ExpiresAt.Sub(d.c.Now()), ExchangeWindow))
	if err != nil {
		return TokenSet{}, err
	}
	if !first {
		return TokenSet{}, late.Because(errors.New("passed on before"))
	}
	out, _, err := d.open(ctx, sess, broker.SessionClient{
		ID: audience.ID, Name: audience.Name, Registered: audience.Registered, Host: sess.Client.Host, Remote: broker.RequestFrom(ctx).Remote, Source: sess.Client.Source, Root: sess.Key,
	})
	return out, err
}

// Revoke ends the session of an access or refresh token of the client (RFC
// 7009). A token that is unknown, or another client's, is not an error and ends
// nothing.
func (d *Service) Revoke(ctx context.Context, c Client, token broker.Secret) error {
	key := ""
	if family, secret, ok := splitRefresh(token); ok {
		var r familyRecord
		_, err := d.c.Kept.Get(ctx, "family/"+family.Hash(), &r)
		if broker.CodeOf(err) == broker.CodeNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if r.ClientID == c.ID && (same(secret.Hash(), r.Current) || same(secret.Hash(), r.Previous)) {
			key = family.Hash()
		}
	} else {
		var r accessRecord
		_, err := d.c.Kept.Get(ctx, "token/"+token.Hash(), &r)
		if broker.CodeOf(err) == broker.CodeNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if r.ClientID == c.ID {
			key = r.Session
		}
	}
	if key == "" {
		return nil
	}
	return d.end(ctx, key, signedOut)
}

// SignOut ends the session of an access token, whatever its client.
func (d *Service) SignOut(ctx context.Context, token broker.Secret) error {
	sess, err := d.Authenticate(ctx, token)
	if err != nil {
		return err
	}
	return d.end(ctx, sess.Key, signedOut)
}
