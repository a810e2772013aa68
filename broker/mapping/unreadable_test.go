package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// TestUnreadableClaims ensures that what cannot be read refuses nobody who is
// not asked for it, and that no question takes it for absent, a negative one
// neither.
func TestUnreadableClaims(t *testing.T) {
	odd := broker.Unreadable{"photo": "a list of objects", "realm": "nested deeper than 5", "realm.": "nested deeper than 5"}
	for when, holds := range map[string]bool{
		`true`:                                                        true,
		`"x" in identity.claims.fine`:                                 true,
		`!("z" in identity.claims.fine)`:                              true,
		`has(identity.claims.fine)`:                                   true,
		`!has(identity.claims.nothing)`:                               true,
		`!("nothing" in identity.claims)`:                             true,
		`"x" in identity.claims.photo`:                                false,
		`!("x" in identity.claims.photo)`:                             false,
		`has(identity.claims.photo)`:                                  false,
		`!has(identity.claims.photo)`:                                 false,
		`!("photo" in identity.claims)`:                               false,
		`"photo" in identity.claims`:                                  false,
		`!("x" in identity.claims["photo"])`:                          false,
		`!has(identity.claims.realm)`:                                 false,
		`!("realm.roles" in identity.claims)`:                         false,
		`!("realm.access.roles" in identity.claims)`:                  false,
		`identity.claims.all(k, !("x" in identity.claims[k]))`:        false,
		`identity.claims.exists(k, k == "photo")`:                     true,
		`size(identity.claims) == 2`:                                  false,
		`size(identity.claims) != 2`:                                  false,
		`!("x" in identity.claims.photo) && identity.provider == "p"`: false,
	} {
		if got := decide(t, when, odd); got != holds {
			t.Errorf("%s: %t", when, got)
		}
	}
	any := broker.Unreadable{"": "encrypted"}
	for when, holds := range map[string]bool{
		`"x" in identity.claims.fine`:               true,
		`!("z" in identity.claims.fine)`:            true,
		`!has(identity.claims.nothing)`:             false,
		`!("nothing" in identity.claims)`:           false,
		`!("x" in identity.claims.nothing)`:         false,
		`identity.claims.all(k, k != "contractor")`: false,
		`identity.claims.exists(k, k == "fine")`:    true,
		`size(identity.claims) == 2`:                false,
	} {
		if got := decide(t, when, any); got != holds {
			t.Errorf("%s, where any may be unreadable: %t", when, got)
		}
	}
}

// TestWholeMapsAreNotCompared ensures that no rule asks whether all claims
// differ from something: with one that cannot be read there is no answer.
func TestWholeMapsAreNotCompared(t *testing.T) {
	for _, when := range []string{
		`identity.claims != {"a": ["b"]}`, `identity.claims == {}`, `{"a": ["b"]} != identity.claims`,
		`[identity.claims] != [{"a": ["b"]}]`, `!(identity.claims in [{"a": ["b"]}])`, `dyn(identity.claims) != dyn(1)`,
	} {
		_, err := mapping.New(mapping.Config{
			Providers: []mapping.Provider{{ID: "p"}}, Accounts: []broker.Account{{ID: "111122223333", Name: "prod"}},
			Roles: []mapping.Role{{Name: "R", IAMRole: "R"}},
			Rules: []mapping.Rule{{Name: "r", When: when, Accounts: []string{"*"}, Roles: []string{"R"}}},
		})
		if err == nil || !strings.Contains(err.Error(), "compare single claims") {
			t.Errorf("%s: %v", when, err)
		}
	}
}

func decide(t *testing.T, when string, u broker.Unreadable) bool {
	t.Helper()
	e := engine(t, mapping.Config{
		Providers: []mapping.Provider{{ID: "p"}}, Accounts: []broker.Account{{ID: "111122223333", Name: "prod"}},
		Roles: []mapping.Role{{Name: "R", IAMRole: "R"}},
		Rules: []mapping.Rule{{Name: "r", When: when, Accounts: []string{"*"}, Roles: []string{"R"}}},
	})
	id, err := e.Identity(t.Context(), broker.Authentication{
		Subject: broker.Subject{Provider: "p", ID: "1"}, Claims: broker.Claims{"groups": {"g"}, "fine": {"x", "y"}}, Unreadable: u,
	})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	as, err := e.Assignments(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return len(as) > 0
}

// TestUnreadableIdentity ensures that a setting which asks for an unreadable
// claim refuses with its name, and that groups are never silently none.
func TestUnreadableIdentity(t *testing.T) {
	for i, tt := range []struct {
		provider mapping.Provider
		claims   broker.Claims
		odd      string
		refused  string // "" if it is not
	}{
		{mapping.Provider{}, broker.Claims{}, "groups", `your groups in a form that cannot be read: the claim "groups"`},
		{mapping.Provider{GroupsAbsent: mapping.GroupsNone}, broker.Claims{}, "groups", `your groups in a form that cannot be read: the claim "groups"`},
		{mapping.Provider{GroupsAbsent: mapping.GroupsNone}, broker.Claims{}, "", `your groups in a form that cannot be read`},
		{mapping.Provider{GroupsAbsent: mapping.GroupsNone, Groups: "claims.roles"}, broker.Claims{}, "roles", `your groups in a form`},
		{mapping.Provider{GroupsAbsent: mapping.GroupsNone, Groups: "has(claims.roles) ? claims.roles : []"}, broker.Claims{}, "roles", `your groups in a form`},
		{mapping.Provider{GroupsAbsent: mapping.GroupsNone, Groups: "claims['realm.roles']"}, broker.Claims{}, "realm", `your groups in a form`},
		{mapping.Provider{}, broker.Claims{"groups": {"g"}}, "", ""},
		{mapping.Provider{}, broker.Claims{"groups": {"g"}}, "thumbnailPhoto", ""},
		{mapping.Provider{Groups: "claims.roles"}, broker.Claims{"roles": {"g"}}, "groups", ""},
		{mapping.Provider{}, broker.Claims{"groups": {"g"}}, "hasgroups", "so many groups"},
		{mapping.Provider{}, broker.Claims{"groups": {"g"}}, "preferred_username", "your username in a form"},
		{mapping.Provider{Username: "claims.login[0]"}, broker.Claims{"groups": {"g"}, "login": {"alice"}}, "preferred_username", ""},
		{mapping.Provider{Subject: "claims.id[0]"}, broker.Claims{"groups": {"g"}}, "id", "who you are in a form"},
		{mapping.Provider{}, broker.Claims{"groups": {"g"}}, "email", ""},
		{mapping.Provider{Email: "claims.email[0]"}, broker.Claims{"groups": {"g"}}, "email", "your e-mail address in a form"},
	} {
		t.Run(fmt.Sprint(i, " ", tt.odd), func(t *testing.T) {
			tt.provider.ID = "p"
			trace := &broker.Trace{}
			id, err := engine(t, mapping.Config{Providers: []mapping.Provider{tt.provider}}).Identity(broker.WithTrace(t.Context(), trace), broker.Authentication{
				Subject: broker.Subject{Provider: "p", ID: "1"}, Claims: tt.claims, Unreadable: broker.Unreadable{tt.odd: "a list of objects", tt.odd + ".": "a list of objects"},
			})
			if tt.refused == "" {
				if err != nil || len(id.Groups) != 1 {
					t.Errorf("%+v, %v", id, err)
				}
				return
			}
			if broker.CodeOf(err) != broker.CodeDenied || !strings.Contains(broker.Message(err), tt.refused) {
				t.Errorf("%v, want %q", err, tt.refused)
			}
		})
	}
	// Without the address, rules about it are not decided.
	if decide(t, `!identity.email.endsWith("@contractor.example")`, broker.Unreadable{"email": "a list of objects"}) {
		t.Error("an unreadable e-mail address was taken for none")
	}
}
