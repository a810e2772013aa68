package sqlstore_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// BenchmarkAdmin measures what the administrators' pages ask, with 10,000
// sessions and as many events of 2,000 people as ROLEGATE_TEST_EVENTS says, else
// 100,000: a million takes minutes to write.
func BenchmarkAdmin(b *testing.B) {
	const sessions = 10_000
	events := 100_000
	if n, err := strconv.Atoi(os.Getenv("ROLEGATE_TEST_EVENTS")); err == nil {
		events = n
	}
	path, now := filepath.Join(b.TempDir(), "store.db"), time.Now()
	s := open(b, path, nil)
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)")
	if err != nil {
		b.Fatal(err)
	}
	for _, fill := range []string{
		fmt.Sprintf(`with recursive n(i) as (select 1 union all select i + 1 from n where i < %d)
			insert into sessions (key, provider, subject_id, name_id, session_index, created_at, last_used_at, expires_at, body)
			select printf('%%064x', i), 'okta', 'u' || (i %% 2000), '', '', %d + i, %d, %d, zeroblob(1450) from n`,
			sessions, now.Add(-time.Hour).UnixMicro(), now.UnixMicro(), now.Add(time.Hour).UnixMicro()),
		fmt.Sprintf(`with recursive n(i) as (select 1 union all select i + 1 from n where i < %d)
			insert into events (id, time, action, outcome, code, provider, subject_id, username, target, request_id, trace_id, remote, detail, account)
			select printf('%%012d', i), %d + i * 1000, case i %% 3 when 0 then 'signin' when 1 then 'console.open' else 'roles.list' end,
			case when i %% 500 = 0 then 'refused' else 'ok' end, '', 'okta', 'u' || (i %% 2000), 'user' || (i %% 2000), 'arn', '', 't' || i, '192.0.2.1', '{}',
			printf('%%012d', i %% 300) from n`, events, now.Add(-time.Hour).UnixMicro()),
	} {
		if _, err := db.Exec(fill); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	query := func(name string, want int, q broker.EventQuery) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				q.Limit = 51
				rows, err := s.QueryEvents(ctx, q)
				if err != nil || len(rows) != want {
					b.Fatal(len(rows), err)
				}
			}
		})
	}
	query("events/latest", 51, broker.EventQuery{})
	query("events/deep_page", 51, broker.EventQuery{Before: fmt.Sprintf("%012d", events/2)})
	query("events/person", min(51, events/2000), broker.EventQuery{Actors: []broker.Subject{{Provider: "okta", ID: "u7"}}})
	query("events/two_people", 51, broker.EventQuery{Actors: []broker.Subject{{Provider: "okta", ID: "u7"}, {Provider: "okta", ID: "u8"}}})
	query("events/username", min(51, events/2000), broker.EventQuery{Username: "user7"})
	query("events/action", 51, broker.EventQuery{Action: broker.ActionConsole})
	query("events/not_ok", 51, broker.EventQuery{NotOK: true})
	query("events/account", 51, broker.EventQuery{Account: "000000000007"})
	query("events/trace", 1, broker.EventQuery{TraceID: "t77777"})
	query("events/action_none", 0, broker.EventQuery{Action: "none"})
	query("events/person_and_refused", 0, broker.EventQuery{Actors: []broker.Subject{{Provider: "okta", ID: "u7"}}, Outcome: broker.OutcomeRefused})
	b.Run("sessions/page", func(b *testing.B) {
		for b.Loop() {
			if rows, err := s.ListSessions(ctx, broker.SessionPage{Limit: 51}); err != nil || len(rows) != 51 {
				b.Fatal(len(rows), err)
			}
		}
	})
	b.Run("sessions/deep_page", func(b *testing.B) {
		for b.Loop() {
			if rows, err := s.ListSessions(ctx, broker.SessionPage{Before: fmt.Sprintf("%064x", sessions/2), Limit: 51}); err != nil || len(rows) != 51 {
				b.Fatal(len(rows), err)
			}
		}
	})
	b.Run("sessions/count", func(b *testing.B) {
		for b.Loop() {
			if n, err := s.CountSessions(ctx); err != nil || n != sessions {
				b.Fatal(n, err)
			}
		}
	})
}
