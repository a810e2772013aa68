package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Session is a signed-in person: what a session token stands for.
type Session struct {
	Key            string // hash of the token; never the token
	Identity       Identity
	NameID         string // SAML, for single logout
	SessionIndex   string
	SessionName    string // RoleSessionName: AWS's charset, this subject's alone
	SourceIdentity string // likewise
	CreatedAt      time.Time
	LastUsedAt     time.Time
	Own            *OwnProof      // rolegate's own factor, used in this session; nil: none
	ExpiresAt      time.Time      // absolute end
	IdleAt         time.Time      // when it ends if it is not used
	Remote         string         // client address at sign-in
	UserAgent      string         // of the browser at sign-in, as it said, cut
	Admin          bool           // the configuration's rule makes the person an administrator now
	Client         *SessionClient // the program that acts in it; nil: a browser's
	tokens         Tokens
	logoutHint     Secret
	revokedBefore  time.Time // the subject's, as the store has it
}

// SessionClient says which program a person let act for them, and how that
// session hangs on others.
type SessionClient struct {
	ID     string `json:"id"`
	Name   string `json:"name"`             // as it names itself
	Host   string `json:"host,omitempty"`   // where it says it runs
	Remote string `json:"remote,omitempty"` // address that asked for it
	// Source is the key of the browser session in which it was approved: the
	// corporate tokens stay there, so that a rotating one has a single holder.
	Source string `json:"source"`
	// Root is the key of the session it was derived from and ends with; "" for
	// one that a person approved.
	Root string `json:"root,omitempty"`
}

// Label names the program and where it says it runs.
func (c SessionClient) Label() string {
	if c.Host == "" {
		return c.Name
	}
	return c.Name + " on " + c.Host
}

// over reports whether the session has reached its absolute end, or was revoked.
func (s *Session) over(now time.Time) bool {
	return !now.Before(s.ExpiresAt) || !s.CreatedAt.After(s.revokedBefore)
}

// IsBrowser reports whether a person signed in to it with a browser.
func (s *Session) IsBrowser() bool { return s.Client == nil }

// SessionLimits bound a session. The identity provider's own
// SessionNotOnOrAfter shortens it further.
type SessionLimits struct {
	Idle     time.Duration  // since last use
	Absolute time.Duration  // since sign-in
	DayEnd   time.Duration  // time of day at which every session ends, with Zone
	Zone     *time.Location // nil: sessions do not end with the working day
}

// End is when a session that begins at start ends at the latest: after
// Absolute, and at the next end of the working day by the clocks of Zone.
func (l SessionLimits) End(start time.Time) time.Time {
	end := start.Add(l.Absolute)
	if l.Zone == nil {
		return end
	}
	local := start.In(l.Zone)
	hour, minute := int(l.DayEnd/time.Hour), int(l.DayEnd%time.Hour/time.Minute)
	for day := range 3 { // the third is never needed, but where a zone skips a whole day
		at := time.Date(local.Year(), local.Month(), local.Day()+day, hour, minute, 0, 0, l.Zone)
		if at.After(start) {
			if at.Before(end) {
				return at
			}
			return end
		}
	}
	return end
}

// DefaultSessionLimits are one hour idle, ten hours in all.
var DefaultSessionLimits = SessionLimits{Idle: time.Hour, Absolute: 10 * time.Hour}

type sessionBody struct {
	Identity       Identity       `json:"identity"`
	SessionName    string         `json:"session_name"`
	SourceIdentity string         `json:"source_identity"`
	IDExpires      time.Time      `json:"id_expires,omitzero"`
	IDToken        string         `json:"id_token,omitempty"`
	RefreshToken   string         `json:"refresh_token,omitempty"`
	LogoutHint     string         `json:"logout_hint,omitempty"`
	Remote         string         `json:"remote,omitempty"`
	UserAgent      string         `json:"user_agent,omitempty"`
	Own            *OwnProof      `json:"own_factor,omitempty"`
	Client         *SessionClient `json:"client,omitempty"`
}

// sessionData binds a sealed body to all columns of its row but the time of the
// last use, which changes without the body: a body copied to another row, and a
// row with another person, end or index, does not open.
func sessionData(r SessionRow) string {
	return fmt.Sprintf("session/%s %q %q %q %q %d %d",
		r.Key, r.Subject.Provider, r.Subject.ID, r.NameID, r.SessionIndex, r.CreatedAt.UnixMicro(), r.ExpiresAt.UnixMicro())
}

// encodeSession seals who the person is, and everything that follows from it.
func encodeSession(s *Session, sealer Sealer) (SessionRow, error) {
	row := SessionRow{
		Key: s.Key, Subject: s.Identity.Subject, NameID: s.NameID, SessionIndex: s.SessionIndex,
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt,
	}
	b, err := json.Marshal(sessionBody{
		Identity: s.Identity, SessionName: s.SessionName, SourceIdentity: s.SourceIdentity, Remote: s.Remote, UserAgent: s.UserAgent,
		Own: s.Own, Client: s.Client, IDExpires: s.tokens.IDExpires,
		IDToken: s.tokens.IDToken.Reveal(), RefreshToken: s.tokens.RefreshToken.Reveal(), LogoutHint: s.logoutHint.Reveal(),
	})
	if err != nil {
		return SessionRow{}, fmt.Errorf("broker: encode session: %w", err)
	}
	if row.Body, err = sealer.Seal(b, sessionData(row)); err != nil {
		return SessionRow{}, fmt.Errorf("broker: seal session: %w", err)
	}
	return row, nil
}

// loadSession returns the session under the key. CodeNotFound when there is
// none, or a row that is none, see [decodeSession].
func loadSession(ctx context.Context, store SessionStore, sealer Sealer, key string) (*Session, error) {
	row, err := store.Session(ctx, key)
	if err != nil {
		return nil, err
	}
	return decodeSession(row, sealer)
}

// decodeSession opens a row. One that does not open is no session, CodeNotFound:
// it was changed by somebody, or made by a version that did not seal it, or by a
// node with other keys. It is left alone, as it may be good elsewhere.
func decodeSession(row SessionRow, sealer Sealer) (*Session, error) {
	b, err := sealer.Open(row.Body, sessionData(row))
	var body sessionBody
	if err == nil {
		err = json.Unmarshal(b, &body)
	}
	if err == nil && body.Identity.Subject != row.Subject {
		err = fmt.Errorf("a row of %s holds another subject", row.Subject)
	}
	if err != nil {
		return nil, errNotThere.Because(fmt.Errorf("broker: open session: %w", err))
	}
	return &Session{
		Key: row.Key, Identity: body.Identity, NameID: row.NameID, SessionIndex: row.SessionIndex,
		SessionName: body.SessionName, SourceIdentity: body.SourceIdentity, Remote: body.Remote, UserAgent: body.UserAgent,
		Own: body.Own, Client: body.Client,
		CreatedAt: row.CreatedAt, LastUsedAt: row.LastUsedAt, ExpiresAt: row.ExpiresAt, revokedBefore: row.RevokedBefore,
		tokens:     Tokens{IDToken: NewSecret(body.IDToken), RefreshToken: NewSecret(body.RefreshToken), IDExpires: body.IDExpires},
		logoutHint: NewSecret(body.LogoutHint),
	}, nil
}
