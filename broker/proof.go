package broker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
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

// withProof returns the assignment's session tags with those of the proof. What
// is unknown has no tag, so that a condition on it fails.
func withProof(x Assignment, id Identity) map[string]string {
	if !x.ProofTags {
		return x.SessionTags
	}
	tags := maps.Clone(x.SessionTags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[TagMFA] = strconv.FormatBool(id.MFA)
	if acr := cleanTag(id.AuthnContext.ACR); acr != "" {
		tags[TagACR] = acr
	}
	if !id.AuthnInstant.IsZero() {
		tags[TagAuthTime] = id.AuthnInstant.UTC().Format(time.RFC3339)
	}
	return tags
}

// cleanTag keeps what AWS takes in the value of a session tag:
// [\p{L}\p{Z}\p{N}_.:/=+\-@], 256 characters.
func cleanTag(s string) string {
	out := []rune(strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.L, unicode.Z, unicode.N) && r != unicode.ReplacementChar || strings.ContainsRune("_.:/=+-@", r) {
			return r
		}
		return '-'
	}, strings.ToValidUTF8(s, "-")))
	return strings.TrimSpace(string(out[:min(len(out), 256)]))
}

// WithoutProof returns the sign-ins among the events that brought no proof of a
// second factor, oldest first as they came.
func WithoutProof(events []Event) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool {
		return e.Action != ActionSignIn || e.Outcome != OutcomeOK || e.Detail["mfa"] == "true"
	})
}
