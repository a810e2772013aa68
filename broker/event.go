package broker

import "time"

// Action names what an [Event] is about.
type Action string

// The actions.
const (
	ActionSignIn      Action = "signin"
	ActionSignOut     Action = "signout"
	ActionLogout      Action = "logout.received" // the identity provider ended sessions
	ActionListRoles   Action = "roles.list"
	ActionCredentials Action = "credentials.issue"
	ActionConsole     Action = "console.open"
	ActionAsk         Action = "role.ask"      // AWS is about to be asked for a role session; what came of it has the same mint
	ActionArrive      Action = "signin.arrive" // an answer that was not asked for; no session before the person agrees
	ActionReload      Action = "config.reload"
	ActionCertificate Action = "certificate.end"
	ActionSessionEnd  Action = "session.end"    // one session, by its person or an administrator
	ActionRevoke      Action = "session.revoke" // every session of a person
	ActionLimit       Action = "limit"          // somebody was slowed down; once per window
	ActionAdminView   Action = "admin.view"     // an administrator looked at somebody's data
	ActionAdminExport Action = "admin.export"
	ActionAdminDenied Action = "admin.denied"
	ActionSimulate    Action = "admin.simulate"
	ActionMFAUse      Action = "mfa.use"
	ActionMFAEnrol    Action = "mfa.enrol"
	ActionMFARemove   Action = "mfa.remove"
	ActionMFAReset    Action = "mfa.reset"
	ActionClient      Action = "client.approve" // a person lets a program act for them, or not
	ActionToken       Action = "token.issue"    // a program gets tokens
	ActionTokenRevoke Action = "token.revoke"   // a program's session ends
	ActionEventsPurge Action = "events.purge"   // old events were deleted, by their age or by an operator
	ActionNameRelease Action = "name.release"   // an operator lets a name in AWS be somebody else's
)

// Outcome of an action.
type Outcome string

// Actions lists the actions, for people to choose from.
func Actions() []Action {
	return []Action{
		ActionSignIn, ActionSignOut, ActionLogout, ActionListRoles, ActionCredentials, ActionConsole, ActionAsk, ActionSessionEnd, ActionRevoke,
		ActionLimit, ActionArrive, ActionReload, ActionCertificate, ActionAdminView, ActionAdminExport, ActionAdminDenied, ActionSimulate,
		ActionMFAUse, ActionMFAEnrol, ActionMFARemove, ActionMFAReset, ActionClient, ActionToken, ActionTokenRevoke, ActionNameRelease,
		ActionEventsPurge,
	}
}

// The outcomes.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeRefused Outcome = "refused"
	OutcomeFailed  Outcome = "failed"  // ours or a peer's fault, not a decision
	OutcomeWarning Outcome = "warning" // nothing is wrong yet
)

// Event is one audit record. Detail holds no secret. For each mint it holds
// the six values that join CloudTrail: assertion_id, sts_request_id,
// access_key_id, assumed_role_arn and assumed_role_id, name_qualifier and
// name_id, source_identity.
type Event struct {
	Time      time.Time         `json:"time"`
	Action    Action            `json:"action"`
	Outcome   Outcome           `json:"outcome"`
	Code      Code              `json:"code,omitempty"` // of the error, when not ok
	Actor     Subject           `json:"actor,omitzero"`
	Username  string            `json:"username,omitempty"`
	Target    string            `json:"target,omitempty"` // role ARN, provider id
	RequestID string            `json:"request_id,omitempty"`
	TraceID   string            `json:"trace_id,omitempty"`
	Remote    string            `json:"remote,omitempty"` // client address
	Detail    map[string]string `json:"detail,omitempty"`
}

// Explanation says, rule by rule, why an identity has what it has.
type Explanation struct {
	Rules       []RuleResult `json:"rules"`
	Assignments []Assignment `json:"assignments"`
}

// RuleResult is the outcome of one rule for one identity.
type RuleResult struct {
	Rule    string         `json:"rule"`
	Matched bool           `json:"matched"`
	Groups  []string       `json:"groups,omitempty"`  // the person's groups that matched
	Missing []string       `json:"missing,omitempty"` // any one of these groups would have matched
	Reason  string         `json:"reason"`            // one sentence
	Grants  []AssignmentID `json:"grants,omitempty"`
}
