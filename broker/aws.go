package broker

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Partition is an AWS partition as it stands in an ARN.
type Partition string

// The partitions rolegate knows endpoints for.
const (
	PartitionAWS      Partition = "aws"
	PartitionGovCloud Partition = "aws-us-gov"
	PartitionChina    Partition = "aws-cn"
	PartitionEUSC     Partition = "aws-eusc"
)

// Partitions lists every known partition.
func Partitions() []Partition {
	return []Partition{PartitionAWS, PartitionGovCloud, PartitionChina, PartitionEUSC}
}

// Check says what is wrong with a partition: that there is none of this name.
func (p Partition) Check() error {
	if slices.Contains(Partitions(), p) {
		return nil
	}
	return fmt.Errorf("there is no partition %q: %s, %s, %s and %s are known", string(p), PartitionAWS, PartitionGovCloud, PartitionChina, PartitionEUSC)
}

// AccountID is the twelve digits of an AWS account.
type AccountID string

var accountIDPattern = regexp.MustCompile(`^[0-9]{12}$`)

// ParseAccountID returns s as an AccountID; the error has CodeInvalid.
func ParseAccountID(s string) (AccountID, error) {
	if !accountIDPattern.MatchString(s) {
		return "", Errorf(CodeInvalid, "%q is not an AWS account id: twelve digits are needed", s)
	}
	return AccountID(s), nil
}

// RoleARN is the ARN of an IAM role, e.g. arn:aws:iam::111122223333:role/Admin.
type RoleARN string

// ProviderARN is the ARN of an IAM SAML or OIDC provider.
type ProviderARN string

// Account is an AWS account people can get roles in.
type Account struct {
	ID        AccountID         `json:"id"`
	Name      string            `json:"name"`
	Partition Partition         `json:"partition"`
	Labels    map[string]string `json:"labels,omitempty"`
	Color     string            `json:"color,omitempty"`
	Warning   string            `json:"warning,omitempty"` // shown before anyone enters it
}

// Via says how STS is convinced; see the issuer package for the first two.
type Via string

// The three ways.
const (
	ViaSAML     Via = "saml"      // AssumeRoleWithSAML with an assertion we mint
	ViaOIDC     Via = "oidc"      // AssumeRoleWithWebIdentity with an ID token we mint
	ViaIDPToken Via = "idp_token" // AssumeRoleWithWebIdentity with the corporate ID token
)

// AssignmentID names an assignment in forms and links: a hash of account, role
// and via, stable across restarts. The server always recomputes assignments
// and never trusts a role ARN from a form.
type AssignmentID string

// NewAssignmentID returns the id for account, role name and via.
func NewAssignmentID(account AccountID, role string, via Via) AssignmentID {
	sum := sha256.Sum256([]byte(string(account) + "\x00" + role + "\x00" + string(via)))
	return AssignmentID(lowerBase32.EncodeToString(sum[:])[:20])
}

// Requirement is what a role asks of the authentication before it is given.
type Requirement struct {
	MFA        bool          `json:"mfa,omitempty"`
	MaxAuthAge time.Duration `json:"max_auth_age,omitempty"` // zero: any age
}

// Assignment says that this person may use this role in this account.
type Assignment struct {
	ID                AssignmentID      `json:"id"`
	Account           Account           `json:"account"`
	Role              string            `json:"role"` // rolegate's name of the role
	RoleARN           RoleARN           `json:"role_arn"`
	ProviderARN       ProviderARN       `json:"provider_arn"`
	Via               Via               `json:"via"`
	Description       string            `json:"description,omitempty"`
	MaxDuration       time.Duration     `json:"max_duration"` // 15 min to 12 h
	SessionTags       map[string]string `json:"session_tags,omitempty"`
	TransitiveTagKeys []string          `json:"transitive_tag_keys,omitempty"`
	ProofTags         bool              `json:"proof_tags,omitempty"` // see [ProofTagKeys]
	Require           Requirement       `json:"require"`
	Rules             []string          `json:"rules"` // the names of the rules that granted it
}

// StepUp tells what was missing for an assignment.
type StepUp struct {
	MFA        bool
	MaxAuthAge time.Duration
}

// Unmet returns what id lacks for r at the time now, nil if nothing. An unknown
// authentication time never satisfies a maximum age.
func (r Requirement) Unmet(id Identity, now time.Time) *StepUp {
	var s StepUp
	if r.MFA && !id.MFA {
		s.MFA = true
	}
	if r.MaxAuthAge > 0 && (id.AuthnInstant.IsZero() || now.Sub(id.AuthnInstant) > r.MaxAuthAge) {
		s.MaxAuthAge = r.MaxAuthAge
	}
	if s == (StepUp{}) {
		return nil
	}
	return &s
}

// AssertionRequest asks the issuer for one assertion for one STS call.
type AssertionRequest struct {
	Via               Via // ViaSAML or ViaOIDC
	Subject           Subject
	Account           Account
	RoleARN           RoleARN
	ProviderARN       ProviderARN
	SessionName       string
	SourceIdentity    string
	Duration          time.Duration
	SessionTags       map[string]string
	TransitiveTagKeys []string
}

// Assertion is a signed statement that STS accepts.
type Assertion struct {
	Kind      Via
	Raw       Secret // base64 of the samlp:Response, or a compact JWT
	ID        string // SAML assertion ID or jti: joins CloudTrail's sAMLAssertionID
	Issuer    string
	Audience  string
	Subject   string // NameID or sub
	ExpiresAt time.Time
}

// AssumeRoleRequest is one STS call.
type AssumeRoleRequest struct {
	Assignment  Assignment
	Assertion   Assertion
	SessionName string // the request parameter of AssumeRoleWithWebIdentity
	Duration    time.Duration
}

// Credentials are temporary AWS credentials. They are never stored.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey Secret
	SessionToken    Secret
	Expiration      time.Time
}

// RoleSession is the result of an STS call, with the values that join our
// events to CloudTrail.
type RoleSession struct {
	Assignment      Assignment
	Credentials     Credentials
	SessionName     string
	SourceIdentity  string
	AssumedRoleARN  string // arn:aws:sts::…:assumed-role/ROLE/SESSION
	AssumedRoleID   string // AROA…:SESSION
	STSRequestID    string
	AssertionID     string
	NameQualifier   string // SAML only
	AssertedSubject string
}

// SignInURLRequest asks for a console sign-in link.
type SignInURLRequest struct {
	RoleSession RoleSession
	Destination Destination
	Issuer      string // where AWS sends the person when the console session ends
}

// Destination is a place in the AWS console: a service path and a region, both
// checked against an allow-list by the federation adapter. Zero is the home
// page.
type Destination struct {
	Path   string // e.g. "ec2/home"; no scheme, host, query or dot segments
	Region string // e.g. "eu-west-1"
}

var sessionNameUnsafe = regexp.MustCompile(`[^A-Za-z0-9_+=,.@-]+`)

// CleanSessionName turns a wanted name into AWS's charset
// [A-Za-z0-9_+=,.@-]{2,64}, the rule of RoleSessionName and SourceIdentity
// alike. It is deterministic. A name with fewer than two usable characters
// becomes the subject's opaque id.
func CleanSessionName(wanted string, s Subject) string {
	name := strings.Trim(sessionNameUnsafe.ReplaceAllString(strings.TrimSpace(wanted), "-"), "-")
	if len(name) > 64 {
		name = name[:64]
	}
	if len(name) < 2 || opaqueName.MatchString(name) {
		return s.Opaque()
	}
	return name
}

// opaqueName are the names that subjects have at AWS: nobody takes another's.
var opaqueName = regexp.MustCompile(`(?i)^u-[a-z2-7]{26}$`)

// SessionNames returns the names that a subject may get for a wanted one, the
// best first: the cleaned one; where somebody else has that, cut and told apart by
// eight characters of the subject's hash, and by all 26 of them, as somebody may
// have taken the shorter one on purpose; and at last the subject's opaque id,
// which nobody else can have.
func SessionNames(wanted string, s Subject) []string {
	clean := CleanSessionName(wanted, s)
	long := clean[:min(len(clean), 64-27)] + "-" + s.digest()[:26]
	return []string{clean, DistinctSessionName(clean, s), long, s.Opaque()}
}

// DistinctSessionName returns the name that a subject gets when another subject
// already holds the cleaned one: cut to 55, then "-" and eight base32
// characters of the subject's hash.
func DistinctSessionName(cleaned string, s Subject) string {
	if len(cleaned) > 55 {
		cleaned = cleaned[:55]
	}
	return cleaned + "-" + s.digest()[:8]
}

// ValidDuration reports whether STS can take d at all (900 to 43200 s).
func ValidDuration(d time.Duration) error {
	if d < 15*time.Minute || d > 12*time.Hour || d%time.Second != 0 {
		return Errorf(CodeInvalid, "a role session lasts between 15 minutes and 12 hours, not %s", d)
	}
	return nil
}

// NewRoleARN joins partition, account and role name (with its path, if any).
func NewRoleARN(p Partition, a AccountID, role string) RoleARN {
	return RoleARN(fmt.Sprintf("arn:%s:iam::%s:role/%s", p, a, strings.TrimPrefix(role, "/")))
}

// SortAssignments orders by account name, account id, role and via.
func SortAssignments(as []Assignment) {
	slices.SortFunc(as, func(a, b Assignment) int {
		for _, c := range []int{
			strings.Compare(strings.ToLower(a.Account.Name), strings.ToLower(b.Account.Name)),
			strings.Compare(string(a.Account.ID), string(b.Account.ID)),
			strings.Compare(strings.ToLower(a.Role), strings.ToLower(b.Role)),
		} {
			if c != 0 {
				return c
			}
		}
		return strings.Compare(string(a.Via), string(b.Via))
	})
}
