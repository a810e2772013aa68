package config

import (
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/federation"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/mfa"
	"github.com/rolegate/rolegate/broker/oidc"
	"github.com/rolegate/rolegate/broker/saml"
	"github.com/rolegate/rolegate/broker/web"
)

// TestPlaces ensures that every field of an adapter's Config has its place in
// the file, or is known to be the program's: a new one needs a decision.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config reflect.Type
		places map[string]string
		ours   string // what is not in the file
	}{
		{"saml", reflect.TypeFor[saml.Config](), samlPlaces(), "MaxNodes Signing Decryption HTTP Now Changed"},
		{"oidc", reflect.TypeFor[oidc.Config](), oidcPlaces(), "ClientSecret ClientKey ClientKeyID ClientKeys HTTP Now Changed"},
		{"issuer", reflect.TypeFor[issuer.Config](), issuerPlaces(), "Keys Now Rand"},
		{"federation", reflect.TypeFor[federation.Config](), federationPlaces(), "HTTP Version"},
		{"mfa", reflect.TypeFor[mfa.Config](), passkeysPlaces(), ""},
		{"web", reflect.TypeFor[web.Config](), webPlaces(), ""},
	} {
		fields := map[string]bool{"": true}
		for i := range tt.config.NumField() {
			f := tt.config.Field(i)
			fields[f.Name] = true
			_, placed := tt.places[f.Name]
			ours := strings.Contains(" "+tt.ours+" ", " "+f.Name+" ") || tt.name == "web" && !placed // its use cases
			if placed == ours {
				t.Errorf("%s: %s: in the file: %t, the program's: %t", tt.name, f.Name, placed, ours)
			}
		}
		keys := map[string]bool{}
		for _, k := range allKeys() {
			keys[k] = true
		}
		for field, path := range tt.places {
			if first := strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' }); len(first) > 0 && !fields[first[0]] {
				t.Errorf("%s: there is no field %s", tt.name, field)
			}
			for _, step := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/.[]*", r) }) {
				if !keys[step] {
					t.Errorf("%s: %s: there is no key %q", tt.name, field, step)
				}
			}
		}
	}
}

// allKeys returns every key of the file.
func allKeys() []string {
	var out []string
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		for i := range t.NumField() {
			if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" {
				out = append(out, key)
				walk(t.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	return out
}

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		field, below string
		places       map[string]string
		want         string
	}{
		{"MetadataURL", "identity_providers[2]", samlPlaces(), "identity_providers[2].saml.metadata_url"},
		{"ID", "identity_providers[2]", samlPlaces(), "identity_providers[2].id"},
		{"", "identity_providers[2]", samlPlaces(), "identity_providers[2].saml"},
		{"Algorithms[1]", "identity_providers[0]", oidcPlaces(), "identity_providers[0].oidc.algorithms[1]"},
		{"PublicURL", "identity_providers[0]", oidcPlaces(), "public_url"},
		{"Partitions[aws-us-gov].STSRegions[3]", "", federationPlaces(), "aws.partitions.aws-us-gov.sts_regions[3]"},
		{"Partitions[aws].Unheard", "", federationPlaces(), "aws.partitions.aws"},
		{"AWSOrigins[0]", "", webPlaces(), "insecure_aws_endpoints"},
	} {
		if got := place(tt.field, tt.below, tt.places); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.field, got, tt.want)
		}
	}
}

// TestNoValueIsTold ensures that a value of the wrong type is not told: it may
// be a secret that went astray.
func TestNoValueIsTold(t *testing.T) {
	for _, tt := range []struct{ text, place, says string }{
		{"store_connections: hunter9", "store_connections", "a whole number is needed"},
		{"store_connections: !!int hunter9", "store_connections", "not the kind of value"},
		{"insecure_store_tls: hunter9", "insecure_store_tls", "true or false is needed"},
		{"insecure_store_tls: 'hunter9 into int'", "insecure_store_tls", "true or false is needed"},
		{"insecure_store_tls: \"x\\nhunter9\"", "insecure_store_tls", "true or false is needed"},
		{"store_password: [hunter9]", "store_password", "one value is needed"},
		{"store_password: {hunter9: hunter9}", "store_password", "one value is needed"},
		{"store_password: *hunter9", "", "needs quotation marks"},
		{"store_password: !hunter9 x", "", ""},
		{"trusted_proxies: hunter9", "trusted_proxies", "a list is needed"},
		{"keys: hunter9", "keys", "keys with values are needed"},
		{"tls: hunter9", "tls", "keys with values are needed"},
		{"session: {idle: [hunter9]}", "session.idle", "a duration is needed"},
		{"aws: {partitions: hunter9}", "aws.partitions", "keys with values are needed"},
		{"identity_providers: [{id: a, oidc: {private_key_jwt: hunter9}}]", "identity_providers[0].oidc.private_key_jwt", "true or false is needed"},
	} {
		c := &Config{file: "x.yaml", dir: ".", env: func(string) string { return "" }, detached: true}
		_, err := parse(t.Context(), c, []byte("public_url: https://sso.example.com\n"+tt.text+"\n"))
		if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "x.yaml:2: ") && tt.says != "" ||
			!strings.Contains(err.Error(), tt.place) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}

// TestExposed ensures what modes files may have.
func TestExposed(t *testing.T) {
	if !hasFileModes {
		t.Skip("this system has no file modes")
	}
	const fine, warned, refused = "fine", "warned", "refused"
	for _, tt := range []struct {
		mode           uint32
		public, secret string
	}{
		{0o600, fine, fine}, {0o400, fine, fine}, {0o640, fine, fine}, {0o440, fine, fine},
		{0o644, fine, refused}, {0o444, fine, refused}, {0o604, fine, refused},
		{0o660, warned, refused}, {0o664, warned, refused}, {0o620, warned, refused},
		{0o666, refused, refused}, {0o602, refused, refused}, {0o777, refused, refused},
	} {
		for k, want := range map[kind]string{public: tt.public, secret: tt.secret} {
			problem, warning := exposed(fs.FileMode(tt.mode), k)
			got := fine
			switch {
			case problem != "":
				got = refused
			case warning != "":
				got = warned
			}
			if got != want {
				t.Errorf("%04o, secret %t: %s, want %s", tt.mode, k == secret, got, want)
			}
		}
	}
}
