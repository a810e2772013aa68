package brokertest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// AWS is mapper, asserter and assumer in one.
type AWS struct {
	Granted   []broker.Assignment
	Unheld    []broker.Assignment // known to the rules, and not the person's
	Lacks     map[string][]broker.RuleResult
	Asserted  []broker.AssertionRequest
	Assumed   []broker.AssumeRoleRequest
	AssumeErr error
	Assuming  func(context.Context) // done inside of AssumeRole; nil: nothing
	Admins    string                // the group of administrators
	Now       func() time.Time

	mu sync.Mutex // of what was asserted and assumed
}

func (a *AWS) Identity(_ context.Context, auth broker.Authentication) (broker.Identity, error) {
	return broker.Identity{
		Subject: auth.Subject, Username: auth.Claims.First("username"), Email: auth.Claims.First("email"),
		Groups: auth.Claims["groups"], Claims: auth.Claims, AuthnContext: auth.AuthnContext, AuthnInstant: auth.AuthnInstant,
		MFA: auth.AuthnContext.ACR == "mfa", NotOnOrAfter: auth.NotOnOrAfter,
		SessionName: auth.Claims.First("email"), SourceIdentity: auth.Claims.First("username"),
	}, nil
}

func (a *AWS) Assignments(context.Context, broker.Identity) ([]broker.Assignment, error) {
	return a.Granted, nil
}

func (a *AWS) Explain(context.Context, broker.Identity) (broker.Explanation, error) {
	return broker.Explanation{Assignments: a.Granted}, nil
}

func (a *AWS) Missing(_ context.Context, _ broker.Identity, account, role string) ([]broker.RuleResult, error) {
	return a.Lacks[account+"/"+role], nil
}

// Known knows what is granted, and Unheld.
func (a *AWS) Known(_ context.Context, w broker.Wanted) (broker.Assignment, bool) {
	for _, x := range append(slices.Clone(a.Granted), a.Unheld...) {
		if x.ID == w.ID || w.ID == "" && strings.EqualFold(x.Account.Name, w.Account) && strings.EqualFold(x.Role, w.Role) {
			return x, true
		}
	}
	return broker.Assignment{}, false
}

func (a *AWS) Assert(_ context.Context, r broker.AssertionRequest) (broker.Assertion, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Asserted = append(a.Asserted, r)
	return broker.Assertion{Kind: r.Via, Raw: broker.NewSecret("raw-assertion"), ID: "_a1", Subject: r.Subject.Opaque()}, nil
}

func (a *AWS) AssumeRole(ctx context.Context, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	a.mu.Lock()
	a.Assumed = append(a.Assumed, r)
	a.mu.Unlock()
	if a.Assuming != nil {
		a.Assuming(ctx)
	}
	if a.AssumeErr != nil {
		return broker.RoleSession{}, a.AssumeErr
	}
	return broker.RoleSession{
		Credentials: broker.Credentials{
			AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: broker.NewSecret("planted-secret-key"),
			SessionToken: broker.NewSecret("planted-session-token"), Expiration: a.Now().Add(r.Duration),
		},
		AssumedRoleARN: "arn:aws:sts::111122223333:assumed-role/X/" + r.SessionName, AssumedRoleID: "AROA:" + r.SessionName,
		STSRequestID: "req-1", NameQualifier: "nq", SourceIdentity: "si",
	}, nil
}

func (a *AWS) SignInURL(_ context.Context, r broker.SignInURLRequest) (broker.Secret, error) {
	if r.Destination.Path == "evil" {
		return broker.Secret{}, broker.Errorf(broker.CodeInvalid, "This is no console page.")
	}
	return broker.NewSecret("https://signin.example/?SigninToken=planted-link"), nil
}

// IsAdmin looks at the groups anew each time.
func (a *AWS) IsAdmin(_ context.Context, id broker.Identity) (bool, error) {
	return a.Admins != "" && slices.Contains(id.Groups, a.Admins), nil
}
