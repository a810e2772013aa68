package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/rolegate/rolegate/broker"
)

//go:embed migrations
var migrations embed.FS

// migrateAttempts bounds how often a migration that failed is tried.
const migrateAttempts = 5

// migrate applies what is missing. A schema from a newer rolegate is refused,
// as this one does not know what its columns mean: see [known].
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, folder string, more ...goose.ProviderOption) error {
	dir, err := fs.Sub(migrations, folder)
	if err != nil {
		return fmt.Errorf("sqlstore: migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, db, dir, append(more, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))...)
	if err != nil {
		return fmt.Errorf("sqlstore: migrations: %w", err)
	}
	// Nothing to do needs no lock, and no right to change tables.
	if pending, err := p.HasPending(ctx); err == nil && !pending {
		return known(ctx, p)
	}
	// Another process that opens the same file may apply a migration between
	// this one's look and its own attempt. It then fails whole, and the next
	// attempt finds it applied.
	for range migrateAttempts {
		if _, err = p.Up(ctx); err == nil {
			break
		}
	}
	if err != nil {
		return unavailable("migrate", err)
	}
	return known(ctx, p)
}

// known refuses a schema from the future.
func known(ctx context.Context, p *goose.Provider) error {
	have, knows, err := p.GetVersions(ctx)
	if err != nil {
		return unavailable("migrate", err)
	}
	if have > knows {
		return broker.Errorf(broker.CodeInvalid, "The store was last used by a newer rolegate (schema %d, this one knows %d).", have, knows).
			Fix("Start the newer version, or restore the backup from before the upgrade.")
	}
	return nil
}
