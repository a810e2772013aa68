package config

import (
	"reflect"
	"strings"
)

// fixed lists what needs a restart, with the value to compare.
var fixed = []struct {
	path  string
	value func(*Config) any
}{
	{"public_url", func(c *Config) any { return c.PublicURL }},
	{"listen", func(c *Config) any { return c.Listen }},
	{"store", func(c *Config) any { return c.Store }},
	{"store_password_file", func(c *Config) any { return c.StorePasswordFile }},
	{"store_password", func(c *Config) any { return c.StorePassword }},
	{"store_connections", func(c *Config) any { return c.StoreConnections }},
	{"store_pooler", func(c *Config) any { return c.StorePooler }},
	{"insecure_store_tls", func(c *Config) any { return c.InsecureStoreTLS }},
	{"keys.dir", func(c *Config) any { return c.Path(c.Keys.Dir) }},
	{"tls", func(c *Config) any { return c.TLS }},
	{"metrics.listen", func(c *Config) any { return c.Metrics.Listen }},
}

// Restart lists what next changes of c that cannot change while rolegate runs,
// each with its key and line in next.
func (c *Config) Restart(next *Config) Problems {
	var ps Problems
	for _, f := range fixed {
		if !reflect.DeepEqual(f.value(c), f.value(next)) {
			ps = append(ps, next.problem(f.path, "%s cannot change while rolegate runs: restart it, or take the change back", f.path))
		}
	}
	return ps
}

// Changed names the sections (the keys at the top of the file) in which next
// differs from c, in the order of the types.
func (c *Config) Changed(next *Config) []string {
	var out []string
	from, to := reflect.ValueOf(c).Elem(), reflect.ValueOf(next).Elem()
	for i := range from.NumField() {
		key, _, _ := strings.Cut(from.Type().Field(i).Tag.Get("yaml"), ",")
		if key != "" && !reflect.DeepEqual(from.Field(i).Interface(), to.Field(i).Interface()) {
			out = append(out, key)
		}
	}
	return out
}

// Digest returns the hex SHA-256 of the file's bytes.
func (c *Config) Digest() string { return c.digest }
