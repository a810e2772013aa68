package mapping

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"

	"github.com/rolegate/rolegate/broker"
)

// Limits of session tags (IAM User Guide, "Passing session tags in AWS STS";
// the charset is tagKeyType and tagValueType of the STS API).
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

func checkTagKey(key string) error {
	switch {
	case key == "" || !utf8.ValidString(key) || utf8.RuneCountInString(key) > maxTagKey || !tagText.MatchString(key):
		return fmt.Errorf("%q cannot be the key of a session tag: 1 to %d letters, digits, spaces or _.:/=+-@", key, maxTagKey)
	case strings.HasPrefix(fold(key), "aws:"):
		return fmt.Errorf("%q begins with aws:, which AWS keeps for itself", key)
	}
	return nil
}

func checkTagValue(v string) error {
	if !utf8.ValidString(v) || utf8.RuneCountInString(v) > maxTagValue || !tagText.MatchString(v) {
		return fmt.Errorf("its value is not up to %d letters, digits, spaces or _.:/=+-@", maxTagValue)
	}
	return nil
}

// tags checks the tags of a role and queues their expressions. Keys that
// differ in capitals only are one key to IAM.
func (c *compiler) tags(path string, r Role) []tag {
	var proof []string
	if r.ProofTags {
		proof = broker.ProofTagKeys()
	}
	if n := len(r.SessionTags) + len(proof); n > maxTags {
		c.problem(path+".session_tags", "has %d tags; AWS takes %d", n, maxTags)
	}
	keys := slices.Sorted(maps.Keys(r.SessionTags))
	out := make([]tag, len(keys))
	folded := map[string]bool{}
	for i, key := range keys {
		at := path + ".session_tags." + key
		if err := checkTagKey(key); err != nil {
			c.problem(at, "%v", err)
		}
		if folded[fold(key)] {
			c.problem(at, "another tag has this key in other capitals")
		}
		folded[fold(key)] = true
		if slices.Contains(proof, fold(key)) {
			c.problem(at, "proof_tags makes this tag")
		}
		if r.SessionTags[key] == "" {
			c.problem(at, "an expression is needed")
		}
		out[i].key = key
		c.expr(at, r.SessionTags[key], c.envs.identity, cel.StringType, &out[i].expr)
	}
	for i, key := range r.TransitiveTagKeys {
		if _, ok := r.SessionTags[key]; !ok && !slices.Contains(proof, key) {
			c.problem(fmt.Sprintf("%s.transitive_tag_keys[%d]", path, i), "%q is not one of the role's session tags", key)
		}
	}
	return out
}
