// Package sqlstore keeps rolegate's state in a SQL database: expiring one-time
// state, sessions, the register of AWS names, the last sign-in of each person,
// and events.
//
// [Store] implements the store interfaces of package broker. The engine is
// SQLite through a driver in pure Go. The statements keep to what SQLite and
// PostgreSQL have in common, with texts as keys, times as Unix microseconds and
// $n parameters, so that what belongs to one engine is one file and one folder
// of migrations.
//
// What was answered is durable: each write is one committed transaction, synced
// to disk before the method returns. An entry whose time is over does not exist,
// whether or not it has been purged. One connection writes, others read beside
// it, and SQLite's lock orders several processes on one file. The file must be
// on a local disk.
//
// Every method returns CodeUnavailable, with the cause, when the database does
// not do as it is told; the other codes are those of the interfaces.
package sqlstore
