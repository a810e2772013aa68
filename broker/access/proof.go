package access

import (
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rolegate/rolegate/broker"
)

// withProof returns the assignment's session tags with those of the proof. What
// is unknown has no tag, so that a condition on it fails.
func withProof(x broker.Assignment, id broker.Identity) map[string]string {
	if !x.ProofTags {
		return x.SessionTags
	}
	tags := maps.Clone(x.SessionTags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[broker.TagMFA] = strconv.FormatBool(id.MFA)
	if acr := cleanTag(id.AuthnContext.ACR); acr != "" {
		tags[broker.TagACR] = acr
	}
	if !id.AuthnInstant.IsZero() {
		tags[broker.TagAuthTime] = id.AuthnInstant.UTC().Format(time.RFC3339)
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
