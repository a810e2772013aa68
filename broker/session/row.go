package session

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// TouchEvery limits how often a session's last use is written.
const TouchEvery = time.Minute

// Over reports whether the session has reached its absolute end, or was revoked.
func Over(s *broker.Session, now time.Time) bool {
	return !now.Before(s.ExpiresAt) || !s.CreatedAt.After(s.RevokedBefore)
}

type sessionBody struct {
	Identity       broker.Identity       `json:"identity"`
	SessionName    string                `json:"session_name"`
	SourceIdentity string                `json:"source_identity"`
	IDExpires      time.Time             `json:"id_expires,omitzero"`
	IDToken        string                `json:"id_token,omitempty"`
	RefreshToken   string                `json:"refresh_token,omitempty"`
	LogoutHint     string                `json:"logout_hint,omitempty"`
	Remote         string                `json:"remote,omitempty"`
	UserAgent      string                `json:"user_agent,omitempty"`
	Own            *broker.OwnProof      `json:"own_factor,omitempty"`
	Client         *broker.SessionClient `json:"client,omitempty"`
}

// sessionData binds a sealed body to all columns of its row but the time of the
// last use, which changes without the body: a body copied to another row, and a
// row with another person, end or index, does not open.
func sessionData(r broker.SessionRow) string {
	return fmt.Sprintf("session/%s %q %q %q %q %d %d",
		r.Key, r.Subject.Provider, r.Subject.ID, r.NameID, r.SessionIndex, r.CreatedAt.UnixMicro(), r.ExpiresAt.UnixMicro())
}

// Encode seals who the person is, and everything that follows from it.
func Encode(s *broker.Session, sealer broker.Sealer) (broker.SessionRow, error) {
	row := broker.SessionRow{
		Key: s.Key, Subject: s.Identity.Subject, NameID: s.NameID, SessionIndex: s.SessionIndex,
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt,
	}
	b, err := json.Marshal(sessionBody{
		Identity: s.Identity, SessionName: s.SessionName, SourceIdentity: s.SourceIdentity, Remote: s.Remote, UserAgent: s.UserAgent,
		Own: s.Own, Client: s.Client, IDExpires: s.Tokens.IDExpires,
		IDToken: s.Tokens.IDToken.Reveal(), RefreshToken: s.Tokens.RefreshToken.Reveal(), LogoutHint: s.LogoutHint.Reveal(),
	})
	if err != nil {
		return broker.SessionRow{}, fmt.Errorf("broker: encode session: %w", err)
	}
	if row.Body, err = sealer.Seal(b, sessionData(row)); err != nil {
		return broker.SessionRow{}, fmt.Errorf("broker: seal session: %w", err)
	}
	return row, nil
}

// Load returns the session under the key. CodeNotFound when there is
// none, or a row that is none, see [Decode].
func Load(ctx context.Context, store broker.SessionStore, sealer broker.Sealer, key string) (*broker.Session, error) {
	row, err := store.Session(ctx, key)
	if err != nil {
		return nil, err
	}
	return Decode(row, sealer)
}

// Decode opens a row. One that does not open is no session, CodeNotFound:
// it was changed by somebody, or made by a version that did not seal it, or by a
// node with other keys. It is left alone, as it may be good elsewhere.
func Decode(row broker.SessionRow, sealer broker.Sealer) (*broker.Session, error) {
	b, err := sealer.Open(row.Body, sessionData(row))
	var body sessionBody
	if err == nil {
		err = json.Unmarshal(b, &body)
	}
	if err == nil && body.Identity.Subject != row.Subject {
		err = fmt.Errorf("a row of %s holds another subject", row.Subject)
	}
	if err != nil {
		return nil, ErrNotThere.Because(fmt.Errorf("broker: open session: %w", err))
	}
	return &broker.Session{
		Key: row.Key, Identity: body.Identity, NameID: row.NameID, SessionIndex: row.SessionIndex,
		SessionName: body.SessionName, SourceIdentity: body.SourceIdentity, Remote: body.Remote, UserAgent: body.UserAgent,
		Own: body.Own, Client: body.Client,
		CreatedAt: row.CreatedAt, LastUsedAt: row.LastUsedAt, ExpiresAt: row.ExpiresAt, RevokedBefore: row.RevokedBefore,
		Tokens:     broker.Tokens{IDToken: broker.NewSecret(body.IDToken), RefreshToken: broker.NewSecret(body.RefreshToken), IDExpires: body.IDExpires},
		LogoutHint: broker.NewSecret(body.LogoutHint),
	}, nil
}
