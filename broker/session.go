package broker

import (
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
	Tokens         []byte         `json:"tokens,omitempty"` // sealed
	Remote         string         `json:"remote,omitempty"`
	UserAgent      string         `json:"user_agent,omitempty"`
	Own            *OwnProof      `json:"own_factor,omitempty"`
	Client         *SessionClient `json:"client,omitempty"`
}

type tokenBody struct {
	IDToken      string `json:"id_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	LogoutHint   string `json:"logout_hint,omitempty"`
}

// encodeSession seals the tokens under the session's key, so that a row copied
// to another session does not open.
func encodeSession(s *Session, sealer Sealer) (SessionRow, error) {
	body := sessionBody{
		Identity: s.Identity, SessionName: s.SessionName, SourceIdentity: s.SourceIdentity, Remote: s.Remote, UserAgent: s.UserAgent,
		Own: s.Own, Client: s.Client,
	}
	if !s.tokens.IDToken.IsZero() || !s.logoutHint.IsZero() {
		plain, err := json.Marshal(tokenBody{
			IDToken: s.tokens.IDToken.Reveal(), RefreshToken: s.tokens.RefreshToken.Reveal(), LogoutHint: s.logoutHint.Reveal(),
		})
		if err != nil {
			return SessionRow{}, fmt.Errorf("broker: encode tokens: %w", err)
		}
		if body.Tokens, err = sealer.Seal(plain, "session/"+s.Key); err != nil {
			return SessionRow{}, fmt.Errorf("broker: seal tokens: %w", err)
		}
		body.IDExpires = s.tokens.IDExpires
	}
	b, err := json.Marshal(body)
	if err != nil {
		return SessionRow{}, fmt.Errorf("broker: encode session: %w", err)
	}
	return SessionRow{
		Key: s.Key, Subject: s.Identity.Subject, NameID: s.NameID, SessionIndex: s.SessionIndex,
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt, Body: b,
	}, nil
}

func decodeSession(row SessionRow, sealer Sealer) (*Session, error) {
	var body sessionBody
	if err := json.Unmarshal(row.Body, &body); err != nil {
		return nil, fmt.Errorf("broker: decode session: %w", err)
	}
	if body.Identity.Subject != row.Subject {
		return nil, fmt.Errorf("broker: session row of %s holds another subject", row.Subject)
	}
	s := &Session{
		Key: row.Key, Identity: body.Identity, NameID: row.NameID, SessionIndex: row.SessionIndex,
		SessionName: body.SessionName, SourceIdentity: body.SourceIdentity, Remote: body.Remote, UserAgent: body.UserAgent,
		Own: body.Own, Client: body.Client,
		CreatedAt: row.CreatedAt, LastUsedAt: row.LastUsedAt, ExpiresAt: row.ExpiresAt,
	}
	if len(body.Tokens) > 0 {
		plain, err := sealer.Open(body.Tokens, "session/"+row.Key)
		if err != nil {
			return nil, fmt.Errorf("broker: open tokens: %w", err)
		}
		var t tokenBody
		if err := json.Unmarshal(plain, &t); err != nil {
			return nil, fmt.Errorf("broker: decode tokens: %w", err)
		}
		s.tokens = Tokens{IDToken: NewSecret(t.IDToken), RefreshToken: NewSecret(t.RefreshToken), IDExpires: body.IDExpires}
		s.logoutHint = NewSecret(t.LogoutHint)
	}
	return s, nil
}
