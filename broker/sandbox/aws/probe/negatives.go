package probe

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/go-jose/go-jose/v4"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
)

// negative is the negative test of one check: run does what the check must
// refuse, with everything else right, and says is what the refusal must hold.
type negative struct {
	says  string
	world func(string) string // changes the default world first
	run   func(r *rig) error
}

func samlCase(says string, change func(*mint)) negative {
	return negative{says: says, run: func(r *rig) error {
		m := goodMint()
		change(&m)
		return r.saml(m)
	}}
}

func assertionCase(says string, change func(r *rig, as *etree.Element)) negative {
	return negative{says: says, run: func(r *rig) error {
		m := goodMint()
		m.change = func(_, as *etree.Element) { change(r, as) }
		return r.saml(m)
	}}
}

func attributeCase(says, name string, values ...string) negative {
	return samlCase(says, func(m *mint) { m.set(name, values...) })
}

func tokenCase(says string, change func(r *rig, t *token)) negative {
	return negative{says: says, run: func(r *rig) error { return r.webIdentity(func(t *token) { change(r, t) }) }}
}

func claimCase(says, name string, value any) negative {
	return tokenCase(says, func(_ *rig, t *token) {
		t.claims[name] = value
		if value == nil {
			delete(t.claims, name)
		}
	})
}

// worldCase changes the first account's RolegateAdmin.
func worldCase(says, old, new string, run func(r *rig) error) negative {
	return negative{says: says, world: func(w string) string { return strings.Replace(w, old, new, 1) }, run: run}
}

// worldOf moves the issuer of tokens to a host where [issuer] misbehaves.
func worldOf(says, host string) negative {
	return negative{says: says, world: func(w string) string { return strings.ReplaceAll(w, "issuer.rolegate.test", host) }, run: func(r *rig) error {
		return r.webIdentity(func(t *token) { t.claims["iss"] = "https://" + host })
	}}
}

func goodSAML(r *rig) error { return r.saml(goodMint()) }

const allow = `"Action":["sts:AssumeRoleWithSAML", "sts:SetSourceIdentity", "sts:TagSession"]`

func tagsOf(n, length int) func(*mint) {
	return func(m *mint) {
		for i := range n {
			m.attributes = append(m.attributes, []string{fmt.Sprintf("PrincipalTag:key%d", i), strings.Repeat("v", length)})
		}
	}
}

func setUpError(off []string, world string, f func(*aws.AWS) error) error {
	a, err := aws.New(aws.Options{World: []byte(world), SwitchOff: off})
	if err != nil || f == nil {
		return err
	}
	return f(a)
}

// negatives has one row for each check.
var negatives = map[string]negative{
	"sts.request": samlCase("InvalidAction", func(m *mint) { m.form = func(f url.Values) { f.Set("Version", "2010-01-01") } }),
	"sts.parameters": samlCase("4 to 100000", func(m *mint) {
		m.form = func(f url.Values) { f.Set("SAMLAssertion", f.Get("SAMLAssertion")+strings.Repeat("\n", 100000)) }
	}),
	"sts.unknown":   samlCase("parameter Policy", func(m *mint) { m.form = func(f url.Values) { f.Set("Policy", "{}") } }),
	"sts.duration":  samlCase("between 900 and 43200", func(m *mint) { m.form = func(f url.Values) { f.Set("DurationSeconds", "899") } }),
	"sts.arns":      samlCase("Request ARN is invalid", func(m *mint) { m.role = strings.Replace(adminARN, ":role/", ":saml-provider/", 1) }),
	"sts.region":    worldCase("RegionDisabledException", "    roles:", "    disabled_regions: [us-east-1]\n    roles:", goodSAML),
	"saml.document": samlCase("Invalid SAML response", func(m *mint) { m.after = func(r *etree.Element) { r.CreateComment("x") } }),
	"saml.provider": samlCase("Specified provider doesn", func(m *mint) { m.provider = strings.Replace(providerARN, "rolegate", "nobody", 1) }),
	"saml.status": samlCase("not Success", func(m *mint) {
		m.after = func(r *etree.Element) {
			r.FindElement(".//StatusCode").CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
		}
	}),
	"saml.one_assertion": samlCase("one assertion", func(m *mint) {
		m.after = func(r *etree.Element) {
			c := r.FindElement("./Assertion").Copy()
			c.CreateAttr("ID", "_b")
			r.AddChild(c)
		}
	}),
	"saml.encrypted": samlCase("cannot be decrypted", func(m *mint) {
		m.after = func(r *etree.Element) { r.CreateElement("saml:EncryptedAssertion") }
	}),
	"saml.encryption_required": worldCase("requires encrypted", "{name: rolegate}", "{name: rolegate, encryption: Required}", goodSAML),
	"saml.issuer":              assertionCase("Issuer not present", func(_ *rig, as *etree.Element) { as.FindElement("./Issuer").SetText("https://other.example") }),
	"saml.signature": samlCase("Response signature invalid", func(m *mint) {
		m.after = func(r *etree.Element) { r.FindElement(".//NameID").SetText("u-" + strings.Repeat("z", 26)) }
	}),
	"saml.algorithm": samlCase("Response signature invalid", func(m *mint) { m.method = dsig.RSASHA512SignatureMethod }),
	"saml.not_before": assertionCase("not yet valid", func(r *rig, as *etree.Element) {
		as.FindElement("./Conditions").CreateAttr("NotBefore", r.at(time.Second))
	}),
	"saml.not_on_or_after": assertionCase("Response has expired", func(r *rig, as *etree.Element) { as.FindElement("./Conditions").CreateAttr("NotOnOrAfter", r.at(0)) }),
	"saml.confirmation_expiry": assertionCase("Response has expired", func(r *rig, as *etree.Element) {
		as.FindElement(".//SubjectConfirmationData").CreateAttr("NotOnOrAfter", r.at(0))
	}),
	"saml.freshness": assertionCase("within 5 minutes", func(r *rig, as *etree.Element) { as.CreateAttr("IssueInstant", r.at(-301*time.Second)) }),
	"saml.audience": assertionCase("required audience", func(_ *rig, as *etree.Element) {
		as.FindElement(".//Audience").SetText("https://signin.aws.amazon.com/saml")
	}),
	"saml.confirmation": assertionCase("One bearer", func(_ *rig, as *etree.Element) {
		s := as.FindElement("./Subject")
		s.AddChild(s.FindElement("./SubjectConfirmation").Copy())
	}),
	"saml.recipient": assertionCase("Recipient", func(_ *rig, as *etree.Element) {
		as.FindElement(".//SubjectConfirmationData").CreateAttr("Recipient", "https://signin.amazonaws.cn/saml")
	}),
	"saml.name_id":           assertionCase("AccessDenied", func(_ *rig, as *etree.Element) { as.FindElement("./Subject").RemoveChild(as.FindElement(".//NameID")) }),
	"saml.name_id_form":      assertionCase("NameID is not", func(_ *rig, as *etree.Element) { as.FindElement(".//NameID").SetText("alice@example.com") }),
	"saml.session_name":      attributeCase("RoleSessionName is required", "RoleSessionName"),
	"saml.session_name_form": attributeCase("RoleSessionName in AuthnResponse must match", "RoleSessionName", "alice smith"),
	"saml.source_identity":   attributeCase("Source Identity must match", "SourceIdentity", "aws:root"),
	"saml.role_pair":         attributeCase("AccessDenied", "Role", providerARN+","+adminARN),
	"saml.session_duration":  attributeCase("SessionDuration must be", "SessionDuration", "899"),
	"web.length":             claimCase("4 to 20000", "x", strings.Repeat("a", 20000)),
	"web.format":             tokenCase("not a valid JWT", func(_ *rig, t *token) { t.raw = "aaaa.bbbb" }),
	"web.algorithm":          tokenCase("Unsupported algorithm", func(_ *rig, t *token) { t.alg, t.key = jose.HS256, []byte(strings.Repeat("k", 32)) }),
	"web.provider":           claimCase("No OpenIDConnect provider found", "iss", "https://other.rolegate.test"),
	"web.key":                tokenCase("retrieve verification key", func(_ *rig, t *token) { t.kid = "k9" }),
	"web.discovery":          worldOf("keys without TLS", "plain.rolegate.test"),
	"web.key_count":          worldOf("101 EC keys", "many.rolegate.test"),
	"web.signature": tokenCase("Signature verification failed", func(_ *rig, t *token) {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		t.alg, t.key = jose.RS256, k
	}),
	"web.timestamps":       tokenCase("integers", func(r *rig, t *token) { t.claims["exp"] = json.Number(fmt.Sprintf("%d.5", r.clock.Unix()+60)) }),
	"web.expiry":           tokenCase("Token expired", func(r *rig, t *token) { t.claims["exp"] = r.clock.Unix() }),
	"web.issued_at":        claimCase("iat is missing", "iat", nil),
	"web.subject":          claimCase("sub has 6", "sub", "short"),
	"web.single_audience":  claimCase("Incorrect token audience", "aud", []string{"sts.amazonaws.com", "x"}),
	"web.audience":         claimCase("Incorrect token audience", "aud", "x"),
	"web.authorized_party": claimCase("Incorrect token audience", "azp", "other"),
	"web.provider_id":      tokenCase("ProviderId", func(_ *rig, t *token) { t.form = func(f url.Values) { f.Set("ProviderId", "www.amazon.com") } }),
	"web.session_name":     tokenCase("RoleSessionName", func(_ *rig, t *token) { t.form = func(f url.Values) { f.Set("RoleSessionName", "alice smith") } }),
	"web.tags":             claimCase("principal_tags", "https://aws.amazon.com/tags", map[string]any{"principal_tags": map[string]any{"Team": "ops"}}),
	"tags.count":           samlCase("at most 50", tagsOf(51, 1)),
	"tags.text":            samlCase("key or value", func(m *mint) { m.attributes = append(m.attributes, []string{"PrincipalTag:Team", "a;b"}) }),
	"tags.single":          samlCase("one value", func(m *mint) { m.attributes = append(m.attributes, []string{"PrincipalTag:Team", "a", "b"}) }),
	"tags.transitive":      samlCase("transitive", func(m *mint) { m.attributes = append(m.attributes, []string{"TransitiveTagKeys", "Team"}) }),
	"tags.packed":          samlCase("PackedPolicyTooLarge", tagsOf(40, 256)),
	"role.exists":          samlCase("AccessDenied", func(m *mint) { m.role = strings.Replace(adminARN, "RolegateAdmin", "rolegateadmin", 1) }),
	"role.reserved": worldCase("AccessDenied", "name: RolegateAdmin", "name: AWSReservedSSO_x", func(r *rig) error {
		m := goodMint()
		m.role = strings.Replace(adminARN, "RolegateAdmin", "AWSReservedSSO_x", 1)
		return r.saml(m)
	}),
	"trust.principal":       worldCase("AccessDenied", "saml-provider/rolegate", "saml-provider/other", goodSAML),
	"trust.action":          worldCase("AccessDenied", allow, `"Action":["sts:SetSourceIdentity"]`, goodSAML),
	"trust.source_identity": worldCase("AccessDenied", allow, `"Action":["sts:AssumeRoleWithSAML"]`, goodSAML),
	"trust.tag_session": worldCase("AccessDenied", allow, `"Action":["sts:AssumeRoleWithSAML", "sts:SetSourceIdentity"]`, func(r *rig) error {
		m := goodMint()
		tagsOf(1, 1)(&m)
		return r.saml(m)
	}),
	"trust.condition": worldCase("AccessDenied", `"https://signin.aws.amazon.com/saml"}}}]`, `"https://signin.aws.amazon.com/saml"},"StringLike":{"sts:RoleSessionName":"bob@*"}}}]`, goodSAML),
	"trust.deny": worldCase("AccessDenied", `"Statement":[`,
		`"Statement":[{"Effect":"Deny","Principal":{"Federated":"`+providerARN+`"},"Action":"sts:AssumeRoleWithSAML","Condition":{"StringEquals":{"sts:SourceIdentity":"alice"}}},`, goodSAML),
	"role.max_duration": samlCase("MaxSessionDuration", func(m *mint) { m.form = func(f url.Values) { f.Set("DurationSeconds", "7200") } }),
	"signin.method": {says: "status 405", run: func(r *rig) error {
		req, err := http.NewRequestWithContext(r.ctx, http.MethodPut, webURL+"/federation?Action=login", nil)
		must(err)
		resp, err := r.web.Do(req)
		must(err)
		must(resp.Body.Close())
		if resp.StatusCode == http.StatusMethodNotAllowed {
			return errors.New("status 405")
		}
		return nil
	}},
	"signin.action": {says: "status 400", run: func(r *rig) error { _, err := r.tokenFor(r.session(), url.Values{"Action": {"getToken"}}); return err }},
	"signin.session": {says: "status 400", run: func(r *rig) error {
		s := r.session()
		s["more"] = "x"
		_, err := r.tokenFor(s, nil)
		return err
	}},
	"signin.credentials": {says: "status 400", run: func(r *rig) error {
		s := r.session()
		s["sessionKey"] = "wrong"
		_, err := r.tokenFor(s, nil)
		return err
	}},
	"signin.expired": {says: "status 400", run: func(r *rig) error {
		s := r.session()
		r.clock = r.clock.Add(time.Hour)
		_, err := r.tokenFor(s, nil)
		return err
	}},
	"signin.duration": {says: "status 400", run: func(r *rig) error {
		_, err := r.tokenFor(r.session(), url.Values{"SessionDuration": {"60"}})
		return err
	}},
	"signin.chained": {says: "status 400", run: func(r *rig) error {
		s := r.session()
		token, err := r.Chained(s["sessionId"])
		must(err)
		s["sessionToken"] = token
		_, err = r.tokenFor(s, nil)
		must(err)
		_, err = r.tokenFor(s, url.Values{"SessionDuration": {"3600"}})
		return err
	}},
	"browser.method": {says: "status 405", run: func(r *rig) error {
		_, err := r.browse(http.MethodGet, url.Values{"SAMLResponse": {r.build(goodMint())}})
		return err
	}},
	"browser.relay_state": {says: "not followed", run: func(r *rig) error {
		const elsewhere = "https://console.aws.amazon.com.evil.example/"
		to, err := r.browse(http.MethodPost, url.Values{"SAMLResponse": {r.build(goodMint())}, "RelayState": {elsewhere}})
		must(err)
		if !strings.HasPrefix(to, elsewhere) {
			return errors.New("not followed")
		}
		return nil
	}},
	"call.allowed": {says: "no identity-based policy allows", run: func(r *rig) error { return r.canary(r.session()) }},
	"call.denied": {says: "explicit deny", run: func(r *rig) error {
		must(r.PutRolePolicy(account, "RolegateAdmin", "canary", allowCanary))
		s := r.session()
		must(r.canary(s))
		r.clock = r.clock.Add(time.Second)
		must(r.revoke("RolegateAdmin"))
		return r.canary(s)
	}},
	"signin.token": {says: "status 400", run: func(r *rig) error {
		_, err := r.login(url.Values{"Action": {"login"}, "SigninToken": {"x"}, "Destination": {"https://console.aws.amazon.com/"}})
		return err
	}},
	"signin.token_age": {says: "status 400", run: func(r *rig) error {
		tok, err := r.tokenFor(r.session(), nil)
		if err != nil {
			return err
		}
		r.clock = r.clock.Add(15 * time.Minute)
		_, err = r.login(url.Values{"Action": {"login"}, "SigninToken": {tok}, "Destination": {"https://console.aws.amazon.com/"}})
		return err
	}},
	"signin.destination": {says: "status 400", run: func(r *rig) error {
		tok, err := r.tokenFor(r.session(), nil)
		if err != nil {
			return err
		}
		_, err = r.login(url.Values{"Action": {"login"}, "SigninToken": {tok}, "Destination": {"https://console.aws.amazon.com.evil.example/"}})
		return err
	}},
	"call.token": {says: "InvalidClientTokenId", run: func(r *rig) error {
		one, two := r.session(), r.session()
		_, err := r.whoAmI(one["sessionId"], one["sessionKey"], two["sessionToken"])
		return err
	}},
	"call.signature": {says: "SignatureDoesNotMatch", run: func(r *rig) error {
		s := r.session()
		_, err := r.whoAmI(s["sessionId"], "wrong", s["sessionToken"])
		return err
	}},
	"call.clock": {says: "Signature expired", run: func(r *rig) error {
		s := r.session()
		r.clock = r.clock.Add(6 * time.Minute)
		_, err := r.whoAmI(s["sessionId"], s["sessionKey"], s["sessionToken"])
		return err
	}},
	"call.expired": {says: "ExpiredToken", run: func(r *rig) error {
		// Credentials issued in the past are over although the request is fresh.
		now := r.clock
		r.clock = now.Add(-time.Hour)
		s := r.session()
		r.clock = now
		_, err := r.whoAmI(s["sessionId"], s["sessionKey"], s["sessionToken"])
		return err
	}},
}

// setUps are the negative tests of the checks at registration.
var setUps = map[string]struct {
	says string
	run  func(off []string) error
}{
	"setup.metadata_length": {"metadata of", func(off []string) error {
		return setUpError(off, string(aws.Sandbox), func(a *aws.AWS) error {
			short := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"><IDPSSODescriptor><KeyDescriptor><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
				base64.StdEncoding.EncodeToString(small()) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor></IDPSSODescriptor></EntityDescriptor>`
			return a.PutSAMLProvider("111111111111", "rolegate", []byte(short))
		})
	}},
	"setup.metadata_bom": {"byte order mark", func(off []string) error {
		return setUpError(off, string(aws.Sandbox), func(a *aws.AWS) error {
			return a.PutSAMLProvider("111111111111", "rolegate", []byte("\xef\xbb\xbf"+metadata(signer())))
		})
	}},
	"setup.metadata_xml": {"Unable to parse metadata", func(off []string) error {
		return setUpError(off, string(aws.Sandbox), func(a *aws.AWS) error {
			return a.PutSAMLProvider("111111111111", "rolegate", []byte(strings.Replace(metadata(signer()), entityID, "", 1)))
		})
	}},
	"setup.metadata_key": {"signing certificates", func(off []string) error {
		return setUpError(off, string(aws.Sandbox), func(a *aws.AWS) error {
			s := signer()
			return a.PutSAMLProvider("111111111111", "rolegate", []byte(metadata(s, s, s, s, s, s, s, s, s, s, s)))
		})
	}},
	"setup.provider_name": {"provider name", func(off []string) error {
		return setUpError(off, string(aws.Sandbox), func(a *aws.AWS) error {
			return a.PutSAMLProvider("111111111111", "role gate", []byte(metadata(signer())))
		})
	}},
	"setup.private_keys": {"private keys of", func(off []string) error {
		return setUpError(off, string(aws.Sandbox), func(a *aws.AWS) error {
			key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("not looked into")})
			for range 2 {
				must(a.AddPrivateKey(account, "rolegate", key))
			}
			return a.AddPrivateKey(account, "rolegate", key)
		})
	}},
	"setup.thumbprints": {"thumbprints of", func(off []string) error {
		six := strings.TrimSuffix(strings.Repeat(strings.Repeat("a", 40)+", ", 6), ", ")
		return setUpError(off, strings.Replace(string(aws.Sandbox), "client_ids: [sts.amazonaws.com]", "client_ids: [sts.amazonaws.com], thumbprints: ["+six+"]", 1), nil)
	}},
	"setup.oidc_url": {"OIDC provider URL", func(off []string) error {
		return setUpError(off, strings.Replace(string(aws.Sandbox), "https://issuer.rolegate.test", "https://issuer.rolegate.test:8443", 1), nil)
	}},
	"setup.client_ids": {"client ids", func(off []string) error {
		return setUpError(off, strings.Replace(string(aws.Sandbox), "client_ids: [sts.amazonaws.com]", "client_ids: []", 1), nil)
	}},
}
