// Package sqlstore keeps rolegate's state in a SQL database: expiring one-time
// state, sessions, the register of AWS names, the last sign-in of each person,
// events, and which nodes are there.
//
// [Store] implements the store interfaces of package broker. The engine is
// SQLite through a driver in pure Go, or PostgreSQL (and what speaks its
// protocol and SQL) where several nodes share it. There is one text of every
// statement, in what both have in common: texts as keys, times as Unix
// microseconds, $n parameters, ON CONFLICT and RETURNING; no identity columns,
// arrays, time types, FOR UPDATE or advisory locks, and no ORDER BY over texts
// whose order matters, as collations differ. What belongs to one engine is one
// file (sqlite.go, postgres.go) and one folder of migrations.
//
// # Adding a migration
//
// Write migrations/sqlite/NNNNN_what.sql and a file of the same name in
// migrations/postgres; a test holds the folders to the same names. They differ
// in types only: blob is bytea, integer is bigint, and "strict" is SQLite's.
// Migrations go forward only, and the version before must go on serving while
// and after they run: add tables and columns with defaults, never rename or drop
// what the last release reads, and in PostgreSQL build an index on a table that
// grows with "create index concurrently" under "-- +goose NO TRANSACTION". A
// schema that is newer than the program is refused at start.
//
// # What holds
//
// What was answered is durable: each write is one committed transaction, synced
// to disk before the method returns. An entry whose time is over does not exist,
// whether or not it has been purged. With SQLite one connection writes, others
// read beside it, and SQLite's lock orders several processes on one file, which
// must be on a local disk. With PostgreSQL every statement decides by what it
// finds in the database, under read committed or stricter; a transaction that
// the server undoes is run again, a statement whose connection was lost after it
// was sent is not, unless it only reads. No method takes longer than a few
// seconds, listings than a minute. Nodes compare their own clocks with times in
// the rows: keep them synchronised.
//
// Every method returns CodeUnavailable, with the cause, when the database does
// not do as it is told, and CodeInvalid for texts that no database keeps; the
// other codes are those of the interfaces.
package sqlstore
