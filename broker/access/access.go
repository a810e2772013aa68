package access

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
)

// idTokenMargin is how much life a corporate ID token must have left to be used
// at STS without a refresh.
const idTokenMargin = 5 * time.Minute

// Config holds what [Service] works with. All fields but Now,
// Limits, Limiter and Admins are needed; Refreshers may be empty.
type Config struct {
	Sessions   broker.SessionStore
	Roles      broker.RoleMapper
	Asserter   broker.Asserter
	Assumer    broker.RoleAssumer
	Identities broker.IdentityStore
	Events     broker.Recorder
	Sealer     broker.Sealer
	Refreshers map[broker.ProviderID]broker.TokenRefresher
	MFA        map[broker.ProviderID]broker.MFAPolicy // for enforcement of our own factor
	PortalURL  string                                 // our public URL, the Issuer of console links
	Limits     broker.SessionLimits
	Limiter    *limit.Limiter    // nil: no limits
	Admins     broker.AdminJudge // nil: nobody is an administrator
	Now        func() time.Time
}

// Service is the use case of getting into AWS with a session.
type Service struct {
	c       Config
	refresh sync.Mutex // one token refresh at a time, so that a rotating refresh token is used once
}

// New returns the use case.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Limits == (broker.SessionLimits{}) {
		c.Limits = broker.DefaultSessionLimits
	}
	return &Service{c: c}
}

// Authenticate returns the session of a token. CodeUnauthenticated when there
// is none or it has ended, CodeUnavailable when the store does not answer.
func (a *Service) Authenticate(ctx context.Context, token broker.Secret) (*broker.Session, error) {
	ended := broker.Errorf(broker.CodeUnauthenticated, "You are not signed in, or your session has ended.").Fix("Sign in again.")
	if token.IsZero() {
		return nil, ended
	}
	sess, err := session.Load(ctx, a.c.Sessions, a.c.Sealer, token.Hash())
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil, ended.Because(err)
	}
	if err != nil {
		return nil, err
	}
	if !sess.IsBrowser() { // a program shows an access token, see package program
		return nil, ended
	}
	now := a.c.Now()
	if session.Over(sess, now) || now.Sub(sess.LastUsedAt) >= a.c.Limits.Idle {
		if err := a.c.Sessions.DeleteSession(ctx, sess.Key); err != nil {
			return nil, err
		}
		return nil, ended
	}
	if now.Sub(sess.LastUsedAt) >= min(session.TouchEvery, a.c.Limits.Idle/4) {
		if err := a.c.Sessions.TouchSession(ctx, sess.Key, now); err != nil {
			return nil, err
		}
		sess.LastUsedAt = now
	}
	sess.IdleAt = sess.LastUsedAt.Add(a.c.Limits.Idle)
	if a.c.Admins != nil {
		if sess.Admin, err = a.c.Admins.IsAdmin(ctx, sess.Identity); err != nil {
			return nil, err
		}
	}
	return sess, nil
}

// Assignments returns what the person may use now, sorted, and records that the
// list was given out.
func (a *Service) Assignments(ctx context.Context, sess *broker.Session) ([]broker.Assignment, error) {
	as, err := a.c.Roles.Assignments(ctx, sess.Identity)
	if err != nil {
		return nil, err
	}
	e := a.event(ctx, sess, broker.ActionListRoles, broker.OutcomeOK)
	e.Detail = map[string]string{"count": strconv.Itoa(len(as))}
	if err := a.c.Events.Record(ctx, e); err != nil {
		return nil, err
	}
	return as, nil
}

// Explain says why the person has what they have.
func (a *Service) Explain(ctx context.Context, sess *broker.Session) (broker.Explanation, error) {
	return a.c.Roles.Explain(ctx, sess.Identity)
}

// RoleRequest names an assignment and how long the role session is to last.
type RoleRequest struct {
	Assignment broker.AssignmentID
	Duration   time.Duration // zero: the assignment's maximum
}

// AssumeRole evaluates the rules again, checks what the role requires, mints,
// calls STS, and records the event before it returns the credentials.
// CodeDenied for an assignment the person does not have, CodeStepUp with what
// is missing, CodeInvalid for a duration over the maximum.
func (a *Service) AssumeRole(ctx context.Context, sess *broker.Session, in RoleRequest) (broker.RoleSession, error) {
	rs, err := a.assume(ctx, sess, in)
	if err != nil {
		return broker.RoleSession{}, a.refuse(ctx, sess, broker.ActionCredentials, string(in.Assignment), err)
	}
	if err := a.recordMint(ctx, sess, broker.ActionCredentials, rs, nil, nil); err != nil {
		return broker.RoleSession{}, err
	}
	return rs, nil
}

// ConsoleRequest names an assignment and a place in the console.
type ConsoleRequest struct {
	Assignment  broker.AssignmentID
	Destination broker.Destination
}

// ConsoleURL does as [Service.AssumeRole] and turns the role session into a
// console sign-in link. The link is a secret and lives 15 minutes.
func (a *Service) ConsoleURL(ctx context.Context, sess *broker.Session, in ConsoleRequest) (broker.Secret, error) {
	rs, err := a.assume(ctx, sess, RoleRequest{Assignment: in.Assignment})
	if err != nil {
		return broker.Secret{}, a.refuse(ctx, sess, broker.ActionConsole, string(in.Assignment), err)
	}
	link, err := a.c.Assumer.SignInURL(ctx, broker.SignInURLRequest{
		RoleSession: rs, Destination: in.Destination, Issuer: a.c.PortalURL + GoPath(rs.Assignment, in.Destination),
	})
	extra := map[string]string{"destination": in.Destination.Path, "region": in.Destination.Region}
	// STS was called even if the link then fails: AWS has a record of that call,
	// so the event must join it.
	if recErr := a.recordMint(ctx, sess, broker.ActionConsole, rs, extra, err); recErr != nil {
		return broker.Secret{}, recErr
	}
	if err != nil {
		return broker.Secret{}, err
	}
	return link, nil
}

// GoPath is the deep link to an assignment, the route /go.
func GoPath(as broker.Assignment, d broker.Destination) string {
	q := "/go?account=" + string(as.Account.ID) + "&role=" + url.QueryEscape(as.Role)
	if d.Path != "" {
		q += "&destination=" + url.QueryEscape(d.Path)
	}
	if d.Region != "" {
		q += "&region=" + url.QueryEscape(d.Region)
	}
	return q
}

// FindAssignment returns the assignment for an account (id, or name without
// regard to case) and role name. CodeDenied with what would give it otherwise,
// recorded as a refusal of what it is wanted for. When one pair has several ways
// to STS, the first is meant.
func (a *Service) FindAssignment(ctx context.Context, sess *broker.Session, act broker.Action, account, role string) (broker.Assignment, error) {
	as, err := a.c.Roles.Assignments(ctx, sess.Identity)
	if err != nil {
		return broker.Assignment{}, err
	}
	for _, x := range as {
		if (string(x.Account.ID) == account || strings.EqualFold(x.Account.Name, account)) && strings.EqualFold(x.Role, role) {
			return x, nil
		}
	}
	missing, err := a.c.Roles.Missing(ctx, sess.Identity, account, role)
	if err != nil {
		return broker.Assignment{}, err
	}
	return broker.Assignment{}, a.refuse(ctx, sess, act, account+"/"+role,
		broker.Errorf(broker.CodeDenied, "You do not have the role %q in the account %q.", role, account).Fix("%s", wouldGive(missing)))
}

// wouldGive says in one or two sentences which rule, and which group, would
// give what a person lacks.
func wouldGive(missing []broker.RuleResult) string {
	const most = 3
	var parts []string
	for _, r := range missing[:min(len(missing), most)] {
		switch {
		case len(r.Missing) > 0:
			groups := r.Missing[:min(len(r.Missing), most)]
			parts = append(parts, fmt.Sprintf("the rule %q gives it to members of %s", r.Rule, strings.Join(groups, " or ")))
		default:
			parts = append(parts, fmt.Sprintf("the rule %q would give it, but does not hold for you now", r.Rule))
		}
	}
	if len(parts) == 0 {
		return "Ask your administrator for access, or choose another role in the portal."
	}
	text := strings.Join(parts, "; ")
	return strings.ToUpper(text[:1]) + text[1:] + ". Ask your administrator; groups are read when you sign in."
}

func (a *Service) assume(ctx context.Context, sess *broker.Session, in RoleRequest) (broker.RoleSession, error) {
	if err := a.c.Limiter.Allow(ctx, limit.Credentials); err != nil {
		return broker.RoleSession{}, err
	}
	if err := a.c.Limiter.AllowAccount(ctx, limit.Credentials, sess.Identity.Subject.String()); err != nil {
		return broker.RoleSession{}, err
	}
	as, err := a.c.Roles.Assignments(ctx, sess.Identity)
	if err != nil {
		return broker.RoleSession{}, err
	}
	i := slices.IndexFunc(as, func(x broker.Assignment) bool { return x.ID == in.Assignment })
	if i < 0 {
		return broker.RoleSession{}, broker.Errorf(broker.CodeDenied, "You do not have this role, or not any more.").
			Fix("Reload the portal to see the roles you have now.")
	}
	x := as[i]
	duration := in.Duration
	if duration == 0 {
		duration = x.MaxDuration
	}
	if err := broker.ValidDuration(duration); err != nil {
		return broker.RoleSession{}, err
	}
	if duration > x.MaxDuration {
		return broker.RoleSession{}, broker.Errorf(broker.CodeInvalid, "This role lasts %s at most, not %s.", x.MaxDuration, duration)
	}
	now := a.c.Now()
	require := x.Require
	require.MFA = require.MFA || a.c.MFA[sess.Identity.Subject.Provider].Enforced(now)
	if missing := require.Unmet(sess.Identity, now); missing != nil {
		return broker.RoleSession{}, stepUpError(sess, x, missing)
	}
	assertion, err := a.assertion(ctx, sess, x, duration)
	if err != nil {
		return broker.RoleSession{}, err
	}
	rs, err := a.c.Assumer.AssumeRole(ctx, broker.AssumeRoleRequest{
		Assignment: x, Assertion: assertion, SessionName: sess.SessionName, Duration: duration,
	})
	if err != nil {
		return broker.RoleSession{}, err
	}
	rs.Assignment, rs.SessionName, rs.AssertionID = x, sess.SessionName, assertion.ID
	if rs.AssertedSubject == "" {
		rs.AssertedSubject = assertion.Subject
	}
	return rs, nil
}

func stepUpError(sess *broker.Session, x broker.Assignment, missing *broker.StepUp) *broker.Error {
	e := &broker.Error{Code: broker.CodeStepUp, StepUp: missing}
	switch {
	case missing.MFA:
		e.Message = fmt.Sprintf("%s in %s needs a second factor, and your sign-in did not prove one.", x.Role, x.Account.Name)
		e.Remedy = "Sign in again with your second factor."
	default:
		e.Message = fmt.Sprintf("%s in %s needs a sign-in of the last %s, and yours is older.", x.Role, x.Account.Name, missing.MaxAuthAge)
		e.Remedy = "Sign in again."
	}
	if !sess.IsBrowser() { // its proof is that of the sign-in that let it in, and stays so
		flag := "--max-age " + missing.MaxAuthAge.String()
		if missing.MFA {
			flag = "--mfa"
		}
		e.Remedy = "Let the program in anew: rolegate login " + flag + ", or sign in with it again and use your second factor in the browser first."
	}
	return e
}

func (a *Service) assertion(ctx context.Context, sess *broker.Session, x broker.Assignment, d time.Duration) (broker.Assertion, error) {
	if x.Via != broker.ViaIDPToken {
		tags := withProof(x, sess.Identity)
		// A tag of the proof that is not known is not there to be transitive.
		transitive := slices.DeleteFunc(slices.Clone(x.TransitiveTagKeys), func(k string) bool { _, ok := tags[k]; return !ok })
		return a.c.Asserter.Assert(ctx, broker.AssertionRequest{
			Via: x.Via, Subject: sess.Identity.Subject, Account: x.Account, RoleARN: x.RoleARN, ProviderARN: x.ProviderARN,
			SessionName: sess.SessionName, SourceIdentity: sess.SourceIdentity, Duration: d,
			SessionTags: tags, TransitiveTagKeys: transitive,
		})
	}
	t, err := a.freshTokens(ctx, sess)
	if err != nil {
		return broker.Assertion{}, err
	}
	return broker.Assertion{
		Kind: broker.ViaIDPToken, Raw: t.IDToken, ID: "sha256:" + t.IDToken.Hash(), Subject: sess.Identity.Subject.ID, ExpiresAt: t.IDExpires,
	}, nil
}

// freshTokens returns the session's corporate tokens, refreshed and saved when
// the ID token has less than five minutes left.
func (a *Service) freshTokens(ctx context.Context, sess *broker.Session) (broker.Tokens, error) {
	again := broker.Errorf(broker.CodeUnauthenticated, "This role uses your identity provider's own token, and it has run out.").
		Fix("Sign in again.")
	fresh := func(t broker.Tokens) bool {
		return !t.IDToken.IsZero() && t.IDExpires.Sub(a.c.Now()) >= idTokenMargin
	}
	if fresh(sess.Tokens) {
		return sess.Tokens, nil
	}
	a.refresh.Lock()
	defer a.refresh.Unlock()
	holder := sess.Key
	if !sess.IsBrowser() {
		holder = sess.Client.Source
	}
	latest, err := session.Load(ctx, a.c.Sessions, a.c.Sealer, holder)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return broker.Tokens{}, again.Because(err)
	}
	if err != nil {
		return broker.Tokens{}, err
	}
	if fresh(latest.Tokens) {
		return latest.Tokens, nil
	}
	r, ok := a.c.Refreshers[sess.Identity.Subject.Provider]
	if !ok || latest.Tokens.RefreshToken.IsZero() {
		return broker.Tokens{}, again.Because(fmt.Errorf("no refresh token"))
	}
	t, err := r.RefreshTokens(ctx, sess.Identity.Subject, latest.Tokens)
	if err != nil {
		return broker.Tokens{}, err
	}
	latest.Tokens = t
	newRow, err := session.Encode(latest, a.c.Sealer)
	if err != nil {
		return broker.Tokens{}, err
	}
	err = a.c.Sessions.ReplaceSession(ctx, holder, newRow)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return broker.Tokens{}, again.Because(err) // signed out while the tokens were fetched
	}
	if err != nil {
		return broker.Tokens{}, err
	}
	if !fresh(t) && !t.IDExpires.After(a.c.Now()) {
		return broker.Tokens{}, again.Because(fmt.Errorf("refreshed token ended at %s", t.IDExpires))
	}
	return t, nil
}

func (a *Service) event(ctx context.Context, sess *broker.Session, act broker.Action, o broker.Outcome) broker.Event {
	e := journal.NewEvent(ctx, a.c.Now(), act, o)
	e.Actor, e.Username = sess.Identity.Subject, sess.Identity.Username
	return e
}

// recordMint records that STS gave a role session, with the values that join
// CloudTrail; failed is why it is not released, nil if it is.
func (a *Service) recordMint(ctx context.Context, sess *broker.Session, act broker.Action, rs broker.RoleSession, extra map[string]string, failed error) error {
	e := a.event(ctx, sess, act, broker.OutcomeOK)
	e.Target = string(rs.Assignment.RoleARN)
	e.Detail = map[string]string{
		"assertion_id": rs.AssertionID, "sts_request_id": rs.STSRequestID, "access_key_id": rs.Credentials.AccessKeyID,
		"assumed_role_arn": rs.AssumedRoleARN, "assumed_role_id": rs.AssumedRoleID,
		"name_qualifier": rs.NameQualifier, "name_id": rs.AssertedSubject, "source_identity": rs.SourceIdentity,
		"via": string(rs.Assignment.Via), "rules": strings.Join(rs.Assignment.Rules, ", "),
		"expires": rs.Credentials.Expiration.UTC().Format(time.RFC3339),
	}
	if failed != nil {
		e.Outcome, e.Code = journal.OutcomeOf(failed), broker.CodeOf(failed)
		e.Detail["reason"] = broker.Message(failed)
	}
	for k, v := range extra {
		if v = broker.ShortText(v); v != "" {
			e.Detail[k] = v
		}
	}
	return a.c.Events.Record(ctx, e)
}

func (a *Service) refuse(ctx context.Context, sess *broker.Session, act broker.Action, target string, err error) error {
	if broker.CodeOf(err) == broker.CodeRateLimited {
		return err // the limiter keeps one event a window
	}
	e := a.event(ctx, sess, act, journal.OutcomeOf(err))
	e.Code, e.Target = broker.CodeOf(err), broker.ShortText(target)
	e.Detail = map[string]string{"reason": broker.Message(err)}
	if recErr := a.c.Events.Record(ctx, e); recErr != nil {
		return recErr
	}
	return err
}
