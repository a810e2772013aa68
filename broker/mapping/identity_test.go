package mapping_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

const nameID = "urn:oasis:names:tc:SAML:1.1:nameid-format:"

func TestIdentity(t *testing.T) {
	oidc := func(c broker.Claims) broker.Authentication {
		return broker.Authentication{Subject: broker.Subject{Provider: "p", ID: "sub-1"}, Claims: c}
	}
	saml := func(format, id string, c broker.Claims) broker.Authentication {
		a := oidc(c)
		a.NameIDFormat, a.NameID, a.Subject.ID = format, id, id
		return a
	}
	for _, tt := range []struct {
		name     string
		provider mapping.Provider
		session  mapping.RoleSession
		in       broker.Authentication
		want     broker.Identity // Subject.Provider, Claims, times are compared below
		refused  string          // part of the message, then of the remedy
	}{
		{
			name: "OpenID Connect as it usually comes",
			in:   oidc(broker.Claims{"groups": {"b", "a", "b", ""}, "email": {"A@example.com"}, "email_verified": {"true"}, "preferred_username": {"alice"}}),
			want: broker.Identity{Subject: broker.Subject{ID: "sub-1"}, Username: "alice", Email: "A@example.com", Groups: []string{"b", "a"}, SessionName: "A@example.com", SourceIdentity: "alice"},
		},
		{
			name: "an unverified e-mail address is left out",
			in:   oidc(broker.Claims{"groups": {}, "email": {"ceo@example.com"}, "email_verified": {"false"}}),
			want: broker.Identity{Subject: broker.Subject{ID: "sub-1"}, Username: "sub-1", UnverifiedEmail: "ceo@example.com", Groups: []string{}, SessionName: "sub-1", SourceIdentity: "sub-1"},
		},
		{
			name:     "SAML with the names of Entra ID",
			provider: mapping.Provider{EmailAuthoritativeDomains: []string{"example.com"}},
			in: saml(nameID+"persistent", "xyz", broker.Claims{
				"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress":      {"a@example.com"},
				"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name":              {"alice"},
				"http://schemas.microsoft.com/ws/2008/06/identity/claims/groups":          {"g-1", "g-2"},
				"http://schemas.microsoft.com/claims/authnmethodsreferences.unrelated.ok": {"x"},
			}),
			want: broker.Identity{Subject: broker.Subject{ID: "xyz"}, Username: "alice", Email: "a@example.com", Groups: []string{"g-1", "g-2"}, SessionName: "a@example.com", SourceIdentity: "alice"},
		},
		{
			name:     "expressions",
			provider: mapping.Provider{Subject: `claims.employee[0]`, Username: `claims.login[0].lowerAscii()`, Email: `claims["urn:mail"][0]`, EmailAuthoritativeDomains: []string{"x"}, Groups: `claims.memberOf.filter(g, g.startsWith("CN=aws-")).map(g, g.split(",")[0].substring(3))`},
			session:  mapping.RoleSession{Name: `identity.username + "@corp"`, SourceIdentity: `identity.claims.employee[0]`},
			in:       saml("urn:oasis:names:tc:SAML:2.0:nameid-format:transient", "", broker.Claims{"employee": {"4711"}, "login": {"ALICE"}, "urn:mail": {"a@x"}, "memberOf": {"CN=aws-1,DC=x", "CN=other,DC=x"}}),
			want:     broker.Identity{Subject: broker.Subject{ID: "4711"}, Username: "alice", Email: "a@x", Groups: []string{"aws-1"}, SessionName: "alice@corp", SourceIdentity: "4711"},
		},
		{
			name:     "an e-mail expression without its claim gives none",
			provider: mapping.Provider{Email: "claims.mail2[0]"},
			in:       oidc(broker.Claims{"groups": {}, "email": {"a@example.com"}}),
			want:     broker.Identity{Subject: broker.Subject{ID: "sub-1"}, Username: "sub-1", Groups: []string{}, SessionName: "sub-1", SourceIdentity: "sub-1"},
		},
		{
			name:     "second factor, one value",
			provider: mapping.Provider{MFA: broker.MFAPolicy{AMR: [][]string{{"mfa"}, {"pwd", "otp"}}}},
			in: func() broker.Authentication {
				a := oidc(broker.Claims{"groups": {}})
				a.AuthnContext.AMR = []string{"otp", "x", "pwd"}
				return a
			}(),
			want: broker.Identity{Subject: broker.Subject{ID: "sub-1"}, Username: "sub-1", Groups: []string{}, SessionName: "sub-1", SourceIdentity: "sub-1", MFA: true, AuthnContext: broker.AuthnContext{AMR: []string{"otp", "x", "pwd"}}},
		},
		{name: "no groups claim", in: oidc(broker.Claims{"email": {"a@x"}}), refused: "did not send your groups|groups_absent"},
		{name: "no groups claim, by expression", provider: mapping.Provider{Groups: "claims.roles"}, in: oidc(broker.Claims{"groups": {"a"}}), refused: "did not send your groups|groups_absent"},
		{
			name: "no groups claim where that means none", provider: mapping.Provider{GroupsAbsent: mapping.GroupsNone}, in: oidc(nil),
			want: broker.Identity{Subject: broker.Subject{ID: "sub-1"}, Username: "sub-1", Groups: []string{}, SessionName: "sub-1", SourceIdentity: "sub-1"},
		},
		{name: "overage, Entra ID OIDC", provider: mapping.Provider{GroupsAbsent: mapping.GroupsNone}, in: oidc(broker.Claims{"_claim_names.groups": {"src1"}}), refused: "so many groups|only the groups assigned"},
		{name: "overage, implicit flow", provider: mapping.Provider{GroupsAbsent: mapping.GroupsNone}, in: oidc(broker.Claims{"hasgroups": {"true"}}), refused: "so many groups|application roles"},
		{name: "overage beside groups", in: oidc(broker.Claims{"hasgroups": {"true"}, "groups": {"a"}}), refused: "so many groups|p send"},
		{name: "overage, Entra ID SAML", in: saml(nameID+"persistent", "x", broker.Claims{"http://schemas.microsoft.com/claims/groups.link": {"https://graph"}}), refused: "so many groups|"},
		{name: "other distributed claims are no overage", provider: mapping.Provider{GroupsAbsent: mapping.GroupsNone}, in: oidc(broker.Claims{"_claim_names.address": {"src1"}, "hasgroups": {"false"}}),
			want: broker.Identity{Subject: broker.Subject{ID: "sub-1"}, Username: "sub-1", Groups: []string{}, SessionName: "sub-1", SourceIdentity: "sub-1"}},
		{name: "transient NameID", in: saml("urn:oasis:names:tc:SAML:2.0:nameid-format:transient", "_123", broker.Claims{"groups": {}}), refused: "lasting way|identity.subject for p"},
		{name: "unspecified NameID", in: saml(nameID+"unspecified", "x", broker.Claims{"groups": {}}), refused: "lasting way|"},
		{name: "unspecified NameID, by expression", provider: mapping.Provider{Subject: "subject"}, in: broker.Authentication{
			Subject: broker.Subject{Provider: "p"}, GivenID: "x-1", NameID: "x-1", NameIDFormat: nameID + "unspecified", Claims: broker.Claims{"groups": {}}},
			want: broker.Identity{Subject: broker.Subject{ID: "x-1"}, Username: "x-1", Groups: []string{}, SessionName: "x-1", SourceIdentity: "x-1"}},
		{name: "transient NameID, by expression", provider: mapping.Provider{Subject: "subject"}, in: saml("urn:oasis:names:tc:SAML:2.0:nameid-format:transient", "", broker.Claims{"groups": {}}), refused: "who you are|"},
		{name: "no subject", in: saml("", "", broker.Claims{"groups": {}}), refused: "lasting way|"},
		{name: "e-mail NameID of a foreign domain", provider: mapping.Provider{EmailAuthoritativeDomains: []string{"example.com"}}, in: saml(nameID+"emailAddress", "a@evil.example.com", broker.Claims{"groups": {}}), refused: `"evil.example.com"|authoritative`},
		{name: "e-mail NameID with two signs", provider: mapping.Provider{EmailAuthoritativeDomains: []string{"example.com"}}, in: saml(nameID+"emailAddress", "a@evil@example.com", broker.Claims{"groups": {}}), refused: `evil@|`},
		{name: "e-mail NameID of an own domain", provider: mapping.Provider{EmailAuthoritativeDomains: []string{"example.com"}}, in: saml(nameID+"emailAddress", "A@Example.com", broker.Claims{"groups": {}}),
			want: broker.Identity{Subject: broker.Subject{ID: "A@Example.com"}, Username: "A@Example.com", Groups: []string{}, SessionName: "A@Example.com", SourceIdentity: "A@Example.com"}},
		{name: "subject expression without its claim", provider: mapping.Provider{Subject: "claims.id[0]"}, in: oidc(broker.Claims{"groups": {}}), refused: "who you are|identity.subject for p"},
		{name: "empty subject", provider: mapping.Provider{Subject: "claims.id[0]"}, in: oidc(broker.Claims{"groups": {}, "id": {""}}), refused: "who you are|"},
		{name: "control characters in the subject", in: saml(nameID+"persistent", "a\x00b", broker.Claims{"groups": {}}), refused: "who you are|"},
		{name: "username expression without its claim", provider: mapping.Provider{Username: "claims.id[0]"}, in: oidc(broker.Claims{"groups": {}}), refused: "your username|identity.username"},
		{name: "line break in the username", in: oidc(broker.Claims{"groups": {}, "uid": {"a\nb"}}), refused: "your username|"},
		{name: "session name without its claim", session: mapping.RoleSession{Name: "identity.claims.id[0]"}, in: oidc(broker.Claims{"groups": {}}), refused: "AWS is to see|role_session.name"},
		{name: "too many groups", in: oidc(broker.Claims{"groups": make([]string, 10_001)}), refused: "10001 groups|only the groups"},
		{name: "a document for a group", in: oidc(broker.Claims{"groups": {strings.Repeat("x", 2049)}}), refused: "2049 bytes|"},
		{name: "groups claim too large for expressions", provider: mapping.Provider{Groups: "claims.groups", GroupsAbsent: mapping.GroupsNone}, in: oidc(broker.Claims{"groups": {strings.Repeat("x", 2049)}}), refused: "your groups|"},
		{name: "groups hidden behind has()", provider: mapping.Provider{Groups: "has(claims.groups) ? claims.groups : []"}, in: oidc(broker.Claims{"groups": {strings.Repeat("x", 2049)}}), refused: "your groups|"},
		{name: "unknown provider", in: broker.Authentication{Subject: broker.Subject{Provider: "q", ID: "x"}}, refused: "went wrong|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.provider.ID = "p"
			e := engine(t, mapping.Config{Providers: []mapping.Provider{tt.provider}, RoleSession: tt.session})
			tt.in.AuthnInstant, tt.in.NotOnOrAfter = wednesday, wednesday.Add(time.Hour)
			got, err := e.Identity(t.Context(), tt.in)
			if tt.refused != "" {
				message, remedy, _ := strings.Cut(tt.refused, "|")
				if err == nil || !strings.Contains(broker.Message(err), message) || !strings.Contains(broker.Remedy(err), remedy) {
					t.Errorf("got %+v, %v (%s), want a refusal with %q", got, err, broker.Remedy(err), tt.refused)
				}
				if want := broker.CodeDenied; tt.name != "unknown provider" && broker.CodeOf(err) != want {
					t.Errorf("code %s, want %s", broker.CodeOf(err), want)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v: %s", err, broker.Remedy(err))
			}
			tt.want.Subject.Provider, tt.want.Claims, tt.want.AuthnInstant, tt.want.NotOnOrAfter = "p", tt.in.Claims, tt.in.AuthnInstant, tt.in.NotOnOrAfter
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
		})
	}
}

// What a person sees of a refusal is ours; what the provider sent stays private.
func TestRefusalsShowNothingOfTheClaims(t *testing.T) {
	e := engine(t, mapping.Config{Providers: []mapping.Provider{{ID: "p", Username: `claims.secret[0].split("|")[7]`}}})
	_, err := e.Identity(t.Context(), broker.Authentication{
		Subject: broker.Subject{Provider: "p", ID: "1"}, Claims: broker.Claims{"groups": {}, "secret": {"hunter2"}},
	})
	if err == nil || strings.Contains(broker.Message(err)+broker.Remedy(err), "hunter2") {
		t.Errorf("%v", err)
	}
}
