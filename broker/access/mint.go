package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
)

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
	var out broker.RoleSession
	err := a.mint(ctx, sess, broker.ActionCredentials, in, nil, func(_ context.Context, rs broker.RoleSession) error {
		out = rs
		return nil
	})
	if err != nil {
		return broker.RoleSession{}, err
	}
	return out, nil
}

// ConsoleRequest names an assignment and a place in the console.
type ConsoleRequest struct {
	Assignment  broker.AssignmentID
	Destination broker.Destination
}

// ConsoleURL does as [Service.AssumeRole] and turns the role session into a
// console sign-in link. The link is a secret and lives 15 minutes.
func (a *Service) ConsoleURL(ctx context.Context, sess *broker.Session, in ConsoleRequest) (broker.Secret, error) {
	var link broker.Secret
	extra := map[string]string{
		"destination": broker.ShortText(in.Destination.Path), "region": broker.ShortText(in.Destination.Region),
	}
	err := a.mint(ctx, sess, broker.ActionConsole, RoleRequest{Assignment: in.Assignment}, extra,
		func(ctx context.Context, rs broker.RoleSession) (err error) {
			link, err = a.c.Assumer.SignInURL(ctx, broker.SignInURLRequest{
				RoleSession: rs, Destination: in.Destination, Issuer: a.c.PortalURL + GoPath(rs.Assignment, in.Destination),
			})
			return err
		})
	if err != nil {
		return broker.Secret{}, err
	}
	return link, nil
}

// mintPatience bounds what follows the intent: STS and the sign-in host, each
// tried at several endpoints.
const mintPatience = time.Minute

// mint gets a role session and hands it to use, which may make something of it;
// what use returns is why nothing is released, nil if it is.
//
// Up to the intent a person who leaves stops it. The intent is durable before STS
// is called, and from then on nothing depends on whether anybody waits: AWS will
// have a record of the call, so what came of it is recorded too. A node that dies
// in between leaves the intent.
func (a *Service) mint(
	ctx context.Context, sess *broker.Session, act broker.Action, in RoleRequest, extra map[string]string,
	use func(context.Context, broker.RoleSession) error,
) error {
	judged, err := a.prepare(ctx, sess, in)
	if err != nil {
		return a.refuse(ctx, sess, act, broker.Wanted{ID: in.Assignment}, judged.assignment, err)
	}
	x, duration, assertion := judged.assignment, judged.duration, judged.assertion
	id, err := broker.RandomSecret(a.c.Rand)
	if err != nil {
		return err
	}
	row := broker.RoleSessionRow{
		ID: id.Hash()[:32], Subject: sess.Identity.Subject, Username: sess.Identity.Username, Session: sess.Key, Use: act,
		Assignment: x.ID, Account: x.Account.ID, Role: x.Role, RoleARN: x.RoleARN, Via: x.Via, State: broker.RoleSessionAsked,
		SessionName: sess.SessionName, SourceIdentity: sess.SourceIdentity, AskedAt: a.c.Now(), ExpiresAt: a.c.Now().Add(duration),
	}
	if !sess.IsBrowser() {
		row.Program = sess.Client.Label()
	}
	intent := journal.Entry{Action: broker.ActionAsk, By: sess, Target: string(x.RoleARN), Detail: map[string]string{
		"mint": row.ID, "for": string(act), "assertion_id": assertion.ID, "via": string(x.Via), "session_name": row.SessionName,
		"source_identity": row.SourceIdentity,
	}}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("access: nobody waits: %w", err)
	}
	err = a.c.Journal.RecordWith(ctx, intent, func(ctx context.Context, e broker.Event) error {
		return a.c.RoleSessions.AskRoleSession(ctx, row, e)
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mintPatience)
	defer cancel()
	rs, failed := a.c.Assumer.AssumeRole(ctx, broker.AssumeRoleRequest{
		Assignment: x, Assertion: assertion, SessionName: sess.SessionName, Duration: duration,
	})
	if failed != nil {
		row.State = broker.RoleSessionRefused
		detail := named(x)
		detail["mint"] = row.ID
		return errors.Join(failed, a.settle(ctx, row, journal.Entry{Action: act, By: sess, Target: string(x.RoleARN), Err: failed, Detail: detail}))
	}
	rs.Assignment, rs.SessionName, rs.AssertionID = x, sess.SessionName, assertion.ID
	if rs.AssertedSubject == "" {
		rs.AssertedSubject = assertion.Subject
	}
	failed = use(ctx, rs)
	row.State, row.IssuedAt, row.ExpiresAt = broker.RoleSessionLive, a.c.Now(), rs.Credentials.Expiration
	row.AccessKeyID, row.AssumedRoleARN = rs.Credentials.AccessKeyID, rs.AssumedRoleARN
	if err := a.settle(ctx, row, minted(sess, act, row.ID, rs, extra, failed)); err != nil {
		return err
	}
	return failed
}

func (a *Service) settle(ctx context.Context, row broker.RoleSessionRow, e journal.Entry) error {
	return a.c.Journal.RecordWith(ctx, e, func(ctx context.Context, ev broker.Event) error {
		return a.c.RoleSessions.SettleRoleSession(ctx, row, ev)
	})
}

// minted says that STS gave a role session, with the values that join
// CloudTrail; failed is why it is not released, nil if it is.
func minted(
	sess *broker.Session, act broker.Action, mint string, rs broker.RoleSession, extra map[string]string, failed error,
) journal.Entry {
	detail := map[string]string{
		"mint": mint, "assertion_id": rs.AssertionID, "sts_request_id": rs.STSRequestID, "access_key_id": rs.Credentials.AccessKeyID,
		"assumed_role_arn": rs.AssumedRoleARN, "assumed_role_id": rs.AssumedRoleID,
		"name_qualifier": rs.NameQualifier, "name_id": rs.AssertedSubject, "source_identity": rs.SourceIdentity,
		"via": string(rs.Assignment.Via), "rules": strings.Join(rs.Assignment.Rules, ", "),
		"expires": rs.Credentials.Expiration.UTC().Format(time.RFC3339),
	}
	maps.Copy(detail, extra)
	if failed != nil {
		maps.Copy(detail, named(rs.Assignment))
	}
	return journal.Entry{Action: act, By: sess, Target: string(rs.Assignment.RoleARN), Err: failed, Detail: detail}
}

// ready is what was asked for and judged, with the assertion for it.
type ready struct {
	assignment broker.Assignment
	duration   time.Duration
	assertion  broker.Assertion
}

// prepare judges what was asked for and mints the assertion for it. With an error
// the assignment is there as far as the person has it.
func (a *Service) prepare(ctx context.Context, sess *broker.Session, in RoleRequest) (ready, error) {
	if err := a.c.Limiter.Allow(ctx, limit.Credentials); err != nil {
		return ready{}, err
	}
	if err := a.c.Limiter.AllowAccount(ctx, limit.Credentials, sess.Identity.Subject.String()); err != nil {
		return ready{}, err
	}
	as, err := a.c.Entitlements.Assignments(ctx, sess.Identity)
	if err != nil {
		return ready{}, err
	}
	i := slices.IndexFunc(as, func(x broker.Assignment) bool { return x.ID == in.Assignment })
	if i < 0 {
		return ready{}, broker.Errorf(broker.CodeDenied, "You do not have this role, or not any more.").
			Fix("Reload the portal to see the roles you have now.")
	}
	x, duration := as[i], in.Duration
	if duration == 0 {
		duration = x.MaxDuration
	}
	if err := broker.ValidDuration(duration); err != nil {
		return ready{assignment: x}, err
	}
	if duration > x.MaxDuration {
		return ready{assignment: x}, broker.Errorf(broker.CodeInvalid, "This role lasts %s at most, not %s.", x.MaxDuration, duration)
	}
	policy, ok := a.c.Policies[sess.Identity.Subject.Provider]
	if !ok { // what an unknown provider requires is unknown
		return ready{assignment: x}, fmt.Errorf("access: no settings of %s", sess.Identity.Subject.Provider)
	}
	now := a.c.Now()
	require := x.Require
	require.MFA = require.MFA || policy.Enforced(now)
	if missing := require.Unmet(sess.Identity, now); missing != nil {
		return ready{assignment: x}, stepUpError(sess, x, missing)
	}
	assertion, err := a.assertion(ctx, sess, x, duration)
	if err != nil {
		return ready{assignment: x}, err
	}
	return ready{x, duration, assertion}, nil
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
