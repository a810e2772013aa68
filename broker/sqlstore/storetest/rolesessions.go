package storetest

import (
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
)

func roleSession(n int, s broker.Subject) broker.RoleSessionRow {
	at := Start.Add(time.Duration(n) * time.Second)
	return broker.RoleSessionRow{
		ID: "mint" + strconv.Itoa(n), Subject: s, Username: s.ID, Session: "key", Program: "aws on laptop", Use: broker.ActionCredentials,
		Assignment: "a1", Account: "111122223333", Role: "Admin", RoleARN: "arn:aws:iam::111122223333:role/Admin", Via: broker.ViaSAML,
		State: broker.RoleSessionAsked, SessionName: "n", SourceIdentity: "si", AskedAt: at, ExpiresAt: at.Add(time.Hour),
	}
}

func roleSessions(f fixture) {
	ctx := f.Context()
	var all []broker.RoleSessionRow
	for n, s := range []broker.Subject{alice, alice, bob, alice, alice} {
		r := roleSession(n, s)
		f.must(f.AskRoleSession(ctx, r, event(n, broker.ActionAsk, broker.OutcomeOK, s)))
		all = append(all, r)
	}
	settle := func(n int, change func(*broker.RoleSessionRow)) {
		f.Helper()
		change(&all[n])
		f.must(f.SettleRoleSession(ctx, all[n], event(10+n, broker.ActionCredentials, broker.OutcomeOK, all[n].Subject)))
	}
	settle(0, func(r *broker.RoleSessionRow) {
		r.State, r.IssuedAt, r.AccessKeyID, r.AssumedRoleARN = broker.RoleSessionLive, Start.Add(2*time.Second), "ASIA1", "arn:aws:sts::1:assumed-role/x/n"
		r.ExpiresAt = Start.Add(15 * time.Minute)
	})
	settle(1, func(r *broker.RoleSessionRow) { r.State = broker.RoleSessionRefused })
	settle(4, func(r *broker.RoleSessionRow) { r.State, r.EndedAt = broker.RoleSessionLive, Start.Add(time.Minute) })

	got, err := f.again().RoleSessions(ctx, broker.RoleSessionFilter{Subject: alice})
	f.must(err)
	f.equal([]broker.RoleSessionRow{all[4], all[3], all[1], all[0]}, got)
	got, err = f.RoleSessions(ctx, broker.RoleSessionFilter{Subject: alice, OpenAt: Start.Add(10 * time.Minute)})
	f.must(err)
	f.equal([]broker.RoleSessionRow{all[3], all[0]}, got)
	got, err = f.RoleSessions(ctx, broker.RoleSessionFilter{Subject: alice, OpenAt: all[0].ExpiresAt})
	f.must(err)
	f.equal([]broker.RoleSessionRow{all[3]}, got)
	got, err = f.RoleSessions(ctx, broker.RoleSessionFilter{Subject: alice, Since: Start.Add(time.Second), Limit: 2})
	f.must(err)
	f.equal([]broker.RoleSessionRow{all[4], all[3]}, got)
	got, err = f.RoleSessions(ctx, broker.RoleSessionFilter{})
	f.must(err)
	f.equal(0, len(got))
}

func roleSessionWithEvent(f fixture) {
	ctx := f.Context()
	count := func() (rows, events int) {
		f.Helper()
		r, err := f.RoleSessions(ctx, broker.RoleSessionFilter{Subject: alice})
		f.must(err)
		e, err := f.QueryEvents(ctx, broker.EventQuery{})
		f.must(err)
		return len(r), len(e)
	}
	r := roleSession(1, alice)
	e := event(1, broker.ActionAsk, broker.OutcomeOK, alice)
	f.must(f.AskRoleSession(ctx, r, e))
	rows, events := count()
	f.equal([]int{1, 1}, []int{rows, events})
	if err := f.AskRoleSession(ctx, r, e); err == nil {
		f.Error("one id twice")
	}
	f.code(broker.CodeNotFound, f.SettleRoleSession(ctx, roleSession(2, alice), e))
	rows, events = count()
	f.equal([]int{1, 1}, []int{rows, events}) // neither the row nor the event of what failed
	f.must(f.SettleRoleSession(ctx, r, e))
	rows, events = count()
	f.equal([]int{1, 2}, []int{rows, events})
}
