package api

import (
	"time"

	"github.com/rolegate/rolegate/broker"
)

// The routes.
const (
	PathMe              = "/api/v1/me"
	PathAssignments     = "/api/v1/assignments"
	PathRoleCredentials = "/api/v1/role-credentials" //nolint:gosec // G101: a path, not a credential
)

// Me answers GET [PathMe]: who is signed in.
type Me struct {
	Subject          string            `json:"subject"` // the provider's NameID or sub
	IdP              broker.ProviderID `json:"idp"`
	Username         string            `json:"username"`
	Email            string            `json:"email,omitempty"`
	Groups           []string          `json:"groups"`
	MFA              bool              `json:"mfa"`
	SessionName      string            `json:"session_name"` // the name in assumed-role/ROLE/NAME
	SessionExpiresAt time.Time         `json:"session_expires_at"`
}

// NewMe describes the session's person.
func NewMe(s *broker.Session) Me {
	id := s.Identity
	return Me{
		Subject: id.Subject.ID, IdP: id.Subject.Provider, Username: id.Username, Email: id.Email,
		Groups: append([]string{}, id.Groups...), MFA: id.MFA, SessionName: s.SessionName, SessionExpiresAt: s.ExpiresAt.UTC(),
	}
}

// Assignments answers GET [PathAssignments]: what the person may use now.
type Assignments struct {
	Assignments []Assignment `json:"assignments"`
}

// Assignment is one role in one account.
type Assignment struct {
	ID                 broker.AssignmentID `json:"id"`
	Account            broker.Account      `json:"account"`
	Role               string              `json:"role"`
	RoleARN            broker.RoleARN      `json:"role_arn"`
	Via                broker.Via          `json:"via"`
	Description        string              `json:"description,omitempty"`
	MaxDurationSeconds int64               `json:"max_duration_seconds"`
	Require            Requirement         `json:"require"`
	Rules              []string            `json:"rules"` // the names of the rules that granted it
}

// Requirement is what the role asks of the sign-in.
type Requirement struct {
	MFA               bool  `json:"mfa,omitempty"`
	MaxAuthAgeSeconds int64 `json:"max_auth_age_seconds,omitempty"`
}

// NewAssignments turns the domain's list into its document.
func NewAssignments(as []broker.Assignment) Assignments {
	out := Assignments{Assignments: make([]Assignment, len(as))}
	for i, a := range as {
		out.Assignments[i] = Assignment{
			ID: a.ID, Account: a.Account, Role: a.Role, RoleARN: a.RoleARN, Via: a.Via, Description: a.Description,
			MaxDurationSeconds: seconds(a.MaxDuration), Rules: append([]string{}, a.Rules...),
			Require: Requirement{MFA: a.Require.MFA, MaxAuthAgeSeconds: seconds(a.Require.MaxAuthAge)},
		}
	}
	return out
}

// RoleCredentialsRequest is the body of POST [PathRoleCredentials]. Zero
// seconds means the assignment's maximum.
type RoleCredentialsRequest struct {
	Assignment      broker.AssignmentID `json:"assignment"`
	DurationSeconds int64               `json:"duration_seconds,omitempty"`
}

// RoleCredentials answers POST [PathRoleCredentials]. It holds secrets in the
// clear: it is written to the caller and nowhere else.
type RoleCredentials struct {
	AccessKeyID     string           `json:"access_key_id"`
	SecretAccessKey string           `json:"secret_access_key"`
	SessionToken    string           `json:"session_token"`
	Expiration      time.Time        `json:"expiration"`
	AccountID       broker.AccountID `json:"account_id"`
	Role            string           `json:"role"`
	AssumedRoleARN  string           `json:"assumed_role_arn"`
	SessionName     string           `json:"session_name"`
	SourceIdentity  string           `json:"source_identity,omitempty"`
}

// NewRoleCredentials reveals the credentials of a role session for its caller.
func NewRoleCredentials(rs broker.RoleSession) RoleCredentials {
	c := rs.Credentials
	return RoleCredentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(), SessionToken: c.SessionToken.Reveal(),
		Expiration: c.Expiration.UTC(), AccountID: rs.Assignment.Account.ID, Role: rs.Assignment.Role,
		AssumedRoleARN: rs.AssumedRoleARN, SessionName: rs.SessionName, SourceIdentity: rs.SourceIdentity,
	}
}

// Problem is an error as RFC 9457 wants it, with our extensions.
type Problem struct {
	Type    string      `json:"type"` // "about:blank": code says which it is
	Title   string      `json:"title"`
	Status  int         `json:"status"`
	Detail  string      `json:"detail"`
	Code    broker.Code `json:"code"`
	Remedy  string      `json:"remedy,omitempty"`
	TraceID string      `json:"trace_id,omitempty"` // there only if an administrator finds something under it
	StepUp  *StepUp     `json:"step_up,omitempty"`
}

// StepUp says what the sign-in lacked (RFC 9470).
type StepUp struct {
	MFA               bool  `json:"mfa,omitempty"`
	MaxAuthAgeSeconds int64 `json:"max_auth_age_seconds,omitempty"`
}

// NewStepUp returns the document of s, nil for nil.
func NewStepUp(s *broker.StepUp) *StepUp {
	if s == nil {
		return nil
	}
	return &StepUp{MFA: s.MFA, MaxAuthAgeSeconds: seconds(s.MaxAuthAge)}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
