package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
)

var (
	_ broker.SessionStore  = (*Store)(nil)
	_ broker.SessionLister = (*Store)(nil)
	_ broker.Revoker       = (*Store)(nil)
)

const sessionColumns = `key, provider, subject_id, name_id, session_index, created_at, last_used_at, expires_at, body`

// SaveSession inserts or replaces.
func (s *Store) SaveSession(ctx context.Context, r broker.SessionRow) error {
	_, err := s.exec(ctx, "save session", `insert into sessions (`+sessionColumns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		on conflict (key) do update set provider = excluded.provider, subject_id = excluded.subject_id,
		name_id = excluded.name_id, session_index = excluded.session_index, created_at = excluded.created_at,
		last_used_at = excluded.last_used_at, expires_at = excluded.expires_at, body = excluded.body`,
		r.Key, string(r.Subject.Provider), r.Subject.ID, r.NameID, r.SessionIndex,
		micros(r.CreatedAt), micros(r.LastUsedAt), micros(r.ExpiresAt), notNil(r.Body))
	return err
}

// Session returns the session, CodeNotFound if there is none or it has expired.
func (s *Store) Session(ctx context.Context, key string) (broker.SessionRow, error) {
	rows, err := s.sessions(ctx, `s.key = $2`, "", key)
	if err != nil {
		return broker.SessionRow{}, err
	}
	if len(rows) == 0 {
		return broker.SessionRow{}, notFound()
	}
	return rows[0], nil
}

// ReplaceSession puts next in the place of a live session, CodeNotFound if there
// is none. One statement: an end of the session comes before it, and there is
// nothing to replace, or after it, and meets the new row.
func (s *Store) ReplaceSession(ctx context.Context, key string, next broker.SessionRow) error {
	n, err := s.exec(ctx, "replace session", `update sessions set replaced = case when key = $1 then replaced else key end,
		key = $1, provider = $2, subject_id = $3, name_id = $4, session_index = $5, created_at = $6,
		last_used_at = case when last_used_at > $7 then last_used_at else $7 end, expires_at = $8, body = $9
		where key = $10 and expires_at > $11`,
		next.Key, string(next.Subject.Provider), next.Subject.ID, next.NameID, next.SessionIndex,
		micros(next.CreatedAt), micros(next.LastUsedAt), micros(next.ExpiresAt), notNil(next.Body), key, micros(s.now()))
	if err == nil && n == 0 {
		return notFound()
	}
	return err
}

// TouchSession moves the last use forward, never back. A session that is gone
// stays gone, without an error.
func (s *Store) TouchSession(ctx context.Context, key string, at time.Time) error {
	_, err := s.exec(ctx, "touch session", `update sessions set last_used_at = $1 where key = $2 and last_used_at < $1`, micros(at), key)
	return err
}

// DeleteSession deletes the session, or the one that replaced it. A session that
// is gone is not an error. On PostgreSQL a deletion that waits for a replacement
// looks at the row anew, finds its own key under replaced, and deletes it.
func (s *Store) DeleteSession(ctx context.Context, key string) error {
	_, err := s.exec(ctx, "delete session", `delete from sessions where key = $1 or replaced = $1 and replaced <> ''`, key)
	return err
}

// FindSessions returns the live sessions that match every field of f that is
// not empty, oldest first. A zero filter matches none.
func (s *Store) FindSessions(ctx context.Context, f broker.SessionFilter) ([]broker.SessionRow, error) {
	if f == (broker.SessionFilter{}) {
		return nil, nil
	}
	where, args := "", []any(nil)
	for _, c := range []struct{ column, value string }{
		{"provider", string(f.Provider)}, {"subject_id", f.SubjectID}, {"name_id", f.NameID}, {"session_index", f.SessionIndex},
	} {
		if c.value == "" {
			continue
		}
		if where != "" {
			where += " and "
		}
		args = append(args, c.value)
		where += "s." + c.column + " = $" + strconv.Itoa(len(args)+1)
	}
	return s.sessions(ctx, where+" and "+notRevoked, oldestFirst, args...)
}

// ListSessions returns a page of the live sessions, newest first.
func (s *Store) ListSessions(ctx context.Context, p broker.SessionPage) ([]broker.SessionRow, error) {
	where, args := notRevoked, []any(nil)
	param := func(value any) string {
		args = append(args, value)
		return `$` + strconv.Itoa(len(args)+1)
	}
	if p.Provider != "" {
		where += ` and s.provider = ` + param(string(p.Provider))
	}
	if p.Before != "" {
		where += ` and (s.created_at, s.key) < (select created_at, key from sessions where key = ` + param(p.Before) + `)`
	}
	return s.sessions(ctx, where, newestFirst+` limit `+param(p.Limit), args...)
}

// CountSessions counts the live sessions.
func (s *Store) CountSessions(ctx context.Context) (n int, err error) {
	// Counted from the few revocations, not by asking for each session: the
	// cross join keeps SQLite from turning it round.
	err = s.query(ctx, "count sessions", `select (select count(*) from sessions where expires_at > $1) - (select count(*) from revocations r
		cross join sessions s where s.provider = r.provider and s.subject_id = r.subject_id and s.created_at <= r.revoked_before and s.expires_at > $1)`,
		[]any{micros(s.now())}, func(r *sql.Rows) error { return r.Scan(&n) })
	return n, err
}

// RevokeBefore moves the subject's time forward.
func (s *Store) RevokeBefore(ctx context.Context, sub broker.Subject, at time.Time) error {
	if sub.IsZero() {
		return fmt.Errorf("sqlstore: revoke for the incomplete subject %s", sub)
	}
	_, err := s.exec(ctx, "revoke", `insert into revocations (provider, subject_id, revoked_before) values ($1, $2, $3)
		on conflict (provider, subject_id) do update set revoked_before = excluded.revoked_before
		where revocations.revoked_before < excluded.revoked_before`, string(sub.Provider), sub.ID, micros(at))
	return err
}

// RevokedBefore returns the subject's time, zero if there is none.
func (s *Store) RevokedBefore(ctx context.Context, sub broker.Subject) (at time.Time, err error) {
	err = s.query(ctx, "read revocation", `select revoked_before from revocations where provider = $1 and subject_id = $2`,
		[]any{string(sub.Provider), sub.ID}, func(r *sql.Rows) error {
			var n int64
			err := r.Scan(&n)
			at = fromMicros(n)
			return err
		})
	return at, err
}

const (
	oldestFirst = ` order by s.created_at, s.key`
	newestFirst = ` order by s.created_at desc, s.key desc`
	notRevoked  = `not exists (select 1 from revocations r where r.provider = s.provider and r.subject_id = s.subject_id and r.revoked_before >= s.created_at)`
)

// sessions reads sessions that have not expired; where and order are our own
// texts, their parameters begin with $2. A session that was revoked is among them,
// with the time of that, unless where says [notRevoked].
func (s *Store) sessions(ctx context.Context, where, order string, args ...any) ([]broker.SessionRow, error) {
	var out []broker.SessionRow
	err := s.query(ctx, "read sessions", `select s.key, s.provider, s.subject_id, s.name_id, s.session_index, s.created_at, s.last_used_at, s.expires_at, s.body,
		coalesce(v.revoked_before, 0) from sessions s left join revocations v on v.provider = s.provider and v.subject_id = s.subject_id
		where s.expires_at > $1 and `+where+order,
		append([]any{micros(s.now())}, args...), func(r *sql.Rows) error {
			var row broker.SessionRow
			var created, used, expires, revoked int64
			err := r.Scan(&row.Key, &row.Subject.Provider, &row.Subject.ID, &row.NameID, &row.SessionIndex, &created, &used, &expires, &row.Body, &revoked)
			row.CreatedAt, row.LastUsedAt, row.ExpiresAt = fromMicros(created), fromMicros(used), fromMicros(expires)
			if revoked > 0 {
				row.RevokedBefore = fromMicros(revoked)
			}
			out = append(out, row)
			return err
		})
	return out, err
}
