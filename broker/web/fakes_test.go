package web_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// proven is the context that proves a second factor, by the policy of "okta".
const proven = "urn:mfa"

// fakeIdP is an identity provider that vouches for auth.
type fakeIdP struct {
	id       broker.ProviderID
	unasked  bool // takes answers to no request
	post     bool
	beginErr error
	leftOut  []string // of its documents
	err      error
	auth     func() broker.Authentication
	last     broker.AuthRequest
	form     url.Values

	logout    *broker.Challenge // what sends the browser to sign out there
	logoutErr error             // of BeginLogout and FinishLogout
	gone      broker.LogoutRequest
	message   broker.LogoutMessage
	notice    broker.LogoutNotice // what a message says
	noticeErr error
	vouches   string // if set, messages that do not hold it are refused
	answer    *broker.Challenge
}

func (p *fakeIdP) BeginLogout(_ context.Context, r broker.LogoutRequest) (*broker.Challenge, error) {
	p.gone = r
	return p.logout, p.logoutErr
}

func (p *fakeIdP) FinishLogout(_ context.Context, _ broker.LogoutRequest, m broker.LogoutMessage) error {
	p.message = m
	if p.vouches != "" && !strings.Contains(m.Query, p.vouches) {
		return broker.Errorf(broker.CodeUnauthenticated, "It could not be verified.")
	}
	return p.logoutErr
}

func (p *fakeIdP) ReceiveLogout(_ context.Context, m broker.LogoutMessage) (broker.LogoutNotice, error) {
	p.message = m
	if p.vouches != "" && !strings.Contains(m.Query+m.Form.Encode(), p.vouches) {
		return broker.LogoutNotice{}, broker.Errorf(broker.CodeUnauthenticated, "It could not be verified.")
	}
	return p.notice, p.noticeErr
}

func (p *fakeIdP) AnswerLogout(context.Context, broker.LogoutNotice, error) (*broker.Challenge, error) {
	return p.answer, nil
}

func (p *fakeIdP) Begin(_ context.Context, r broker.AuthRequest) (broker.Challenge, error) {
	p.last = r
	if p.post {
		return broker.Challenge{URL: "https://idp.example/sso", Form: url.Values{"SAMLRequest": {"cmVxdWVzdA=="}, "RelayState": {r.State}}}, p.beginErr
	}
	return broker.Challenge{URL: "https://idp.example/sso?RelayState=" + r.State}, p.beginErr
}

func (p *fakeIdP) Finish(_ context.Context, _ broker.AuthRequest, form url.Values) (broker.Authentication, error) {
	p.form = form
	if p.err != nil {
		return broker.Authentication{}, p.err
	}
	return p.auth(), nil
}

func (p *fakeIdP) AcceptsUnsolicited() bool { return p.unasked }

func (p *fakeIdP) FinishUnsolicited(ctx context.Context, form url.Values) (broker.Authentication, error) {
	return p.Finish(ctx, broker.AuthRequest{}, form)
}

// aws is mapper, asserter and assumer.
type aws struct {
	now         func() time.Time
	assignments []broker.Assignment
	unheld      []broker.Assignment // known to the rules, and not the person's
	rules       []broker.RuleResult
	missing     []broker.RuleResult
	admin       bool
	err         error // of AssumeRole
	assumed     int
	issuer      string
}

func (a *aws) Identity(_ context.Context, auth broker.Authentication) (broker.Identity, error) {
	return broker.Identity{
		Subject: auth.Subject, Username: auth.Claims.First("username"), Email: auth.Claims.First("email"), Groups: auth.Claims["groups"],
		UnverifiedEmail: auth.Claims.First("unverified"),
		Claims:          auth.Claims, AuthnContext: auth.AuthnContext, AuthnInstant: auth.AuthnInstant,
		MFA: auth.AuthnContext.ACR == proven, SessionName: auth.Claims.First("email"),
	}, nil
}

func (a *aws) Assignments(context.Context, broker.Identity) ([]broker.Assignment, error) {
	return a.assignments, nil
}

func (a *aws) Explain(context.Context, broker.Identity) (broker.Explanation, error) {
	return broker.Explanation{Rules: a.rules, Assignments: a.assignments}, nil
}

func (a *aws) Missing(context.Context, broker.Identity, string, string) ([]broker.RuleResult, error) {
	return a.missing, nil
}

func (a *aws) Known(_ context.Context, w broker.Wanted) (broker.Assignment, bool) {
	for _, x := range slices.Concat(a.assignments, a.unheld) {
		if x.ID == w.ID || w.ID == "" && x.Account.Name == w.Account && x.Role == w.Role {
			return x, true
		}
	}
	return broker.Assignment{}, false
}

func (a *aws) IsAdmin(context.Context, broker.Identity) (bool, error) { return a.admin, nil }

func (a *aws) Assert(context.Context, broker.AssertionRequest) (broker.Assertion, error) {
	return broker.Assertion{Raw: broker.NewSecret("planted-assertion"), ID: "_a"}, nil
}

func (a *aws) AssumeRole(_ context.Context, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	a.assumed++
	if a.err != nil {
		return broker.RoleSession{}, a.err
	}
	return broker.RoleSession{
		Credentials: broker.Credentials{
			AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: broker.NewSecret("planted-secret-key"),
			SessionToken: broker.NewSecret("planted-session-token"), Expiration: a.now().Add(r.Duration),
		},
		AssumedRoleARN: "arn:aws:sts::111122223333:assumed-role/Admin/" + r.SessionName,
	}, nil
}

func (a *aws) SignInURL(_ context.Context, r broker.SignInURLRequest) (broker.Secret, error) {
	a.issuer = r.Issuer
	if r.Destination.Path == "evil" {
		return broker.Secret{}, broker.Errorf(broker.CodeInvalid, "This is no console page.")
	}
	return broker.NewSecret("https://signin.example/federation?SigninToken=planted-link"), nil
}

// ProviderStatus tells of an identity provider that needs attention.
func (p *fakeIdP) ProviderStatus() broker.ProviderStatus {
	var standing broker.Standing
	standing.Tried(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), p.beginErr)
	return broker.ProviderStatus{
		Kind: "SAML 2.0", Issuer: "https://idp.example/" + string(p.id), Standing: standing, LeftOut: p.leftOut, SkewKnown: true, Skew: 3 * time.Second,
		Certificates: []broker.CertificateStatus{{Name: "CN=idp", NotAfter: time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)}},
	}
}

// Setup tells one value.
func (p *fakeIdP) Setup() []broker.SetupValue {
	return []broker.SetupValue{{Name: "Entity ID", Value: "https://sso.example.com/saml/" + string(p.id) + "/metadata", Path: "/saml/okta/metadata"}}
}

type metadata struct{}

func (metadata) Metadata() ([]byte, error) { return []byte("<EntityDescriptor/>"), nil }

func (metadata) JWKS() ([]byte, error) { return []byte(`{"keys":[]}`), nil }
