package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// policy is an IAM trust policy or an inline policy of a role (IAM User Guide "IAM JSON policy elements").
type policy struct {
	Version   string
	Statement statements
}

type statements []statement

type statement struct {
	Sid       string
	Effect    string
	Principal struct{ Federated values }
	Action    values
	Resource  values
	Condition map[string]map[string]values
}

// values is a string or a list of strings.
type values []string

// UnmarshalJSON reads both forms.
func (v *values) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*v = values{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(v))
}

// UnmarshalJSON reads one statement or a list.
func (s *statements) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		*s = make(statements, 1)
		return strict(b, &(*s)[0])
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	for _, r := range raw {
		var one statement
		if err := strict(r, &one); err != nil {
			return err
		}
		*s = append(*s, one)
	}
	return nil
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// parseTrustPolicy reads a trust policy.
func parseTrustPolicy(s string) (policy, error) {
	p, err := parsePolicy(s, trustKeys)
	for _, st := range p.Statement {
		if len(st.Principal.Federated) == 0 || len(st.Resource) > 0 {
			err = errors.Join(err, errors.New("a statement of a trust policy needs a Federated principal and no Resource"))
		}
	}
	return p, err
}

// parseInlinePolicy reads an inline policy of a role.
func parseInlinePolicy(s string) (policy, error) {
	p, err := parsePolicy(s, sessionKeys)
	for _, st := range p.Statement {
		if len(st.Principal.Federated) > 0 || !slices.Equal(st.Resource, values{"*"}) {
			err = errors.Join(err, errors.New("a statement of an inline policy needs Resource * and no principal"))
		}
	}
	return p, err
}

// parsePolicy reads a policy; what the double cannot evaluate is an error, so
// that nothing is ever taken for granted.
func parsePolicy(s string, known *regexp.Regexp) (policy, error) {
	var p policy
	if err := strict([]byte(s), &p); err != nil {
		return p, err
	}
	if p.Version != "2012-10-17" || len(p.Statement) == 0 {
		return p, errors.New("version 2012-10-17 and a statement are needed")
	}
	for _, st := range p.Statement {
		if st.Effect != "Allow" && st.Effect != "Deny" || len(st.Action) == 0 {
			return p, errors.New("a statement needs Effect and Action")
		}
		for op, keys := range st.Condition {
			o, ok := operator(op)
			if !ok {
				return p, fmt.Errorf("operator %q is not known here", op)
			}
			for k := range keys {
				if k = strings.ToLower(k); !known.MatchString(k) {
					return p, fmt.Errorf("condition key %q is not known here", k)
				}
				// IAM leaves open what a plain operator does with several values.
				if multivalued.MatchString(k) && o.set == "" && o.name != "Null" {
					return p, fmt.Errorf("condition key %q needs ForAnyValue or ForAllValues", k)
				}
			}
		}
	}
	return p, nil
}

var (
	trustKeys   = regexp.MustCompile(`^(saml:(aud|iss|sub|sub_type|doc|namequalifier)|sts:(rolesessionname|sourceidentity|transitivetagkeys)|aws:(requesttag/.+|tagkeys|currenttime)|[a-z0-9.-]+(/[^:]*)?:(aud|sub|azp|amr))$`)
	sessionKeys = regexp.MustCompile(`^aws:(tokenissuetime|currenttime|sourceidentity|userid|principaltag/.+)$`)
	multivalued = regexp.MustCompile(`^(aws:tagkeys|sts:transitivetagkeys|.+:amr)$`)
)

// facts are the condition keys of one call, in lower case.
type facts map[string][]string

type op struct {
	name   string
	set    string // "", forany or forall
	exists bool   // …IfExists
}

var operators = []string{
	"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
	"Null", "Bool", "DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
}

func operator(s string) (op, bool) {
	o := op{}
	if rest, ok := strings.CutPrefix(s, "ForAnyValue:"); ok {
		s, o.set = rest, "any"
	} else if rest, ok := strings.CutPrefix(s, "ForAllValues:"); ok {
		s, o.set = rest, "all"
	}
	if rest, ok := strings.CutSuffix(s, "IfExists"); ok {
		s, o.exists = rest, true
	}
	o.name = s
	return o, slices.Contains(operators, s)
}

func (o op) holds(have []string, present bool, want []string) bool {
	if o.name == "Null" {
		return slices.Contains(want, map[bool]string{true: "false", false: "true"}[present])
	}
	negated := strings.Contains(o.name, "Not")
	if !present {
		return o.exists || o.set == "all" || negated
	}
	matches := func(h string) bool {
		any := slices.ContainsFunc(want, func(w string) bool { return o.match(h, w) })
		return any != negated
	}
	switch o.set {
	case "any":
		return slices.ContainsFunc(have, matches)
	case "all":
		return !slices.ContainsFunc(have, func(h string) bool { return !matches(h) })
	default:
		return len(have) == 1 && matches(have[0])
	}
}

// match is the positive comparison of the operator.
func (o op) match(have, want string) bool {
	switch strings.Replace(o.name, "Not", "", 1) {
	case "StringEquals", "Bool":
		return have == want
	case "StringEqualsIgnoreCase":
		return strings.EqualFold(have, want)
	case "StringLike":
		return like(have, want)
	}
	h, err1 := time.Parse(time.RFC3339, have)
	w, err2 := time.Parse(time.RFC3339, want)
	if err1 != nil || err2 != nil {
		return false
	}
	switch strings.TrimPrefix(strings.Replace(o.name, "Not", "", 1), "Date") {
	case "Equals":
		return h.Equal(w)
	case "LessThan":
		return h.Before(w)
	case "LessThanEquals":
		return !h.After(w)
	case "GreaterThan":
		return h.After(w)
	case "GreaterThanEquals":
		return !h.Before(w)
	}
	return false
}

func (st statement) conditions(f facts) bool {
	for name, keys := range st.Condition {
		o, _ := operator(name)
		for k, want := range keys {
			have, present := f[strings.ToLower(k)]
			if !o.holds(have, present, want) {
				return false
			}
		}
	}
	return true
}

// like is IAM's pattern: * is any text, ? any character.
func like(s, pattern string) bool {
	text := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	ok, err := regexp.MatchString("(?s)^"+text+"$", s)
	return err == nil && ok
}

func (st statement) acts(action string) bool {
	return slices.ContainsFunc(st.Action, func(a string) bool { return like(strings.ToLower(action), strings.ToLower(a)) })
}

// trusts evaluates the trust policy for one call: the assume action, and
// sts:TagSession and sts:SetSourceIdentity where the call needs them. Deny wins.
func (a *AWS) trusts(p policy, principal, action string, f facts, tags, sourceIdentity bool) error {
	needed := []struct{ action, check string }{{action, "trust.action"}}
	if tags {
		needed = append(needed, struct{ action, check string }{"sts:TagSession", "trust.tag_session"})
	}
	if sourceIdentity {
		needed = append(needed, struct{ action, check string }{"sts:SetSourceIdentity", "trust.source_identity"})
	}
	denied := refuse("AccessDenied", "Not authorized to perform %s", action)
	for _, n := range needed {
		if err := a.allows(p, principal, n.action, n.check, f, denied); err != nil {
			return err
		}
	}
	return nil
}

func (a *AWS) allows(p policy, principal, action, check string, f facts, denied *refusal) error {
	named, acted, held := false, false, false
	for _, st := range p.Statement {
		isNamed := slices.Contains(st.Principal.Federated, principal) || a.off["trust.principal"]
		isHeld := st.conditions(f) || a.off["trust.condition"]
		if st.Effect == "Deny" {
			if slices.Contains(st.Principal.Federated, principal) && st.acts(action) && st.conditions(f) {
				if err := a.need("trust.deny", false, denied); err != nil {
					return err
				}
			}
			continue
		}
		named = named || isNamed
		acted = acted || isNamed && st.acts(action)
		held = held || isNamed && (st.acts(action) || a.off[check]) && isHeld
	}
	return first(
		a.need("trust.principal", named, denied),
		a.need(check, acted, denied),
		a.need("trust.condition", held, denied),
	)
}
