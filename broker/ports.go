package broker

import (
	"context"
	"net/url"
	"time"
)

// IdentityProvider is a configured upstream, SAML or OpenID Connect.
//
// Begin returns CodeUnavailable when the provider's metadata is not known.
// Finish verifies everything about the answer and returns CodeUnauthenticated
// for anything that does not verify, CodeUnavailable when keys or endpoints
// cannot be reached. Both write steps to the [Trace] in the context.
type IdentityProvider interface {
	Begin(ctx context.Context, r AuthRequest) (Challenge, error)
	Finish(ctx context.Context, r AuthRequest, form url.Values) (Authentication, error)
}

// UnsolicitedReceiver is an optional ability of an IdentityProvider: answers
// that nobody here asked for (SAML profiles 4.1.5). FinishUnsolicited verifies
// all that Finish does, and refuses an answer to any request. AcceptsUnsolicited
// reports whether that was configured; where it was not, FinishUnsolicited is
// CodeUnauthenticated.
type UnsolicitedReceiver interface {
	AcceptsUnsolicited() bool
	FinishUnsolicited(ctx context.Context, form url.Values) (Authentication, error)
}

// TokenRefresher is an optional ability of an IdentityProvider: fresh tokens
// from a refresh token, for [ViaIDPToken]. The answer must be about the same
// subject; CodeUnauthenticated means that the person has to sign in again.
type TokenRefresher interface {
	RefreshTokens(ctx context.Context, s Subject, t Tokens) (Tokens, error)
}

// LogoutInitiator is an optional ability of an IdentityProvider: to end the
// person's session there when they sign out here. BeginLogout returns nil when
// the provider offers none. FinishLogout verifies the provider's answer;
// CodeUnauthenticated when it does not confirm.
type LogoutInitiator interface {
	BeginLogout(ctx context.Context, r LogoutRequest) (*Challenge, error)
	FinishLogout(ctx context.Context, r LogoutRequest, m LogoutMessage) error
}

// LogoutReceiver is an optional ability of an IdentityProvider: to end sessions
// here. ReceiveLogout verifies everything about the message and returns
// CodeUnauthenticated for anything that does not verify. AnswerLogout says how to
// answer after the sessions were ended or, with an error, were not; nil when
// there is nothing to send.
type LogoutReceiver interface {
	ReceiveLogout(ctx context.Context, m LogoutMessage) (LogoutNotice, error)
	AnswerLogout(ctx context.Context, n LogoutNotice, failed error) (*Challenge, error)
}

// IdentityMapper turns verified claims into an Identity by the provider's
// identity settings. CodeDenied with a remedy when something needed is missing.
type IdentityMapper interface {
	Identity(ctx context.Context, a Authentication) (Identity, error)
}

// RoleMapper evaluates the rules. Its methods are pure: same identity, same
// minute, same answer.
type RoleMapper interface {
	Assignments(ctx context.Context, id Identity) ([]Assignment, error)
	Explain(ctx context.Context, id Identity) (Explanation, error)
	// Missing returns the rules that could give the role in the account but do
	// not give it to id.
	Missing(ctx context.Context, id Identity, account, role string) ([]RuleResult, error)
	// Known returns the account and role that wanted names, whoever may use
	// them; false when there are none. It is for the record of a refusal and
	// gives nobody anything.
	Known(ctx context.Context, wanted Wanted) (Assignment, bool)
}

// Wanted is how somebody asks for an assignment: by its id, or else by account
// (id, or name without regard to case) and role. It may say anything.
type Wanted struct {
	ID            AssignmentID
	Account, Role string
}

// String returns what was asked for as an event keeps it, bounded.
func (w Wanted) String() string {
	if w.ID != "" {
		return ShortText(string(w.ID))
	}
	return ShortText(w.Account + "/" + w.Role)
}

// Asserter mints one assertion for one STS call. It holds the keys.
type Asserter interface {
	Assert(ctx context.Context, r AssertionRequest) (Assertion, error)
}

// RoleAssumer talks to AWS. It never sees a private key.
//
// AssumeRole returns CodeDenied with a remedy naming the account when STS
// refuses, CodeUnavailable when no endpoint answers. SignInURL returns
// CodeInvalid for a destination outside the allow-list.
type RoleAssumer interface {
	AssumeRole(ctx context.Context, r AssumeRoleRequest) (RoleSession, error)
	SignInURL(ctx context.Context, r SignInURLRequest) (Secret, error)
}

// StateStore is an expiring key-value store for one-time and counter state.
// Keys are "kind/id". Every method is atomic and durable before it returns;
// an expired entry does not exist. All return CodeUnavailable when the store
// cannot be reached.
type StateStore interface {
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// PutIfAbsent reports false when the key exists: the replay guard.
	PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	// Get returns CodeNotFound for a missing key.
	Get(ctx context.Context, key string) ([]byte, error)
	// Take reads and deletes in one step; of two concurrent callers one gets
	// CodeNotFound.
	Take(ctx context.Context, key string) ([]byte, error)
	// Swap replaces old by new if the value still is old, and reports it.
	Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error)
}

// SessionRow is a session as the store keeps it: the hash of its token, the
// columns it is found by, and an encoded body the store does not look into.
type SessionRow struct {
	Key          string // lower-case hex SHA-256 of the session token
	Subject      Subject
	NameID       string
	SessionIndex string // SAML SessionIndex or OIDC sid
	CreatedAt    time.Time
	LastUsedAt   time.Time
	ExpiresAt    time.Time // absolute end
	Body         []byte

	// RevokedBefore is the subject's, zero if there is none: [Revoker] sets it
	// and reading a session brings it along. SaveSession does not look at it.
	RevokedBefore time.Time
}

// SessionFilter selects sessions; empty fields do not filter. A zero filter
// selects nothing.
type SessionFilter struct {
	Provider     ProviderID
	SubjectID    string
	NameID       string
	SessionIndex string
}

// SessionStore keeps browser and command-line sessions. Every method is atomic
// and durable before it returns.
type SessionStore interface {
	// SaveSession inserts or replaces.
	SaveSession(ctx context.Context, s SessionRow) error
	// Session returns CodeNotFound for an unknown or expired key.
	Session(ctx context.Context, key string) (SessionRow, error)
	// ReplaceSession puts next, which may have another key, in the place of the
	// session under key, and returns CodeNotFound when that has ended meanwhile:
	// it never brings one back. The last use moves forward only.
	ReplaceSession(ctx context.Context, key string, next SessionRow) error
	TouchSession(ctx context.Context, key string, at time.Time) error
	// DeleteSession ends the session under key, or the one that was put in its
	// place: whoever found a session by its key ends it, and not only its token.
	DeleteSession(ctx context.Context, key string) error
}

// SessionFinder finds sessions by what an identity provider knows of them.
type SessionFinder interface {
	FindSessions(ctx context.Context, f SessionFilter) ([]SessionRow, error)
}

// SessionPage asks for one page of all live sessions, the newest first.
type SessionPage struct {
	Provider ProviderID // only those of this one; "": of all
	Before   string     // the Key of the last one of the page before; "": from the newest on
	Limit    int
}

// SessionLister lists the live sessions of everybody.
type SessionLister interface {
	SessionFinder
	ListSessions(ctx context.Context, p SessionPage) ([]SessionRow, error)
	// CountSessions returns how many are live.
	CountSessions(ctx context.Context) (int, error)
}

// Revoker ends all sessions of a subject that began at the time or before it,
// on every node and whether or not they are stored yet. The time of a subject
// moves forward only.
type Revoker interface {
	RevokeBefore(ctx context.Context, s Subject, at time.Time) error
	// RevokedBefore returns the time of the subject, zero if there is none.
	RevokedBefore(ctx context.Context, s Subject) (time.Time, error)
}

// EventQuery selects events; empty fields do not filter.
type EventQuery struct {
	Since, Until time.Time // Since is included, Until is not
	Action       Action
	Outcome      Outcome
	NotOK        bool      // only what was refused or failed
	Actors       []Subject // any of them
	Username     string
	TraceID      string
	Account      AccountID
	Before       string // ID of the last one of the page before; "": from the latest on
	Limit        int    // at most 1,000, which is what 0 means
}

// EventRow is a kept event. Its ID sorts by time.
type EventRow struct {
	ID string `json:"id"`
	Event
}

// EventLog finds events, the latest first.
type EventLog interface {
	QueryEvents(ctx context.Context, q EventQuery) ([]EventRow, error)
}

// EventPruner deletes old events. Whoever calls it has recorded that first.
type EventPruner interface {
	CountEventsBefore(ctx context.Context, t time.Time) (int64, error)
	// DeleteEventsBefore deletes in small steps, and returns how many went, also
	// with an error.
	DeleteEventsBefore(ctx context.Context, t time.Time) (int64, error)
}

// AdminJudge says who is an administrator. It is pure, like [RoleMapper].
type AdminJudge interface {
	IsAdmin(ctx context.Context, id Identity) (bool, error)
}

// NameKind separates the two name tables.
type NameKind string

// The kinds.
const (
	NameRoleSession    NameKind = "role_session"
	NameSourceIdentity NameKind = "source_identity"
)

// NameRegistry gives each subject one name per kind, unique over all kinds
// without regard to case, assigned once and never reused unless an operator
// releases it ([NameKeeper]): one person's name of a kind is no other person's of
// any kind. ClaimName tries the candidates in
// order, atomically, and returns the name the subject already has if any;
// CodeConflict when other subjects hold all candidates.
type NameRegistry interface {
	ClaimName(ctx context.Context, kind NameKind, s Subject, candidates ...string) (string, error)
}

// NameRow is a name in the register, with the last sign-in of whose it is if that
// is kept still.
type NameRow struct {
	Kind      NameKind
	Name      string
	Subject   Subject
	ClaimedAt time.Time
	Username  string
	SeenAt    time.Time
}

// NameKeeper looks after the register of names.
type NameKeeper interface {
	// Names hands the names of a person (username, e-mail address or subject id),
	// or the name itself, to each; all for "". The longest held come first.
	Names(ctx context.Context, user string, each func(NameRow) error) error
	// ReleaseName takes a name of whatever kind from the subject, in one
	// transaction with the event. CodeNotFound when it is not the subject's.
	ReleaseName(ctx context.Context, name string, s Subject, e Event) error
}

// IdentityRow is the last sign-in of a subject, its body sealed.
type IdentityRow struct {
	Subject  Subject
	Username string // lower-cased, to be found by
	Email    string // lower-cased
	SeenAt   time.Time
	Body     []byte
}

// IdentityStore keeps the last sign-in per subject for 90 days, for explain and
// diff.
type IdentityStore interface {
	SaveIdentity(ctx context.Context, r IdentityRow) error
	// FindIdentities matches user against username, e-mail and subject id
	// without regard to case; "" returns all.
	FindIdentities(ctx context.Context, user string) ([]IdentityRow, error)
}

// FavouriteStore keeps what people mark as favourites. SetFavourite is
// idempotent. Both return CodeUnavailable when the store does not answer.
type FavouriteStore interface {
	Favourites(ctx context.Context, s Subject) ([]AssignmentID, error)
	SetFavourite(ctx context.Context, s Subject, a AssignmentID, on bool) error
}

// RoleSessionState is what is known of a role session.
type RoleSessionState string

// The states. A row that stays asked is of a node that died, or lost its store,
// while it asked: AWS may have given the role session, and CloudTrail knows.
const (
	RoleSessionAsked   RoleSessionState = "asked"
	RoleSessionLive    RoleSessionState = "live" // AWS gave it
	RoleSessionRefused RoleSessionState = "refused"
)

// RoleSessionRow is one role session that AWS was asked for: what people, and
// those who look after them, want to know of it afterwards. It holds no secret.
type RoleSessionRow struct {
	ID             string // names the mint in its events
	Subject        Subject
	Username       string
	Session        string // the key of the session in which it was asked for
	Program        string // that asked, and where it runs; "": the person in a browser
	Use            Action // ActionCredentials or ActionConsole
	Assignment     AssignmentID
	Account        AccountID
	Role           string // rolegate's name of it
	RoleARN        RoleARN
	Via            Via
	State          RoleSessionState
	SessionName    string
	SourceIdentity string
	AccessKeyID    string
	AssumedRoleARN string
	AskedAt        time.Time
	IssuedAt       time.Time // zero: not known
	ExpiresAt      time.Time // while it is asked only: the latest it can be
	EndedAt        time.Time // zero: it was not ended before that
}

// RoleSessionFilter selects role sessions; empty fields do not filter. A zero
// filter selects nothing.
type RoleSessionFilter struct {
	Subject Subject
	Since   time.Time // asked for then or later
	OpenAt  time.Time // those that may be open then: not refused, ended or expired
	Limit   int       // at most 1,000, which is what 0 means
}

// RoleSessionStore keeps role sessions, each change in one transaction with the
// event that says so. All return CodeUnavailable when the store does not answer.
type RoleSessionStore interface {
	// AskRoleSession keeps a new row.
	AskRoleSession(ctx context.Context, r RoleSessionRow, e Event) error
	// SettleRoleSession keeps what came of it. CodeNotFound for an unknown ID.
	SettleRoleSession(ctx context.Context, r RoleSessionRow, e Event) error
	// RoleSessions returns the newest first.
	RoleSessions(ctx context.Context, f RoleSessionFilter) ([]RoleSessionRow, error)
}

// Recorder keeps events. Record returns only after the event is durable.
type Recorder interface {
	Record(ctx context.Context, e Event) error
}

// Sealer encrypts what is kept at rest (AES-256-GCM). The same additional data
// must be given to open what was sealed.
type Sealer interface {
	Seal(plaintext []byte, additional string) ([]byte, error)
	Open(sealed []byte, additional string) ([]byte, error)
}
