package mapping

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Change is one difference that [Diff] found.
type Change struct {
	Kind       ChangeKind        `json:"kind"`
	Subject    broker.Subject    `json:"subject"`
	Username   string            `json:"username"`
	Assignment broker.Assignment `json:"assignment"` // the new one, or the old one when it is lost
	What       []string          `json:"what,omitempty"`
}

// ChangeKind says what happens to an assignment.
type ChangeKind string

// The kinds.
const (
	Gained  ChangeKind = "gained"
	Lost    ChangeKind = "lost"
	Changed ChangeKind = "changed" // kept, with other terms
)

// Diff says what each identity gains, loses and keeps on other terms when next
// takes old's place, in the order of identities and then of assignments. Both
// are evaluated at the same time.
//
// An identity that old would make of its claims just as it is given is made
// anew by next, so that changed identity settings count; a sign-in that next
// would refuse loses everything. Any other identity (one written by hand, or
// from before old) is taken as it is by both.
func Diff(ctx context.Context, old, next *Engine, identities []broker.Identity) ([]Change, error) {
	now := next.now()
	at := func(e *Engine) *Engine {
		c := *e
		c.now = func() time.Time { return now }
		return &c
	}
	old, next = at(old), at(next)
	var out []Change
	for _, id := range identities {
		before, err := old.Assignments(ctx, id)
		if err != nil {
			return nil, err
		}
		after, refused, err := next.afterSignIn(ctx, old, id)
		if err != nil {
			return nil, err
		}
		out = append(out, diffOne(id, before, after, refused)...)
	}
	return out, nil
}

// afterSignIn returns what id would have after its next sign-in, and why that
// would be refused, if it would.
func (e *Engine) afterSignIn(ctx context.Context, old *Engine, id broker.Identity) (as []broker.Assignment, refused []string, err error) {
	if same, err := old.again(ctx, id); err == nil && sameView(same, id) {
		if id, err = e.again(ctx, id); err != nil {
			return nil, []string{"the sign-in would be refused: " + broker.Message(err)}, nil
		}
	}
	as, err = e.Assignments(ctx, id)
	return as, nil, err
}

// again makes the identity anew from its claims; its subject stays.
func (e *Engine) again(ctx context.Context, id broker.Identity) (broker.Identity, error) {
	p := e.providers[id.Subject.Provider]
	if p == nil {
		return broker.Identity{}, broker.Errorf(broker.CodeDenied, "There is no identity provider %q.", id.Subject.Provider)
	}
	return e.describe(ctx, p, id, id.Subject.ID)
}

// sameView compares what rules see of two identities with the same claims.
func sameView(a, b broker.Identity) bool {
	return a.Username == b.Username && a.Email == b.Email && a.MFA == b.MFA && slices.Equal(a.Groups, b.Groups)
}

func diffOne(id broker.Identity, before, after []broker.Assignment, refused []string) []Change {
	had := make(map[broker.AssignmentID]broker.Assignment, len(before))
	for _, a := range before {
		had[a.ID] = a
	}
	var out []Change
	for _, a := range after {
		b, ok := had[a.ID]
		delete(had, a.ID)
		if !ok {
			out = append(out, Change{Gained, id.Subject, id.Username, a, nil})
		} else if what := terms(b, a); len(what) > 0 {
			out = append(out, Change{Changed, id.Subject, id.Username, a, what})
		}
	}
	for _, b := range before {
		if _, gone := had[b.ID]; gone {
			out = append(out, Change{Lost, id.Subject, id.Username, b, refused})
		}
	}
	return out
}

// terms says what differs between two assignments of one id.
func terms(b, a broker.Assignment) []string {
	var out []string
	for _, t := range []struct{ name, before, after string }{
		{"role_arn", string(b.RoleARN), string(a.RoleARN)},
		{"provider_arn", string(b.ProviderARN), string(a.ProviderARN)},
		{"max_duration", b.MaxDuration.String(), a.MaxDuration.String()},
		{"require.mfa", fmt.Sprint(b.Require.MFA), fmt.Sprint(a.Require.MFA)},
		{"require.max_auth_age", b.Require.MaxAuthAge.String(), a.Require.MaxAuthAge.String()},
		{"session_tags", fmt.Sprint(b.SessionTags), fmt.Sprint(a.SessionTags)},
		{"transitive_tag_keys", fmt.Sprint(b.TransitiveTagKeys), fmt.Sprint(a.TransitiveTagKeys)},
	} {
		if t.before != t.after {
			out = append(out, fmt.Sprintf("%s: %s → %s", t.name, t.before, t.after))
		}
	}
	return out
}
