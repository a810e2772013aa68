package broker

import (
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
	Tokens         Tokens         // the provider's own; kept only where a role uses them
	LogoutHint     Secret         // as [Authentication.LogoutHint]
}

// SessionClient says which program a person let act for them, and how that
// session hangs on others.
type SessionClient struct {
	ID   string `json:"id"`
	Name string `json:"name"` // of a registered program, as it names itself
	// Registered says that the program registered itself: anybody can, under
	// nearly any name.
	Registered bool   `json:"registered,omitempty"`
	Host       string `json:"host,omitempty"`   // where it says it runs
	Remote     string `json:"remote,omitempty"` // address that asked for it
	// Source is the key of the browser session in which it was approved: the
	// corporate tokens stay there, so that a rotating one has a single holder.
	Source string `json:"source"`
	// Root is the key of the session it was derived from and ends with; "" for
	// one that a person approved.
	Root string `json:"root,omitempty"`
}

// Label names the program and where it says it runs, and says that nobody has
// verified the name of one that registered itself.
func (c SessionClient) Label() string {
	out := c.Name
	if c.Registered {
		out += " (unverified)"
	}
	if c.Host != "" {
		out += " on " + c.Host
	}
	return out
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
