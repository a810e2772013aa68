package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
)

var _ broker.RoleSessionStore = (*Store)(nil)

// RoleSessionTTL is how long a role session is kept after it was asked for.
const RoleSessionTTL = 400 * 24 * time.Hour

// maxRoleSessions bounds one list.
const maxRoleSessions = 1000

// AskRoleSession keeps a new role session and the event of the intent.
func (s *Store) AskRoleSession(ctx context.Context, r broker.RoleSessionRow, e broker.Event) error {
	statement, args, err := s.eventStatement(e)
	if err != nil {
		return err
	}
	return s.inTx(ctx, "ask role session", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into role_sessions (id, provider, subject_id, username, session, program, used_for, assignment,
			account, role, role_arn, via, state, session_name, source_identity, access_key_id, assumed_role_arn, asked_at, issued_at, expires_at,
			ended_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
			r.ID, string(r.Subject.Provider), r.Subject.ID, clean(r.Username), r.Session, clean(r.Program), string(r.Use), string(r.Assignment),
			string(r.Account), clean(r.Role), string(r.RoleARN), string(r.Via), string(r.State), r.SessionName, r.SourceIdentity, r.AccessKeyID,
			r.AssumedRoleARN, micros(r.AskedAt), zeroMicros(r.IssuedAt), micros(r.ExpiresAt), zeroMicros(r.EndedAt))
		if err == nil {
			_, err = tx.ExecContext(ctx, statement, args...)
		}
		if err != nil {
			return unavailable("ask role session", err)
		}
		return nil
	})
}

// SettleRoleSession keeps what came of a role session and its event.
func (s *Store) SettleRoleSession(ctx context.Context, r broker.RoleSessionRow, e broker.Event) error {
	statement, args, err := s.eventStatement(e)
	if err != nil {
		return err
	}
	return s.inTx(ctx, "settle role session", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `update role_sessions set state = $2, access_key_id = $3, assumed_role_arn = $4, issued_at = $5,
			expires_at = $6, ended_at = $7 where id = $1`, r.ID, string(r.State), clean(r.AccessKeyID), clean(r.AssumedRoleARN),
			zeroMicros(r.IssuedAt), micros(r.ExpiresAt), zeroMicros(r.EndedAt))
		if err != nil {
			return unavailable("settle role session", err)
		}
		if n, err := res.RowsAffected(); err != nil {
			return unavailable("settle role session", err)
		} else if n == 0 {
			return notFound()
		}
		if _, err = tx.ExecContext(ctx, statement, args...); err != nil {
			return unavailable("settle role session", err)
		}
		return nil
	})
}

// RoleSessions returns the role sessions that f selects, the newest first.
func (s *Store) RoleSessions(ctx context.Context, f broker.RoleSessionFilter) ([]broker.RoleSessionRow, error) {
	if f.Subject.IsZero() && f.Subject != (broker.Subject{}) {
		return nil, fmt.Errorf("sqlstore: role sessions of the incomplete subject %s", f.Subject)
	}
	where, args := `1 = 1`, []any(nil)
	add := func(condition string, value any) {
		args = append(args, value)
		where += ` and ` + condition + ` $` + strconv.Itoa(len(args))
	}
	if !f.Subject.IsZero() {
		add(`provider =`, string(f.Subject.Provider))
		add(`subject_id =`, f.Subject.ID)
	}
	if !f.Since.IsZero() {
		add(`asked_at >=`, micros(f.Since))
	}
	if !f.OpenAt.IsZero() {
		add(`state <>`, string(broker.RoleSessionRefused))
		add(`expires_at >`, micros(f.OpenAt))
		where += ` and ended_at = 0`
	}
	if len(args) == 0 {
		return nil, nil
	}
	limit := maxRoleSessions
	if f.Limit > 0 && f.Limit < limit {
		limit = f.Limit
	}
	args = append(args, limit)
	var out []broker.RoleSessionRow
	err := s.query(ctx, "list role sessions", `select id, provider, subject_id, username, session, program, used_for, assignment, account, role,
		role_arn, via, state, session_name, source_identity, access_key_id, assumed_role_arn, asked_at, issued_at, expires_at, ended_at
		from role_sessions where `+where+` order by asked_at desc, id desc limit $`+strconv.Itoa(len(args)), args, func(rows *sql.Rows) error {
		var r broker.RoleSessionRow
		var asked, issued, expires, ended int64
		err := rows.Scan(&r.ID, &r.Subject.Provider, &r.Subject.ID, &r.Username, &r.Session, &r.Program, &r.Use, &r.Assignment, &r.Account,
			&r.Role, &r.RoleARN, &r.Via, &r.State, &r.SessionName, &r.SourceIdentity, &r.AccessKeyID, &r.AssumedRoleARN, &asked, &issued,
			&expires, &ended)
		r.AskedAt, r.IssuedAt, r.ExpiresAt, r.EndedAt = fromMicros(asked), fromZeroMicros(issued), fromMicros(expires), fromZeroMicros(ended)
		out = append(out, r)
		return err
	})
	return out, err
}

// zeroMicros keeps a time that may be missing.
func zeroMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

func fromZeroMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return fromMicros(n)
}
