package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/rolegate/rolegate/broker"
)

var _ broker.FactorStore = (*Store)(nil)

// Factors lists a subject's factors, oldest first.
func (s *Store) Factors(ctx context.Context, sub broker.Subject) ([]broker.FactorRow, error) {
	var out []broker.FactorRow
	err := s.query(ctx, "list factors", `select id, kind, name, created_at, last_used_at, version, body from factors
		where provider = $1 and subject_id = $2 order by created_at, id`,
		[]any{string(sub.Provider), sub.ID}, func(r *sql.Rows) error {
			row := broker.FactorRow{Subject: sub}
			var created, used int64
			err := r.Scan(&row.ID, &row.Kind, &row.Name, &created, &used, &row.Version, &row.Body)
			row.CreatedAt, row.LastUsedAt = fromMicros(created), usedAt(used)
			out = append(out, row)
			return err
		})
	return out, err
}

func usedAt(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return fromMicros(n)
}

// AddFactors inserts all rows in one transaction; CodeConflict when an id is
// taken.
func (s *Store) AddFactors(ctx context.Context, rows ...broker.FactorRow) error {
	return s.inTx(ctx, "add factors", func(tx *sql.Tx) error {
		for _, r := range rows {
			var used int64
			if !r.LastUsedAt.IsZero() {
				used = micros(r.LastUsedAt)
			}
			res, err := tx.ExecContext(ctx, `insert into factors
				(id, provider, subject_id, kind, name, created_at, last_used_at, version, body)
				values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do nothing`,
				r.ID, string(r.Subject.Provider), r.Subject.ID, string(r.Kind), r.Name, micros(r.CreatedAt), used, r.Version, notNil(r.Body))
			if err != nil {
				return unavailable("add factors", err)
			}
			if n, err := res.RowsAffected(); err != nil {
				return unavailable("add factors", err)
			} else if n == 0 {
				return broker.Errorf(broker.CodeConflict, "This second factor is enrolled already.").Fix("Use another one.")
			}
		}
		return nil
	})
}

// SwapFactor compares the version and sets.
func (s *Store) SwapFactor(ctx context.Context, r broker.FactorRow) (bool, error) {
	n, err := s.exec(ctx, "swap factor", `update factors set body = $1, last_used_at = $2, version = version + 1
		where id = $3 and provider = $4 and subject_id = $5 and version = $6`,
		notNil(r.Body), micros(r.LastUsedAt), r.ID, string(r.Subject.Provider), r.Subject.ID, r.Version)
	return n == 1, err
}

// DeleteFactor deletes one factor, CodeNotFound if it is not there.
func (s *Store) DeleteFactor(ctx context.Context, sub broker.Subject, id string) error {
	n, err := s.exec(ctx, "delete factor", `delete from factors where id = $1 and provider = $2 and subject_id = $3`,
		id, string(sub.Provider), sub.ID)
	if err == nil && n == 0 {
		return notFound()
	}
	return err
}

// DeleteFactors deletes all factors of the subject.
func (s *Store) DeleteFactors(ctx context.Context, sub broker.Subject) (int, error) {
	n, err := s.exec(ctx, "delete factors", `delete from factors where provider = $1 and subject_id = $2`, string(sub.Provider), sub.ID)
	return int(n), err
}
