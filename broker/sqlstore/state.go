package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rolegate/rolegate/broker"
)

var _ broker.StateStore = (*Store)(nil)

// expiry returns now and now plus ttl.
func (s *Store) expiry(key string, ttl time.Duration) (now, expires int64, err error) {
	if key == "" || ttl <= 0 {
		return 0, 0, fmt.Errorf("sqlstore: key %q with a life of %s", key, ttl)
	}
	t := s.now()
	return micros(t), micros(t.Add(ttl)), nil
}

// Put inserts or replaces.
func (s *Store) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, expires, err := s.expiry(key, ttl)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "put", `insert into state (key, value, expires_at) values ($1, $2, $3)
		on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`, key, notNil(value), expires)
	return err
}

// PutIfAbsent inserts, and reports false when the key is there and has not
// expired.
func (s *Store) PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	now, expires, err := s.expiry(key, ttl)
	if err != nil {
		return false, err
	}
	n, err := s.exec(ctx, "put if absent", `insert into state (key, value, expires_at) values ($1, $2, $3)
		on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at
		where state.expires_at <= $4`, key, notNil(value), expires, now)
	return n == 1, err
}

// Get returns the value, CodeNotFound if there is none.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	found := false
	err := s.query(ctx, "get", `select value from state where key = $1 and expires_at > $2`,
		[]any{key, micros(s.now())}, func(r *sql.Rows) error {
			found = true
			return r.Scan(&value)
		})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notFound()
	}
	return notNil(value), nil
}

// Take reads and deletes in one transaction.
func (s *Store) Take(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	var value []byte
	err := s.inTx(ctx, "take", func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `delete from state where key = $1 and expires_at > $2 returning value`,
			key, micros(s.now())).Scan(&value)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound()
		}
		if err != nil {
			return unavailable("take", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return notNil(value), nil
}

// Swap compares and sets.
func (s *Store) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	now, expires, err := s.expiry(key, ttl)
	if err != nil {
		return false, err
	}
	n, err := s.exec(ctx, "swap", `update state set value = $1, expires_at = $2
		where key = $3 and value = $4 and expires_at > $5`, notNil(new), expires, key, notNil(old), now)
	return n == 1, err
}

func notFound() error {
	return broker.Errorf(broker.CodeNotFound, "There is nothing under this name, or not any more.")
}

// notNil is b as the database keeps it: an empty value is not a null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
