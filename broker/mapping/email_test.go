package mapping_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// TestVerifiedEmail holds the one verdict on an e-mail address: it names
// somebody and decides rules, or it does neither.
func TestVerifiedEmail(t *testing.T) {
	own := []string{"example.com"}
	at := func(more ...string) broker.Claims {
		c := broker.Claims{"groups": {}, "email": {"ceo@example.com"}}
		for i := 0; i < len(more); i += 2 {
			c[more[i]] = []string{more[i+1]}
		}
		return c
	}
	for _, tt := range []struct {
		name     string
		provider mapping.Provider
		claims   broker.Claims
		want     bool
	}{
		{"nothing is said", mapping.Provider{}, at(), false},
		{"nothing is said, authoritative", mapping.Provider{EmailAuthoritativeDomains: own}, at(), true},
		{"nothing is said, authoritative for another domain", mapping.Provider{EmailAuthoritativeDomains: []string{"example.org"}}, at(), false},
		{"authoritative for a domain above", mapping.Provider{EmailAuthoritativeDomains: []string{"com"}}, at(), false},
		{"capitals", mapping.Provider{EmailAuthoritativeDomains: []string{"Example.COM"}}, at(), true},
		{"true", mapping.Provider{}, at("email_verified", "true"), true},
		{"True", mapping.Provider{}, at("email_verified", "True"), true},
		{"1", mapping.Provider{}, at("email_verified", "1"), true},
		{"false", mapping.Provider{EmailAuthoritativeDomains: own}, at("email_verified", "false"), false},
		{"False", mapping.Provider{EmailAuthoritativeDomains: own}, at("email_verified", "False"), false},
		{"0", mapping.Provider{EmailAuthoritativeDomains: own}, at("email_verified", "0"), false},
		{"no word for it", mapping.Provider{EmailAuthoritativeDomains: own}, at("email_verified", "yes"), false},
		{"empty", mapping.Provider{EmailAuthoritativeDomains: own}, at("email_verified", ""), false},
		{"twice", mapping.Provider{}, broker.Claims{"groups": {}, "email": {"ceo@example.com"}, "email_verified": {"true", "true"}}, false},
		{"Entra ID's proof", mapping.Provider{}, at("xms_edov", "true"), true},
		{"Entra ID's proof as a number", mapping.Provider{}, at("xms_edov", "1"), true},
		{"Entra ID says no", mapping.Provider{EmailAuthoritativeDomains: own}, at("xms_edov", "false"), false},
		{"false beats Entra ID's proof", mapping.Provider{}, at("email_verified", "false", "xms_edov", "true"), false},
		{"a SAML attribute", mapping.Provider{}, broker.Claims{"groups": {}, "mail": {"ceo@example.com"}}, false},
		{"a SAML attribute, authoritative", mapping.Provider{EmailAuthoritativeDomains: own}, broker.Claims{"groups": {}, "mail": {"ceo@example.com"}}, true},
		{"by expression, false", mapping.Provider{Email: "claims.email[0]", EmailAuthoritativeDomains: own}, at("email_verified", "false"), false},
		{"by expression, nothing is said", mapping.Provider{Email: "claims.email[0]"}, at(), false},
		{"by expression, true", mapping.Provider{Email: "claims.email[0]"}, at("email_verified", "true"), true},
		{"by expression, true about another address", mapping.Provider{Email: "claims.alias[0]"}, at("email_verified", "true", "alias", "boss@example.com"), false},
		{"a literal, true about another address", mapping.Provider{Email: "'boss@example.com'"}, at("email_verified", "true"), false},
		{"two signs", mapping.Provider{EmailAuthoritativeDomains: own}, broker.Claims{"groups": {}, "email": {"ceo@evil@example.com"}}, false},
		{"whatever comes", mapping.Provider{InsecureUnverifiedEmail: true}, at("email_verified", "false"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.provider.ID = "p"
			e := engine(t, mapping.Config{
				Providers: []mapping.Provider{tt.provider}, Accounts: []broker.Account{{ID: "111122223333", Name: "prod"}},
				Roles: []mapping.Role{{Name: "R", IAMRole: "R"}},
				Rules: []mapping.Rule{
					{Name: "by e-mail", When: "identity.email.endsWith('@example.com')", Accounts: []string{"*"}, Roles: []string{"R"}},
					{Name: "by claim", When: "identity.claims.email[0] == 'ceo@example.com'", Accounts: []string{"*"}, Roles: []string{"R"}},
					{Name: "by not having it", When: "!('ceo@example.com' in identity.claims.email)", Accounts: []string{"*"}, Roles: []string{"R"}},
				},
			})
			in := broker.Authentication{Subject: broker.Subject{Provider: "p", ID: "sub-1"}, Claims: tt.claims}
			id, err := e.Identity(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if got := id.Email != ""; got != tt.want || got == (id.UnverifiedEmail != "") {
				t.Fatalf("e-mail %q, unverified %q", id.Email, id.UnverifiedEmail)
			}
			if !tt.want && (strings.Contains(id.SessionName, "@") || strings.Contains(id.Username, "@")) {
				t.Errorf("it names the person: %q, %q", id.SessionName, id.Username)
			}
			as, err := e.Assignments(t.Context(), id)
			alone := tt.provider.Email == "" || strings.Contains(tt.provider.Email, "email")
			if err != nil || alone && len(as) > 0 != tt.want {
				t.Errorf("%v decides a rule: %v", as, err)
			}
			again, err := e.Explain(t.Context(), id)
			if err != nil || !tt.want && alone && again.Rules[2].Matched {
				t.Errorf("what is not known decides a rule: %+v, %v", again.Rules, err)
			}
		})
	}
}

// TestUnverifiedEmailNamesNobody ensures that no setting makes a name out of an
// address that nobody vouches for.
func TestUnverifiedEmailNamesNobody(t *testing.T) {
	claims := broker.Claims{"groups": {}, "email": {"ceo@example.com"}, "email_verified": {"false"}, "preferred_username": {"CEO@example.com"}}
	in := broker.Authentication{Subject: broker.Subject{Provider: "p", ID: "sub-1"}, Claims: claims}
	for name, c := range map[string]mapping.Config{
		"subject":         {Providers: []mapping.Provider{{ID: "p", Subject: "claims.email[0]"}}},
		"username":        {Providers: []mapping.Provider{{ID: "p", Username: "claims.email[0]"}}},
		"groups":          {Providers: []mapping.Provider{{ID: "p", Groups: "claims.email"}}},
		"session name":    {Providers: []mapping.Provider{{ID: "p"}}, RoleSession: mapping.RoleSession{Name: "identity.claims.email[0]"}},
		"source identity": {Providers: []mapping.Provider{{ID: "p"}}, RoleSession: mapping.RoleSession{SourceIdentity: "identity.claims.email[0]"}},
	} {
		_, err := engine(t, c).Identity(t.Context(), in)
		if broker.CodeOf(err) != broker.CodeDenied || !strings.Contains(broker.Message(err), "verified your e-mail address") {
			t.Errorf("%s: %v", name, err)
		}
	}
	id, err := engine(t, mapping.Config{Providers: []mapping.Provider{{ID: "p"}}}).Identity(t.Context(), in)
	if err != nil || id.Username != "sub-1" || id.SessionName != "sub-1" || id.SourceIdentity != "sub-1" {
		t.Errorf("%+v, %v", id, err)
	}
}
