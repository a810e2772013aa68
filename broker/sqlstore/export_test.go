package sqlstore

import "context"

// Pragma returns a pragma of the connection that writes and of one that reads.
func (s *Store) Pragma(ctx context.Context, name string) (write, read string, err error) {
	if err = s.write.QueryRowContext(ctx, "pragma "+name).Scan(&write); err == nil {
		err = s.read.QueryRowContext(ctx, "pragma "+name).Scan(&read)
	}
	return write, read, err
}

// Setting returns a setting of a PostgreSQL connection.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.read.QueryRowContext(ctx, "show "+name).Scan(&value)
	return value, err
}
