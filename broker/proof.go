package broker

import (
	"slices"
)

// The session tags that carry the proof to AWS: "true" or "false", the
// provider's acr, and the time of authentication (RFC 3339, UTC), which the IAM
// operator DateGreaterThan can compare.
const (
	TagMFA      = "mfa"
	TagACR      = "acr"
	TagAuthTime = "auth_time"
)

// ProofTagKeys lists the tags that a role with proof tags gets besides its own.
func ProofTagKeys() []string { return []string{TagMFA, TagACR, TagAuthTime} }

// WithoutProof returns the sign-ins among the events that brought no proof of a
// second factor, oldest first as they came.
func WithoutProof(events []Event) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool {
		return e.Action != ActionSignIn || e.Outcome != OutcomeOK || e.Detail["mfa"] == "true"
	})
}
