package mapping

import (
	"time"

	"github.com/rolegate/rolegate/broker"
)

// GroupsAbsent says what a missing groups claim means.
type GroupsAbsent string

// The two meanings. The zero value is GroupsRefuse.
const (
	GroupsRefuse GroupsAbsent = "refuse" // a missing groups claim refuses the sign-in
	GroupsNone   GroupsAbsent = "none"   // it means that the person is in no group
)

// Config is what an [Engine] is compiled from. Expressions are CEL. Problems name
// its fields as the configuration file does, e.g. rules[2].when.
type Config struct {
	Providers   []Provider
	Accounts    []broker.Account
	Roles       []Role
	Rules       []Rule
	RoleSession RoleSession
	Admins      Admins

	SAMLProviderName string // name of our SAML provider in IAM; default "rolegate"
	OIDCProvider     string // host and path of our issuer, the name of our OIDC provider in IAM
	// ProviderNames overrides the two names above in single accounts; an empty
	// field keeps the general one.
	ProviderNames map[broker.AccountID]ProviderNames

	Now func() time.Time // nil: time.Now
}

// ProviderNames are the names that rolegate's identity providers have in IAM.
type ProviderNames struct {
	SAML string // name
	OIDC string // host and path
}

// Provider says how the claims of one identity provider become an identity.
// The expressions see `claims`, a map from string to list of strings, and
// `subject`, the verified NameID or sub ("" when it is transient, qualified by
// somebody else, or an e-mail address that nobody vouches for). Subject,
// Username and Email give a string, Groups a list of strings.
type Provider struct {
	ID       broker.ProviderID
	Subject  string // default: the verified one; needed when that is transient
	Username string // default: a usual claim, else the e-mail address, else the subject
	Email    string // default: a usual claim; in either case only an address that somebody vouches for
	Groups   string // default: claims.groups, or the claim that Entra ID or AD FS use

	GroupsAbsent GroupsAbsent
	MFA          broker.MFAPolicy
	// IDPTokenProviderURL is the corporate issuer's host and path, the name of
	// the IAM OIDC provider for roles with [broker.ViaIDPToken]. Empty: this
	// provider has no tokens for AWS.
	IDPTokenProviderURL string
	// InsecureUnverifiedEmail takes addresses as they come, also those that the
	// provider says are not verified.
	InsecureUnverifiedEmail bool
	// EmailAuthoritativeDomains are the e-mail domains whose addresses this
	// provider alone gives out. A NameID in e-mail format is taken as a subject
	// in these domains only, and an address of which nothing is said is vouched
	// for.
	EmailAuthoritativeDomains []string
}

// Admins says who is an administrator of rolegate: who is in any of Groups and,
// if it is given, for whom When is true. Without both, nobody is.
type Admins struct {
	Groups   []string
	When     string // as in [Rule]
	TimeZone string
}

// RoleSession holds the expressions for RoleSessionName and SourceIdentity,
// over `identity`. They give a string.
type RoleSession struct {
	Name           string // default: e-mail address, else username
	SourceIdentity string // default: username
}

// Role is an IAM role under the name that rolegate gives it. Several roles may
// share a name when their Via differs.
type Role struct {
	Name              string
	IAMRole           string     // name in IAM, with its path if it has one
	Via               broker.Via // default: saml
	MaxDuration       time.Duration
	Require           broker.Requirement
	SessionTags       map[string]string // key to expression over `identity`; gives a string
	TransitiveTagKeys []string          // a subset of the keys of SessionTags and of the proof tags
	ProofTags         bool              // adds [broker.ProofTagKeys]
	Description       string
}

// Rule gives people roles in accounts. Groups, Pattern and When are conditions;
// at least one is needed and all that are given must hold.
type Rule struct {
	Name string
	// Groups holds if the person is in any of them, compared exactly.
	Groups []string
	// Pattern is a regular expression that must match one whole group name. Its
	// named groups account (id, or name without regard to ASCII case) and role
	// say what is granted; where it lacks one of them, Accounts or Roles says
	// it, and where both say it, both must.
	Pattern string
	// When is a condition over `identity` (subject, provider, username, email,
	// groups, claims, mfa) and `now`, the time in the rule's zone.
	When string
	// Accounts are ids, names, label selectors ("env=production,tier!=gold",
	// all terms must hold, and an account without the label matches neither
	// form) or "*".
	Accounts []string
	Roles    []string
	TimeZone string // IANA name; default UTC
}
