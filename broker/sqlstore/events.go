package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

var (
	_ broker.Recorder    = (*Store)(nil)
	_ broker.EventLog    = (*Store)(nil)
	_ broker.EventPruner = (*Store)(nil)
)

// Record keeps the event. It is on disk when Record returns.
func (s *Store) Record(ctx context.Context, e broker.Event) error {
	statement, args, err := s.eventStatement(e)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "record event", statement, args...)
	return err
}

// eventStatement is what keeps an event, alone or in a transaction with
// something else.
func (s *Store) eventStatement(e broker.Event) (statement string, args []any, err error) {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return "", nil, fmt.Errorf("sqlstore: encode event: %w", err)
	}
	// The id sorts by time, then by the order within this process; its random
	// end keeps two processes apart.
	id := fmt.Sprintf("%s-%08x-%s", e.Time.UTC().Format("20060102150405.000000"), s.events.Add(1), rand.Text()[:13])
	return `insert into events
		(id, time, action, outcome, code, provider, subject_id, username, target, request_id, trace_id, remote, detail, account)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`, []any{id, micros(e.Time), string(e.Action), string(e.Outcome), string(e.Code), clean(string(e.Actor.Provider)), clean(e.Actor.ID),
			clean(e.Username), clean(e.Target), clean(e.RequestID), clean(e.TraceID), clean(e.Remote), string(detail), accountOf(clean(e.Target)),
		}, nil
}

// clean replaces what PostgreSQL keeps in no text. An event about odd bytes must
// be kept all the same.
func clean(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

// EventFilter selects events; empty fields do not filter, and the zero filter
// selects all.
type EventFilter struct {
	Since, Until time.Time // Since is included, Until is not
	Action       broker.Action
	Outcome      broker.Outcome
	Actor        broker.Subject // both fields are needed
	Username     string
	TraceID      string
	RequestID    string
	Limit        int // the latest ones; 0: no limit
}

// Events returns the events that f selects, in the order in which they
// happened.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]broker.Event, error) {
	where, args := `1 = 1`, []any(nil)
	add := func(on bool, condition string, value any) {
		if on {
			args = append(args, value)
			where += ` and ` + condition + ` $` + strconv.Itoa(len(args))
		}
	}
	add(!f.Since.IsZero(), `time >=`, micros(f.Since))
	add(!f.Until.IsZero(), `time <`, micros(f.Until))
	add(f.Action != "", `action =`, string(f.Action))
	add(f.Outcome != "", `outcome =`, string(f.Outcome))
	add(!f.Actor.IsZero(), `provider =`, string(f.Actor.Provider))
	add(!f.Actor.IsZero(), `subject_id =`, f.Actor.ID)
	add(f.Username != "", `username =`, f.Username)
	add(f.TraceID != "", `trace_id =`, f.TraceID)
	add(f.RequestID != "", `request_id =`, f.RequestID)
	order := ` order by time desc, id desc`
	if f.Limit > 0 {
		args = append(args, f.Limit)
		order += ` limit $` + strconv.Itoa(len(args))
	}
	var out []broker.Event
	err := s.query(listing(ctx), "list events", `select time, action, outcome, code, provider, subject_id, username, target,
		request_id, trace_id, remote, detail from events where `+where+order, args, func(r *sql.Rows) error {
		var e broker.Event
		var at int64
		var detail []byte
		if err := r.Scan(&at, &e.Action, &e.Outcome, &e.Code, &e.Actor.Provider, &e.Actor.ID, &e.Username, &e.Target,
			&e.RequestID, &e.TraceID, &e.Remote, &detail); err != nil {
			return err
		}
		e.Time = fromMicros(at)
		out = append(out, e)
		return json.Unmarshal(detail, &out[len(out)-1].Detail)
	})
	slices.Reverse(out)
	return out, err
}

// accountOf is the account id in a role's ARN, "" if target is none.
func accountOf(target string) string {
	parts := strings.SplitN(target, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || len(parts[4]) != 12 {
		return ""
	}
	return parts[4]
}

// maxQuery bounds one answer of [Store.QueryEvents].
const maxQuery = 1000

// QueryEvents returns a page of the events that q selects, the latest first.
func (s *Store) QueryEvents(ctx context.Context, q broker.EventQuery) ([]broker.EventRow, error) {
	where, args := `1 = 1`, []any(nil)
	param := func(value any) string {
		args = append(args, value)
		return `$` + strconv.Itoa(len(args))
	}
	add := func(on bool, condition string, value any) {
		if on {
			where += ` and ` + condition + ` ` + param(value)
		}
	}
	add(!q.Since.IsZero(), `time >=`, micros(q.Since))
	add(!q.Until.IsZero(), `time <`, micros(q.Until))
	add(q.Action != "", `action =`, clean(string(q.Action)))
	add(q.Outcome != "", `outcome =`, clean(string(q.Outcome)))
	if q.NotOK {
		where += ` and outcome in ('refused', 'failed')`
	}
	add(q.Username != "", `username =`, clean(q.Username))
	add(q.TraceID != "", `trace_id =`, clean(q.TraceID))
	add(q.Account != "", `account =`, clean(string(q.Account)))
	if len(q.Actors) > 0 {
		var any []string
		for _, a := range q.Actors {
			any = append(any, `(provider = `+param(clean(string(a.Provider)))+` and subject_id = `+param(clean(a.ID))+`)`)
		}
		where += ` and (` + strings.Join(any, ` or `) + `)`
	}
	if q.Before != "" {
		where += ` and (time, id) < (select time, id from events where id = ` + param(clean(q.Before)) + `)`
	}
	if q.Limit <= 0 || q.Limit > maxQuery {
		q.Limit = maxQuery
	}
	var out []broker.EventRow
	err := s.query(ctx, "query events", `select id, time, action, outcome, code, provider, subject_id, username, target,
		request_id, trace_id, remote, detail from events where `+where+` order by time desc, id desc limit `+param(q.Limit), args, func(r *sql.Rows) error {
		var e broker.EventRow
		var at int64
		var detail []byte
		if err := r.Scan(&e.ID, &at, &e.Action, &e.Outcome, &e.Code, &e.Actor.Provider, &e.Actor.ID, &e.Username, &e.Target,
			&e.RequestID, &e.TraceID, &e.Remote, &detail); err != nil {
			return err
		}
		e.Time = fromMicros(at)
		if err := json.Unmarshal(detail, &e.Detail); err != nil {
			return err
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// CountEventsBefore counts the events that are older.
func (s *Store) CountEventsBefore(ctx context.Context, t time.Time) (n int64, err error) {
	err = s.query(listing(ctx), "count events", `select count(*) from events where time < $1`, []any{micros(t)},
		func(r *sql.Rows) error { return r.Scan(&n) })
	return n, err
}

// DeleteEventsBefore deletes the events that are older, some at a time, so that
// other writers get in between.
func (s *Store) DeleteEventsBefore(ctx context.Context, t time.Time) (total int64, err error) {
	for {
		n, err := s.exec(listing(ctx), "delete events",
			`delete from events where id in (select id from events where time < $1 limit $2)`, micros(t), purgeBatch)
		total += n
		if err != nil || n < purgeBatch {
			return total, err
		}
	}
}
