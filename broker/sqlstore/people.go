package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

var (
	_ broker.NameRegistry  = (*Store)(nil)
	_ broker.NameKeeper    = (*Store)(nil)
	_ broker.IdentityStore = (*Store)(nil)
)

const nameOfSubject = `select name from names where kind = $1 and provider = $2 and subject_id = $3`

// ClaimName returns the subject's name of the kind, or gives it the first
// candidate that no subject has. CodeConflict when there is none.
func (s *Store) ClaimName(ctx context.Context, kind broker.NameKind, sub broker.Subject, candidates ...string) (string, error) {
	if sub.IsZero() {
		return "", fmt.Errorf("sqlstore: a name for the incomplete subject %s", sub)
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	// Names do not change, so one that is there needs no lock.
	var name string
	err := s.query(ctx, "find name", nameOfSubject, []any{string(kind), string(sub.Provider), sub.ID},
		func(r *sql.Rows) error { return r.Scan(&name) })
	if err != nil || name != "" {
		return name, err
	}
	err = s.inTx(ctx, "claim name", func(tx *sql.Tx) error {
		name, err = s.claim(ctx, tx, kind, sub, candidates)
		return err
	})
	return name, err
}

// claim tries the candidates. An insert that did nothing has met another
// subject's name or, with a second node, this subject's own new one.
func (s *Store) claim(ctx context.Context, tx *sql.Tx, kind broker.NameKind, sub broker.Subject, candidates []string) (string, error) {
	for _, c := range candidates {
		if c == "" {
			return "", fmt.Errorf("sqlstore: an empty name for %s", sub)
		}
		mine, err := s.hold(ctx, tx, sub, c)
		if err != nil {
			return "", err
		}
		if !mine {
			continue
		}
		res, err := tx.ExecContext(ctx, `insert into names (kind, folded, name, provider, subject_id, claimed_at)
			values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
			string(kind), strings.ToLower(c), c, string(sub.Provider), sub.ID, micros(s.now()))
		if err != nil {
			return "", unavailable("claim name", err)
		}
		if n, err := res.RowsAffected(); err != nil {
			return "", unavailable("claim name", err)
		} else if n == 1 {
			return c, nil
		}
		var own string
		err = tx.QueryRowContext(ctx, nameOfSubject, string(kind), string(sub.Provider), sub.ID).Scan(&own)
		if err == nil {
			return own, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return "", unavailable("claim name", err)
		}
	}
	return "", broker.Errorf(broker.CodeConflict, "Every name that could stand for you in AWS belongs to somebody else.").
		Fix("Ask your administrator to send another username or e-mail address for you.")
}

// hold makes a name the subject's, of whatever kind, and reports whether it is.
func (s *Store) hold(ctx context.Context, tx *sql.Tx, sub broker.Subject, name string) (bool, error) {
	folded := strings.ToLower(name)
	_, err := tx.ExecContext(ctx, `insert into name_holders (folded, provider, subject_id) values ($1, $2, $3) on conflict do nothing`,
		folded, string(sub.Provider), sub.ID)
	if err != nil {
		return false, unavailable("claim name", err)
	}
	var holder broker.Subject
	err = tx.QueryRowContext(ctx, `select provider, subject_id from name_holders where folded = $1`, folded).Scan(&holder.Provider, &holder.ID)
	if err != nil {
		return false, unavailable("claim name", err)
	}
	return holder == sub, nil
}

// Names hands the names that user finds to each: by username, e-mail address or
// subject id of whose they are, or by the name itself, without regard to case; all
// for "".
func (s *Store) Names(ctx context.Context, user string, each func(broker.NameRow) error) error {
	where, args := ``, []any(nil)
	if user != "" {
		where = ` where n.folded = $1 or n.subject_id = $2 or i.username = $1 or i.email = $1 or i.subject_folded = $1`
		args = []any{strings.ToLower(user), user}
	}
	return s.query(listing(ctx), "list names", `select n.kind, n.name, n.provider, n.subject_id, n.claimed_at, coalesce(i.username, ''),
		coalesce(i.seen_at, 0) from names n left join identities i on i.provider = n.provider and i.subject_id = n.subject_id`+where+
		` order by n.claimed_at, n.kind, n.folded`, args, func(r *sql.Rows) error {
		var row broker.NameRow
		var claimed, seen int64
		if err := r.Scan(&row.Kind, &row.Name, &row.Subject.Provider, &row.Subject.ID, &claimed, &row.Username, &seen); err != nil {
			return err
		}
		row.ClaimedAt, row.SeenAt = fromMicros(claimed), fromZeroMicros(seen)
		return each(row)
	})
}

// ReleaseName takes a name from the subject and keeps the event, or does neither.
func (s *Store) ReleaseName(ctx context.Context, name string, sub broker.Subject, e broker.Event) error {
	statement, args, err := s.eventStatement(e)
	if err != nil {
		return err
	}
	return s.inTx(ctx, "release name", func(tx *sql.Tx) error {
		var gone int64
		for _, deletion := range []string{
			`delete from names where folded = $1 and provider = $2 and subject_id = $3`,
			`delete from name_holders where folded = $1 and provider = $2 and subject_id = $3`,
		} {
			res, err := tx.ExecContext(ctx, deletion, strings.ToLower(name), string(sub.Provider), sub.ID)
			if err != nil {
				return unavailable("release name", err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return unavailable("release name", err)
			}
			gone += n
		}
		if gone == 0 {
			return notFound()
		}
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return unavailable("release name", err)
		}
		return nil
	})
}

// SaveIdentity keeps the last sign-in of the subject.
func (s *Store) SaveIdentity(ctx context.Context, r broker.IdentityRow) error {
	_, err := s.exec(ctx, "save identity", `insert into identities (provider, subject_id, subject_folded, username, email, seen_at, body)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (provider, subject_id) do update set username = excluded.username, email = excluded.email,
		seen_at = excluded.seen_at, body = excluded.body`,
		string(r.Subject.Provider), r.Subject.ID, strings.ToLower(r.Subject.ID), strings.ToLower(r.Username), strings.ToLower(r.Email),
		micros(r.SeenAt), notNil(r.Body))
	return err
}

// FindIdentities returns sign-ins of the last [IdentityTTL] by username, e-mail
// address or subject id, without regard to case; all for "". Order: username,
// provider, subject.
func (s *Store) FindIdentities(ctx context.Context, user string) ([]broker.IdentityRow, error) {
	where, args := `seen_at > $1`, []any{micros(s.now().Add(-IdentityTTL))}
	if user != "" {
		where += ` and (username = $2 or email = $2 or subject_folded = $2)`
		args = append(args, strings.ToLower(user))
	}
	var out []broker.IdentityRow
	err := s.query(listing(ctx), "find identities", `select provider, subject_id, username, email, seen_at, body from identities
		where `+where, args, func(r *sql.Rows) error {
		var row broker.IdentityRow
		var seen int64
		err := r.Scan(&row.Subject.Provider, &row.Subject.ID, &row.Username, &row.Email, &seen, &row.Body)
		row.SeenAt = fromMicros(seen)
		out = append(out, row)
		return err
	})
	// Here and not in the statement: engines differ in how they order texts.
	slices.SortFunc(out, func(a, b broker.IdentityRow) int {
		return cmp.Or(cmp.Compare(a.Username, b.Username), cmp.Compare(a.Subject.Provider, b.Subject.Provider), cmp.Compare(a.Subject.ID, b.Subject.ID))
	})
	return out, err
}
