package session

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rolegate/rolegate/broker"
)

type body struct {
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

// sealedUnder binds a sealed body to all columns of its row but the time of the
// last use, which changes without the body: a body copied to another row, and a
// row with another person, end or index, does not open.
func sealedUnder(r broker.SessionRow) string {
	return fmt.Sprintf("session/%s %q %q %q %q %d %d",
		r.Key, r.Subject.Provider, r.Subject.ID, r.NameID, r.SessionIndex, r.CreatedAt.UnixMicro(), r.ExpiresAt.UnixMicro())
}

// encode seals who the person is, and everything that follows from it.
func encode(s *broker.Session, sealer broker.Sealer) (broker.SessionRow, error) {
	row := broker.SessionRow{
		Key: s.Key, Subject: s.Identity.Subject, NameID: s.NameID, SessionIndex: s.SessionIndex,
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt,
	}
	b, err := json.Marshal(body{
		Identity: s.Identity, SessionName: s.SessionName, SourceIdentity: s.SourceIdentity, Remote: s.Remote, UserAgent: s.UserAgent,
		Own: s.Own, Client: s.Client, IDExpires: s.Tokens.IDExpires,
		IDToken: s.Tokens.IDToken.Reveal(), RefreshToken: s.Tokens.RefreshToken.Reveal(), LogoutHint: s.LogoutHint.Reveal(),
	})
	if err != nil {
		return broker.SessionRow{}, fmt.Errorf("session: encode: %w", err)
	}
	if row.Body, err = sealer.Seal(b, sealedUnder(row)); err != nil {
		return broker.SessionRow{}, fmt.Errorf("session: seal: %w", err)
	}
	return row, nil
}

// decode opens a row. One that does not open is no session, CodeNotFound: it was
// changed by somebody, or made by a version that did not seal it, or by a node
// with other keys. It is left alone, as it may be good elsewhere.
func decode(row broker.SessionRow, sealer broker.Sealer) (*broker.Session, error) {
	plain, err := sealer.Open(row.Body, sealedUnder(row))
	var b body
	if err == nil {
		err = json.Unmarshal(plain, &b)
	}
	if err == nil && b.Identity.Subject != row.Subject {
		err = fmt.Errorf("a row of %s holds another subject", row.Subject)
	}
	if err != nil {
		return nil, errNotThere.Because(fmt.Errorf("session: open: %w", err))
	}
	return &broker.Session{
		Key: row.Key, Identity: b.Identity, NameID: row.NameID, SessionIndex: row.SessionIndex,
		SessionName: b.SessionName, SourceIdentity: b.SourceIdentity, Remote: b.Remote, UserAgent: b.UserAgent,
		Own: b.Own, Client: b.Client,
		CreatedAt: row.CreatedAt, LastUsedAt: row.LastUsedAt, ExpiresAt: row.ExpiresAt,
		Tokens: broker.Tokens{
			IDToken: broker.NewSecret(b.IDToken), RefreshToken: broker.NewSecret(b.RefreshToken), IDExpires: b.IDExpires,
		},
		LogoutHint: broker.NewSecret(b.LogoutHint),
	}, nil
}
