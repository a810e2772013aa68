package issuer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rolegate/rolegate/broker"
)

// check holds AWS's rules for what goes into an assertion: names and source
// identity [A-Za-z0-9_+=,.@-]{2,64}, role and provider in one partition and
// account, tags as in "Passing session tags in STS". It parses by hand: it is
// on the path of every mint.
func check(r broker.AssertionRequest, tagKeys []string) error {
	role, ok := resource(string(r.RoleARN), r.Account, "role/")
	name := role[strings.LastIndexByte(role, '/')+1:]
	switch {
	case !ok || len(name) > 64 || name == "":
		return fmt.Errorf("%q is no role of account %s in partition %s", r.RoleARN, r.Account.ID, r.Account.Partition)
	case strings.HasPrefix(name, "AWSReservedSSO_"):
		return fmt.Errorf("%q belongs to IAM Identity Center, STS never gives it to others", r.RoleARN)
	case !sessionName(r.SessionName):
		return fmt.Errorf("session name %q", r.SessionName)
	case !sessionName(r.SourceIdentity):
		return fmt.Errorf("source identity %q", r.SourceIdentity)
	case r.Subject.IsZero():
		return errors.New("no subject")
	}
	if r.Via == broker.ViaSAML {
		provider, ok := resource(string(r.ProviderARN), r.Account, "saml-provider/")
		if !ok || len(provider) > 128 || strings.ContainsAny(provider, "/+=,@") {
			return fmt.Errorf("%q is no SAML provider of the role's account", r.ProviderARN)
		}
		// The Role value is "role,provider": how AWS splits it when the role
		// has a comma of its own is not documented.
		if strings.Contains(role, ",") {
			return fmt.Errorf("%q has a comma, which via: saml cannot tell from its separator", r.RoleARN)
		}
	}
	if err := broker.ValidDuration(r.Duration); err != nil {
		return err
	}
	return checkTags(r.SessionTags, tagKeys, r.TransitiveTagKeys)
}

// resource returns what follows KIND in arn:PARTITION:iam::ACCOUNT:KIND… if the
// ARN is of that account and otherwise in IAM's characters.
func resource(arn string, a broker.Account, kind string) (string, bool) {
	rest, ok := strings.CutPrefix(arn, "arn:")
	for _, part := range [...]string{string(a.Partition), ":iam::", string(a.ID), ":", kind} {
		if ok {
			rest, ok = strings.CutPrefix(rest, part)
		}
	}
	return rest, ok && a.Partition != "" && len(a.ID) == 12 && rest != "" && len(arn) <= 2048 && nameText(rest, '/')
}

func sessionName(s string) bool { return len(s) >= 2 && len(s) <= 64 && nameText(s, 0) }

// nameText reports whether s has IAM's name characters only, or the one more.
func nameText(s string, more byte) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_+=,.@-", c) >= 0:
		case more != 0 && c == more:
		default:
			return false
		}
	}
	return true
}

func checkTags(tags map[string]string, keys, transitive []string) error {
	if len(keys) > 50 {
		return fmt.Errorf("%d session tags, 50 are allowed", len(keys))
	}
	for n, k := range keys {
		v := tags[k]
		switch {
		case k == "" || utf8.RuneCountInString(k) > 128 || !tagText(k) || len(k) >= 4 && strings.EqualFold(k[:4], "aws:"):
			return fmt.Errorf("session tag key %q", k)
		case utf8.RuneCountInString(v) > 256 || !tagText(v):
			return fmt.Errorf("value of session tag %q", k)
		}
		for _, other := range keys[:n] {
			if strings.EqualFold(k, other) {
				return fmt.Errorf("session tag key %q twice: keys are compared without regard to case", k)
			}
		}
	}
	for n, k := range transitive {
		if _, ok := tags[k]; !ok {
			return fmt.Errorf("transitive tag key %q is no session tag", k)
		}
		if slices.Contains(transitive[:n], k) {
			return fmt.Errorf("transitive tag key %q twice", k)
		}
	}
	return nil
}

// tagText reports whether s is in AWS's set [\p{L}\p{Z}\p{N}_.:/=+\-@]. Bytes
// that are no UTF-8 range as U+FFFD, a symbol, and are refused with it.
func tagText(s string) bool {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == ' ':
		case r < utf8.RuneSelf:
			if !strings.ContainsRune("_.:/=+-@", r) {
				return false
			}
		case !unicode.In(r, unicode.L, unicode.Z, unicode.N):
			return false
		}
	}
	return true
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
