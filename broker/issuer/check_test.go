package issuer_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
)

// TestChecks holds AWS's rules one by one: each row is wrong in one thing only,
// and the reason names it.
func TestChecks(t *testing.T) {
	const account = "arn:aws:iam::111122223333:"
	tag := func(key, value string) func(*broker.AssertionRequest) {
		return func(r *broker.AssertionRequest) {
			r.SessionTags, r.TransitiveTagKeys = map[string]string{key: value}, nil
		}
	}
	name := func(s string) func(*broker.AssertionRequest) {
		return func(r *broker.AssertionRequest) { r.SessionName = s }
	}
	role := func(s string) func(*broker.AssertionRequest) {
		return func(r *broker.AssertionRequest) { r.RoleARN = broker.RoleARN(account + "role/" + s) }
	}
	provider := func(s string) func(*broker.AssertionRequest) {
		return func(r *broker.AssertionRequest) { r.ProviderARN = broker.ProviderARN(s) }
	}
	i, _ := newIssuer(t, nil)
	for _, tt := range []struct {
		name   string
		change func(*broker.AssertionRequest)
		why    string // "" if it is taken
	}{
		{"role name of 64", role(strings.Repeat("r", 64)), ""},
		{"role of 2048 bytes", role(strings.Repeat("p", 2048-len(account+"role//r")) + "/r"), ""},
		{"role of 2049 bytes", role(strings.Repeat("p", 2049-len(account+"role//r")) + "/r"), "is no role of account"},
		{"account of one digit", func(r *broker.AssertionRequest) {
			r.Account.ID, r.RoleARN, r.ProviderARN = "1", "arn:aws:iam::1:role/Admin", "arn:aws:iam::1:saml-provider/rolegate"
		}, "is no role of account"},
		{"partition without a name", func(r *broker.AssertionRequest) {
			r.Account.Partition, r.RoleARN, r.ProviderARN = "", "arn::iam::111122223333:role/Admin", "arn::iam::111122223333:saml-provider/rolegate"
		}, "is no role of account"},
		{"provider that is no ARN", provider("rolegate"), "is no SAML provider"},
		{"provider without a name", provider(account + "saml-provider/"), "is no SAML provider"},
		{"provider's name of 128", provider(account + "saml-provider/" + strings.Repeat("p", 128)), ""},
		{"provider's name of 129", provider(account + "saml-provider/" + strings.Repeat("p", 129)), "is no SAML provider"},
		{"session name of 2", name("_a"), ""},
		{"session name of 64", name(strings.Repeat("a", 64)), ""},
		{"all letters and digits at their edges", name("azAZ09_+=,.@-"), ""},
		{"brace in the session name", name("a{b"), "session name"},
		{"bracket in the session name", name("a[b"), "session name"},
		{"colon in the session name", name("a:b"), "session name"},
		{"slash in the session name", name("a/b"), "session name"},
		{"NUL in the session name", name("a\x00b"), "session name"},
		{"tag key of 128", tag(strings.Repeat("é", 128), "v"), ""},
		{"tag key of 129", tag(strings.Repeat("k", 129), "v"), "session tag key"},
		{"markup in a tag key", tag("<k>", "v"), "session tag key"},
		{"aws: as a tag key", tag("AWS:", "v"), "session tag key"},
		{"aws: in front of a tag key", tag("aws:k", "v"), "session tag key"},
		{"tag key of 4", tag("team", "v"), ""},
		{"tag value of 256", tag("k", strings.Repeat("é", 256)), ""},
		{"tag value of 257", tag("k", strings.Repeat("v", 257)), "value of session tag"},
		{"tag value with letters and digits at their edges", tag("k", "azAZ09 _.:/=+-@"), ""},
		{"markup in a tag value", tag("k", "<y>"), "value of session tag"},
		{"bracket in a tag value", tag("k", "a[b"), "value of session tag"},
		{"tab in a tag value", tag("k", "a\tb"), "value of session tag"},
		{"50 tags", func(r *broker.AssertionRequest) { r.SessionTags, r.TransitiveTagKeys = manyTags(50, "k", "v"), nil }, ""},
		{"51 tags", func(r *broker.AssertionRequest) { r.SessionTags, r.TransitiveTagKeys = manyTags(51, "k", "v"), nil }, "51 session tags"},
		{"tags equal but for case", func(r *broker.AssertionRequest) {
			r.SessionTags, r.TransitiveTagKeys = map[string]string{"x": "1", "X": "2"}, nil
		}, "compared without regard to case"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request()
			tt.change(&r)
			a, err := i.Assert(t.Context(), r)
			if tt.why == "" && (err != nil || a.Raw.IsZero()) || tt.why != "" && (err == nil || !a.Raw.IsZero() || !strings.Contains(err.Error(), tt.why)) {
				t.Errorf("error %v, want %q", err, tt.why)
			}
		})
	}
}

// TestAddresses holds the URLs of a configuration, each wrong in one thing only.
func TestAddresses(t *testing.T) {
	k, _ := newKeys(t)
	const public, oidc, recipient = "PublicURL: ", "OIDCIssuer: ", "Audiences[aws].Recipient: "
	to := func(address, audience string) func(*issuer.Config) {
		return func(c *issuer.Config) {
			c.Audiences = map[broker.Partition]issuer.Audience{broker.PartitionAWS: {Recipient: address, Audience: audience}}
		}
	}
	for name, tt := range map[string]struct {
		why    string
		change func(*issuer.Config)
	}{
		"public URL that is none":         {public, func(c *issuer.Config) { c.PublicURL = "https://[::1" }},
		"public URL without a host":       {public, func(c *issuer.Config) { c.PublicURL = "https:" }},
		"public URL with a query":         {public, func(c *issuer.Config) { c.PublicURL = "https://sso.example.com?x=1" }},
		"public URL with a fragment":      {public, func(c *issuer.Config) { c.PublicURL = "https://sso.example.com#x" }},
		"issuer that is no URL":           {oidc, func(c *issuer.Config) { c.OIDCIssuer = "https://[::1" }},
		"issuer without a host":           {oidc, func(c *issuer.Config) { c.OIDCIssuer = "https:///x" }},
		"issuer with a user":              {oidc, func(c *issuer.Config) { c.OIDCIssuer = "https://a@issuer.example.com" }},
		"issuer with a fragment":          {oidc, func(c *issuer.Config) { c.OIDCIssuer = "https://issuer.example.com#x" }},
		"recipient that is no URL":        {recipient, to("https://[::1", "urn:x")},
		"recipient without a host":        {recipient, to("https:/saml", "urn:x")},
		"recipient of 1050 characters":    {recipient, to("https://signin.example.com/"+strings.Repeat("x", 1024), "urn:x")},
		"audience with a space":           {"Audiences[aws].Audience: ", to("https://signin.example.com/saml", "urn: x")},
		"entity ID with a soft hyphen":    {"EntityID: ", func(c *issuer.Config) { c.EntityID = "urn:\u00adx" }},
		"entity ID of 1025 characters":    {"EntityID: ", func(c *issuer.Config) { c.EntityID = strings.Repeat("e", 1025) }},
		"OIDC audience of 256 characters": {"OIDCAudience: ", func(c *issuer.Config) { c.OIDCAudience = strings.Repeat("a", 256) }},
	} {
		c := issuer.Config{PublicURL: "https://sso.example.com", Keys: k}
		tt.change(&c)
		if _, err := issuer.New(c); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := issuer.New(issuer.Config{PublicURL: "https://sso.example.com", Keys: k, EntityID: strings.Repeat("e", 1024)}); err != nil {
		t.Errorf("entity ID of 1024 characters: %v", err)
	}
}
