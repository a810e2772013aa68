package broker

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"time"
)

// ProviderID names a configured identity provider, e.g. "okta". It appears in
// our routes and never changes for a provider.
type ProviderID string

// Subject is the stable key of a person: the identity provider and the NameID
// (SAML core 2.2.2) or sub (OpenID Connect core 2) it vouched for. It is the
// join key everywhere; an e-mail address never is.
type Subject struct {
	Provider ProviderID `json:"provider"`
	ID       string     `json:"id"`
}

// IsZero reports whether the subject is incomplete.
func (s Subject) IsZero() bool { return s.Provider == "" || s.ID == "" }

// String returns provider and id joined by a slash, for events and traces.
func (s Subject) String() string { return string(s.Provider) + "/" + s.ID }

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Opaque returns "u-" and 26 base32 characters of SHA-256(provider NUL id): the
// NameID and sub that AWS sees. It is stable for ever and holds no personal
// data, as AWS writes it to CloudTrail.
func (s Subject) Opaque() string {
	return "u-" + s.digest()[:26]
}

func (s Subject) digest() string {
	sum := sha256.Sum256([]byte(string(s.Provider) + "\x00" + s.ID))
	return lowerBase32.EncodeToString(sum[:])
}

// Claims are the attributes that an identity provider vouched for. A value is
// always a list of strings: SAML attributes as they came, JSON scalars as their
// text, nested JSON objects under dotted names ("realm_access.roles"). Claims
// are not changed after verification.
type Claims map[string][]string

// First returns the first value of the claim, or "".
func (c Claims) First(name string) string {
	if v := c[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Unreadable names the claims that were sent in a form that is no list of
// strings, each with what it is ("a list of objects"). They are left out of
// [Claims], but they are not absent: whoever asks for one has to refuse. Under
// "groups." stands why any "groups.…" may have been sent that is not there, and
// under "" why any claim may.
type Unreadable map[string]string

// Why reports whether the claim of that name could not be read, by itself or as
// a member of an object. What is in the claims is readable, so it is to be asked
// for names that are not there.
func (u Unreadable) Why(name string) (string, bool) {
	if why, ok := u[name]; ok && name != "" {
		return why, true
	}
	for end := len(name); end > 0 && len(u) > 0; {
		if end = strings.LastIndexByte(name[:end], '.'); end < 0 {
			break
		}
		if why, ok := u[name[:end+1]]; ok {
			return why, true
		}
	}
	why, ok := u[""]
	return why, ok
}

// AuthnContext says how a person authenticated: acr or AuthnContextClassRef,
// and the list of methods (amr, RFC 8176, or Entra ID's authnmethodsreferences).
type AuthnContext struct {
	ACR string   `json:"acr,omitempty"`
	AMR []string `json:"amr,omitempty"`
}

// Authentication is what an [IdentityProvider] adapter verified, before any
// mapping: every field comes from a checked signature or a checked TLS channel.
type Authentication struct {
	Subject       Subject // ID is empty when the NameID is transient or unspecified
	GivenID       string  // without a Subject.ID: what identity.subject may build on, "" if it does not last
	NameIDFormat  string  // SAML only
	NameID        string  // SAML NameID or OIDC sub as received: how the provider names the person in a logout
	LogoutHint    Secret  // what the adapter needs besides to ask for a logout; only it knows the form
	Claims        Claims
	Unreadable    Unreadable // what was sent besides and cannot be read
	AuthnContext  AuthnContext
	AuthnInstant  time.Time // when the person authenticated at the provider; zero if unknown
	SessionIndex  string    // SAML SessionIndex or OIDC sid
	NotOnOrAfter  time.Time // the provider's own end of session; zero if none
	ReplayID      string    // assertion ID or token identifier, unique per provider
	ReplayExpires time.Time // when the assertion itself is refused anyway
	Tokens        Tokens    // OIDC only
}

// Tokens are the identity provider's own tokens, kept (sealed) only when a role
// uses [ViaIDPToken].
type Tokens struct {
	IDToken      Secret
	IDExpires    time.Time
	RefreshToken Secret
}

// Identity is a person as an identity provider vouched for them, mapped by the
// provider's identity settings.
type Identity struct {
	Subject    Subject    `json:"subject"`
	Username   string     `json:"username"`
	Email      string     `json:"email,omitempty"`
	Groups     []string   `json:"groups"`
	Claims     Claims     `json:"claims,omitempty"`
	Unreadable Unreadable `json:"unreadable,omitempty"`
	// UnverifiedEmail is an address that nobody vouched for: it is shown as
	// that, names nobody and decides nothing. Email is empty then.
	UnverifiedEmail string       `json:"unverified_email,omitempty"`
	AuthnContext    AuthnContext `json:"authn_context"`
	AuthnInstant    time.Time    `json:"authn_instant,omitzero"`
	MFA             bool         `json:"mfa"` // the provider's proof satisfied its MFA policy
	NotOnOrAfter    time.Time    `json:"not_on_or_after,omitzero"`
	SessionName     string       `json:"session_name"`    // wanted RoleSessionName, before cleaning
	SourceIdentity  string       `json:"source_identity"` // wanted SourceIdentity, before cleaning
}

// MFAPolicy says which proof of a second factor an identity provider gives.
// Each list holds alternatives; each alternative is a list of values that must
// all be present. ["mfa"] is one value; ["pwd", "otp"] needs both.
type MFAPolicy struct {
	AMR          [][]string            // against AuthnContext.AMR
	ACR          [][]string            // against AuthnContext.ACR
	AuthnContext [][]string            // against AuthnContext.ACR, the SAML name of it
	Claims       map[string][][]string // claim name to alternatives, against the claim's values
	Required     bool                  // refuse every sign-in without proof
	Programs     bool                  // let no program in from a sign-in without proof

	Own        OwnFactor // whether rolegate's own factor counts
	EnrolUntil time.Time // with OwnFactorRequired: when enforcement begins; zero: at once
}

// Satisfied reports whether the provider's answer holds one whole alternative.
// Methods in our own name are ours to give: from a provider they prove nothing.
func (p MFAPolicy) Satisfied(c AuthnContext, claims Claims) bool {
	theirs := slices.DeleteFunc(slices.Clone(c.AMR), IsOwnAMR)
	if anyAll(p.AMR, theirs) || anyAll(p.ACR, []string{c.ACR}) || anyAll(p.AuthnContext, []string{c.ACR}) {
		return true
	}
	for name, alternatives := range p.Claims {
		if anyAll(alternatives, claims[name]) {
			return true
		}
	}
	return false
}

// Proves reports whether the provider can prove a second factor at all.
func (p MFAPolicy) Proves() bool {
	return len(p.AMR)+len(p.ACR)+len(p.AuthnContext)+len(p.Claims) > 0
}

// Enforced reports whether every role needs proof, as the grace date is over.
func (p MFAPolicy) Enforced(now time.Time) bool {
	return p.Own == OwnFactorRequired && !now.Before(p.EnrolUntil)
}

// Wanted returns the single context values to ask for in a step-up
// (RequestedAuthnContext, acr_values), in order of preference.
func (p MFAPolicy) Wanted() []string {
	var out []string
	for _, alt := range slices.Concat(p.AuthnContext, p.ACR) {
		if len(alt) == 1 {
			out = append(out, alt[0])
		}
	}
	return out
}

func anyAll(alternatives [][]string, have []string) bool {
	for _, alt := range alternatives {
		if len(alt) == 0 {
			continue
		}
		all := true
		for _, v := range alt {
			if v == "" || !slices.Contains(have, v) {
				all = false
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}

// DisplayName returns the best name to greet the person with.
func (i Identity) DisplayName() string {
	for _, s := range []string{i.Claims.First("name"), i.Claims.First("displayName"), i.Username, i.Email} {
		if strings.TrimSpace(s) != "" {
			return s
		}
	}
	return i.Subject.ID
}
