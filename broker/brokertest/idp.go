package brokertest

import (
	"context"
	"net/url"

	"github.com/rolegate/rolegate/broker"
)

// Leaver is an identity provider with a logout in both directions.
type Leaver struct {
	*IdP
	Challenge *broker.Challenge
	BeginErr  error
	FinishErr error
	Request   broker.LogoutRequest
	Finished  broker.LogoutRequest
	Notice    broker.LogoutNotice
	NoticeErr error
	Answer    *broker.Challenge
	Failed    error // what the answer was made for
}

func (l *Leaver) BeginLogout(_ context.Context, r broker.LogoutRequest) (*broker.Challenge, error) {
	l.Request = r
	return l.Challenge, l.BeginErr
}

func (l *Leaver) FinishLogout(_ context.Context, r broker.LogoutRequest, _ broker.LogoutMessage) error {
	l.Finished = r
	return l.FinishErr
}

func (l *Leaver) ReceiveLogout(context.Context, broker.LogoutMessage) (broker.LogoutNotice, error) {
	return l.Notice, l.NoticeErr
}

func (l *Leaver) AnswerLogout(_ context.Context, _ broker.LogoutNotice, failed error) (*broker.Challenge, error) {
	l.Failed = failed
	return l.Answer, nil
}

// IdP answers every sign-in with auth or err.
type IdP struct {
	Auth broker.Authentication
	Err  error
	Last broker.AuthRequest
	Next func(broker.Tokens) (broker.Tokens, error)
	N    int

	Unasked bool // takes answers to no request
}

func (p *IdP) AcceptsUnsolicited() bool { return p.Unasked }

func (p *IdP) FinishUnsolicited(ctx context.Context, form url.Values) (broker.Authentication, error) {
	broker.TraceFrom(ctx).Pass("idp.unsolicited", "fake")
	return p.Auth, p.Err
}

func (p *IdP) Begin(_ context.Context, r broker.AuthRequest) (broker.Challenge, error) {
	p.Last = r
	return broker.Challenge{URL: "https://idp.example/?state=" + r.State}, nil
}

func (p *IdP) Finish(ctx context.Context, _ broker.AuthRequest, _ url.Values) (broker.Authentication, error) {
	broker.TraceFrom(ctx).Pass("idp.verified", "fake")
	return p.Auth, p.Err
}

func (p *IdP) RefreshTokens(_ context.Context, _ broker.Subject, t broker.Tokens) (broker.Tokens, error) {
	p.N++
	return p.Next(t)
}
