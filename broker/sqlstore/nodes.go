package sqlstore

import (
	"context"
	"database/sql"
	"time"
)

// SaveNode says for ttl that the node is there and which keys it holds, in the
// caller's own notation.
func (s *Store) SaveNode(ctx context.Context, id, keys string, ttl time.Duration) error {
	_, expires, err := s.expiry(id, ttl)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "save node", `insert into nodes (id, key_ids, expires_at) values ($1, $2, $3)
		on conflict (id) do update set key_ids = excluded.key_ids, expires_at = excluded.expires_at`, id, keys, expires)
	return err
}

// Nodes returns the keys of every node that is there, by node.
func (s *Store) Nodes(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := s.query(ctx, "read nodes", `select id, key_ids from nodes where expires_at > $1`, []any{micros(s.now())}, func(r *sql.Rows) error {
		var id, keys string
		err := r.Scan(&id, &keys)
		out[id] = keys
		return err
	})
	return out, err
}

// DeleteNode forgets a node. One that is not there is not an error.
func (s *Store) DeleteNode(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "delete node", `delete from nodes where id = $1`, id)
	return err
}
