// Package rolecache is the part of the command line's files that
// rolegate-credentials reads: where they are, the key, and cached role
// credentials.
//
// AWS clients run that program for every command, so this package stands on
// the little of the standard library that starts fast: no JSON, no network.
//
// A file is AES-256-GCM under a key in a file beside it. Both have mode 0600.
// This keeps credentials out of backups, search indexes and synchronised
// folders that take the one and not the other, and makes a changed or swapped
// file fail; it does not keep them from a program that runs as the same person,
// which can read both. The operating system's keyring can hold the key instead.
package rolecache
