// Package config reads rolegate's one YAML file.
//
// It is strict: an unknown key, a wrong type, an impossible value stops
// start-up, and all problems are listed at once with file, line and the nearest
// key that exists. Secrets come by reference only, from a file or an
// environment variable. Relative paths are relative to the file. Whatever
// relaxes security is named insecure_… and can be listed with
// [Config.Relaxations].
package config
