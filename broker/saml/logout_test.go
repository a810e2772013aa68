package saml_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

const (
	slo        = "https://sso.example.com/saml/corp/slo"
	theirSLO   = "https://idp.example.com/slo"
	bySLO      = `<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-%s" Location="%s"%s/>`
	persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
)

// withSLO is the provider's metadata with places for single logout.
func withSLO(places ...string) string {
	return strings.Replace(metadata(idpKey()), "<SingleSignOnService", strings.Join(places, "")+"<SingleSignOnService", 1)
}

func place(binding, location string) string {
	return fmt.Sprintf(bySLO, binding, location, "")
}

// farewell is a message about a logout to make; see request and response.
type farewell struct {
	field  string
	xml    string
	change func(*etree.Element)      // before it is signed
	after  func(*etree.Element)      // when it is signed (POST)
	raw    func([]byte) []byte       // of the bytes that are deflated and signed (Redirect)
	query  func(q []string) []string // of the parameters, when they are signed (Redirect)
	form   func(url.Values)          // (POST)
	key    saml.KeyPair
	sigAlg string // default rsa-sha256
	hash   crypto.Hash
	relay  string
	plain  bool // unsigned
	lower  bool // percent escapes in lower case
}

func logoutRequest() farewell {
	return farewell{field: "SAMLRequest", relay: "theirs", key: idpKey(), xml: `<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_l1" Version="2.0" IssueInstant="` + at(0) + `" Destination="` + slo + `"><saml:Issuer>` + idpEntity + `</saml:Issuer><saml:NameID Format="` + persistent + `">alice-0001</saml:NameID><samlp:SessionIndex>s1</samlp:SessionIndex></samlp:LogoutRequest>`}
}

func logoutResponse() farewell {
	return farewell{field: "SAMLResponse", relay: "state-1", key: idpKey(), xml: `<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_l2" Version="2.0" IssueInstant="` + at(0) + `" Destination="` + slo + `" InResponseTo="` + requestID + `"><saml:Issuer>` + idpEntity + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:LogoutResponse>`}
}

func (f farewell) element() *etree.Element {
	el := parse(f.xml)
	if f.change != nil {
		f.change(el)
	}
	return el
}

func (f farewell) byPost(t testing.TB) broker.LogoutMessage {
	t.Helper()
	el := f.element()
	if !f.plain {
		answer{method: f.sigAlg}.sign(t, el, f.key)
	}
	if f.after != nil {
		f.after(el)
	}
	raw := []byte(xmlOf(el))
	if f.raw != nil {
		raw = f.raw(raw)
	}
	form := url.Values{f.field: {base64.StdEncoding.EncodeToString(raw)}}
	if f.relay != "" {
		form.Set("RelayState", f.relay)
	}
	if f.form != nil {
		f.form(form)
	}
	return broker.LogoutMessage{Form: form}
}

func deflate(raw []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// byRedirect signs the query here and not with the code that verifies it.
func (f farewell) byRedirect(t testing.TB) broker.LogoutMessage {
	t.Helper()
	raw := []byte(xmlOf(f.element()))
	if f.raw != nil {
		raw = f.raw(raw)
	}
	escape := func(s string) string {
		s = url.QueryEscape(s)
		if f.lower {
			for _, c := range []string{"%2B", "%2F", "%3A", "%3D"} {
				s = strings.ReplaceAll(s, c, strings.ToLower(c))
			}
		}
		return s
	}
	params := []string{f.field + "=" + escape(base64.StdEncoding.EncodeToString(deflate(raw)))}
	if f.relay != "" {
		params = append(params, "RelayState="+escape(f.relay))
	}
	if !f.plain {
		hash := f.hash
		if hash == 0 {
			hash = crypto.SHA256
		}
		if f.sigAlg == "" {
			f.sigAlg = dsig.RSASHA256SignatureMethod
		}
		params = append(params, "SigAlg="+escape(f.sigAlg))
		params = append(params, "Signature="+escape(base64.StdEncoding.EncodeToString(signBytes(t, f.key, hash, []byte(strings.Join(params, "&"))))))
	}
	if f.query != nil {
		params = f.query(params)
	}
	return broker.LogoutMessage{Query: strings.Join(params, "&")}
}

func signBytes(t testing.TB, k saml.KeyPair, hash crypto.Hash, b []byte) []byte {
	t.Helper()
	h := hash.New()
	h.Write(b)
	sig, err := k.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := k.Key.(*ecdsa.PrivateKey); ok {
		sig = rs(key, sig)
	}
	return sig
}

// byBoth gives a message by each binding.
func (f farewell) byBoth(t testing.TB) map[string]broker.LogoutMessage {
	t.Helper()
	return map[string]broker.LogoutMessage{"redirect": f.byRedirect(t), "post": f.byPost(t)}
}

func setAttr(name, value string) func(*etree.Element) {
	return func(el *etree.Element) { el.CreateAttr(name, value) }
}

func dropAttr(name string) func(*etree.Element) {
	return func(el *etree.Element) { el.RemoveAttr(name) }
}

func nameOf(el *etree.Element) *etree.Element { return el.FindElement("./NameID") }

// TestReceivesLogout holds the requests that must pass, by both bindings.
func TestReceivesLogout(t *testing.T) {
	alice := func(indexes ...string) []broker.SessionFilter {
		out := []broker.SessionFilter{}
		for _, i := range indexes {
			out = append(out, broker.SessionFilter{Provider: "corp", NameID: "alice-0001", SessionIndex: i})
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		change func(*farewell)
		want   []broker.SessionFilter
	}{
		{"one session", nil, alice("s1")},
		{"two sessions", func(f *farewell) {
			f.change = func(el *etree.Element) { el.CreateElement("samlp:SessionIndex").SetText("s2") }
		}, alice("s1", "s2")},
		{"no SessionIndex means all", func(f *farewell) {
			f.change = func(el *etree.Element) { el.RemoveChild(el.FindElement("./SessionIndex")) }
		}, alice("")},
		{"with an end to come", func(f *farewell) { f.change = setAttr("NotOnOrAfter", at(time.Minute)) }, alice("s1")},
		{"an EncryptedID", func(f *farewell) {
			f.change = func(el *etree.Element) {
				n := nameOf(el)
				el.InsertChildAt(n.Index(), encryptedAs("EncryptedID", n))
				el.RemoveChild(n)
			}
		}, alice("s1")},
		{"an instant without a zone", func(f *farewell) { f.change = setAttr("IssueInstant", strings.TrimSuffix(at(0), "Z")) }, alice("s1")},
		{"white space round the Destination", func(f *farewell) { f.change = setAttr("Destination", " "+slo+"\n") }, alice("s1")},
		{"no RelayState", func(f *farewell) { f.relay = "" }, alice("s1")},
		{"a RelayState that is an address", func(f *farewell) { f.relay = "https://idp.example.com/?a=b&c=d " + strings.Repeat("x", 200) }, alice("s1")},
		{"a clock a minute ahead", func(f *farewell) { f.change = setAttr("IssueInstant", at(time.Minute)) }, alice("s1")},
	} {
		for binding, m := range changed(logoutRequest(), tt.change).byBoth(t) {
			t.Run(tt.name+" by "+binding, func(t *testing.T) {
				got, err := newSP(t, withSLO(place("Redirect", theirSLO)), nil).ReceiveLogout(t.Context(), m)
				want := broker.LogoutNotice{
					RequestID: "_l1", RelayState: changed(logoutRequest(), tt.change).relay, Sessions: tt.want,
					ReplayID: "logout:_l1", ReplayExpires: fixed.Add(12 * time.Minute),
				}
				if d := cmp.Diff(want, got); d != "" || err != nil {
					t.Errorf("%v\n%s", err, d)
				}
			})
		}
	}
	p256 := idpP256()
	for _, tt := range []struct {
		name   string
		change func(*farewell)
	}{
		{"escapes in lower case", func(f *farewell) { f.lower = true }},
		{"another order of the parameters", func(f *farewell) { f.query = func(q []string) []string { return []string{q[3], q[1], q[0], q[2]} } }},
		{"a parameter that says nothing", func(f *farewell) { f.query = func(q []string) []string { return append(q, "lang=de") } }},
		{"the encoding named", func(f *farewell) {
			f.query = func(q []string) []string {
				return append(q, "SAMLEncoding="+url.QueryEscape("urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"))
			}
		}},
		{"RSA-SHA512", func(f *farewell) { f.sigAlg, f.hash = dsig.RSASHA512SignatureMethod, crypto.SHA512 }},
		{"ECDSA-SHA256", func(f *farewell) { f.key, f.sigAlg = p256, dsig.ECDSASHA256SignatureMethod }},
	} {
		t.Run(tt.name+" by redirect", func(t *testing.T) {
			got, err := newSP(t, metadata(idpKey(), p256), nil).ReceiveLogout(t.Context(), changed(logoutRequest(), tt.change).byRedirect(t))
			if err != nil || len(got.Sessions) != 1 {
				t.Errorf("%v %v", got, err)
			}
		})
	}
}

func changed(f farewell, change func(*farewell)) farewell {
	if change != nil {
		change(&f)
	}
	return f
}

// attack is a row: why is what the private error must say.
type attack struct {
	name, why string
	change    func(*farewell)
}

// contents are what a message may say, by either binding, in either direction.
func contents() []attack {
	return []attack{
		{"unsigned", "no signature", func(f *farewell) { f.plain = true }},
		{"another key", "no certificate", func(f *farewell) { f.key = evilKey() }},
		{"another provider's message", "no certificate", func(f *farewell) {
			f.key, f.xml = evilKey(), strings.ReplaceAll(f.xml, idpEntity, "https://other.example")
		}},
		{"another provider's message, under a shared key", "issued by", func(f *farewell) { f.xml = strings.ReplaceAll(f.xml, idpEntity, "https://other.example") }},
		{"no Issuer", "no Issuer", func(f *farewell) { f.change = func(el *etree.Element) { el.RemoveChild(el.FindElement("./Issuer")) } }},
		{"an Issuer of another format", "issuer of the format", func(f *farewell) {
			f.change = func(el *etree.Element) { el.FindElement("./Issuer").CreateAttr("Format", persistent) }
		}},
		{"another Destination", "meant for", func(f *farewell) { f.change = setAttr("Destination", "https://other.example/slo") }},
		{"the Destination of the ACS", "meant for", func(f *farewell) { f.change = setAttr("Destination", acs) }},
		{"no Destination", "meant for", func(f *farewell) { f.change = dropAttr("Destination") }},
		{"issued long ago", "issued at", func(f *farewell) { f.change = setAttr("IssueInstant", at(-11*time.Minute-time.Second)) }},
		{"issued in the future", "issued at", func(f *farewell) { f.change = setAttr("IssueInstant", at(time.Minute+time.Second)) }},
		{"no IssueInstant", "no IssueInstant", func(f *farewell) { f.change = dropAttr("IssueInstant") }},
		{"version 1.1", "version", func(f *farewell) { f.change = setAttr("Version", "1.1") }},
		{"a strange ID", "the ID", func(f *farewell) { f.change = setAttr("ID", "a b") }},
		{"no ID", "ID", func(f *farewell) { f.change = dropAttr("ID") }},
		{"a long RelayState", "RelayState of", func(f *farewell) { f.relay = strings.Repeat("r", 1025) }},
		{"a DTD", "DOCTYPE", func(f *farewell) {
			f.raw = func(b []byte) []byte { return append([]byte(`<!DOCTYPE x [<!ENTITY e "alice-0001">]>`), b...) }
		}},
		{"two roots", "two root", func(f *farewell) { f.raw = func(b []byte) []byte { return append(b, b...) } }},
		{"not XML", "not well-formed", func(f *farewell) { f.raw = func([]byte) []byte { return []byte("<x") } }},
		{"no bytes", "no whole root", func(f *farewell) { f.raw = func([]byte) []byte { return nil } }},
		{"nested deep", "nested deeper", func(f *farewell) {
			f.raw = func(b []byte) []byte {
				return bytes.Replace(b, []byte("</saml:Issuer>"), []byte("</saml:Issuer>"+strings.Repeat("<a>", 9000)+strings.Repeat("</a>", 9000)), 1)
			}
		}},
		{"many nodes", "more than 500", func(f *farewell) {
			f.change = func(el *etree.Element) {
				for range 600 {
					el.CreateElement("samlp:Extensions")
				}
			}
		}},
		{"an answer to a sign-in", "the root is Response", func(f *farewell) {
			f.xml = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r1" Version="2.0" IssueInstant="` + at(0) + `" Destination="` + slo + `"><saml:Issuer>` + idpEntity + `</saml:Issuer></samlp:Response>`
		}},
		{"one inside the other", "inside the document", func(f *farewell) {
			f.change = func(el *etree.Element) {
				inner := el.Copy()
				inner.CreateAttr("ID", "_inner")
				el.CreateElement("samlp:Extensions").AddChild(inner)
			}
		}},
		{"the field twice", "", func(f *farewell) {
			f.form = func(v url.Values) { v.Add(f.field, v.Get(f.field)) }
			f.query = func(q []string) []string { return append(q, q[0]) }
		}},
		{"RelayState twice", "", func(f *farewell) {
			f.form = func(v url.Values) { v.Add("RelayState", "x") }
			f.query = func(q []string) []string { return append(q, "RelayState=x") }
		}},
		{"a request and a response", "at once", func(f *farewell) {
			other := map[string]string{"SAMLRequest": "SAMLResponse", "SAMLResponse": "SAMLRequest"}[f.field]
			f.form = func(v url.Values) { v.Set(other, v.Get(f.field)) }
			f.query = func(q []string) []string { return append(q, other+q[0][len(f.field):]) }
		}},
		{"no field", "", func(f *farewell) {
			f.form = func(v url.Values) { v.Del(f.field) }
			f.query = func(q []string) []string { return q[1:] }
		}},
		{"not base64", "base64", func(f *farewell) {
			f.form = func(v url.Values) { v.Set(f.field, "*") }
			f.query = func(q []string) []string { return []string{f.field + "=*", q[2], "Signature=*"} }
		}},
	}
}

// aboutRequests are what only a request says.
func aboutRequests() []attack {
	return []attack{
		{"an end that has passed", "it ended", func(f *farewell) { f.change = setAttr("NotOnOrAfter", at(-time.Minute)) }},
		{"an end that is no time", "\"tomorrow\" is no time", func(f *farewell) { f.change = setAttr("NotOnOrAfter", "tomorrow") }},
		{"no NameID", "no NameID", func(f *farewell) { f.change = func(el *etree.Element) { el.RemoveChild(nameOf(el)) } }},
		{"an empty NameID", "NameID is empty", func(f *farewell) { f.change = func(el *etree.Element) { nameOf(el).SetText(" ") } }},
		{"two NameIDs", "NameID twice", func(f *farewell) { f.change = func(el *etree.Element) { el.AddChild(nameOf(el).Copy()) } }},
		{"a NameID of elements", "more than text", func(f *farewell) { f.change = func(el *etree.Element) { nameOf(el).CreateElement("x") } }},
		{"a comment in the NameID", "comment", func(f *farewell) {
			f.raw = func(b []byte) []byte {
				return bytes.Replace(b, []byte("alice-0001"), []byte("alice-0001<!---->.evil"), 1)
			}
		}},
		{"a NameID in another namespace", "no NameID", func(f *farewell) {
			f.change = func(el *etree.Element) { nameOf(el).CreateAttr("xmlns:saml", "urn:evil") }
		}},
		{"control characters in the NameID", "control characters", func(f *farewell) { f.change = func(el *etree.Element) { nameOf(el).SetText("alice\n0001") } }},
		{"a SessionIndex of elements", "more than text", func(f *farewell) {
			f.change = func(el *etree.Element) { el.FindElement("./SessionIndex").CreateElement("x") }
		}},
		{"101 sessions", "more than 100", func(f *farewell) {
			f.change = func(el *etree.Element) {
				for n := range 100 {
					el.CreateElement("samlp:SessionIndex").SetText(fmt.Sprint(n))
				}
			}
		}},
		{"a response in the request's field", "the root is LogoutResponse", func(f *farewell) { f.xml = logoutResponse().xml }},
	}
}

// aboutResponses are what only a response says.
func aboutResponses() []attack {
	return []attack{
		{"it answers another request", "does not answer", func(f *farewell) { f.change = setAttr("InResponseTo", "id-0") }},
		{"it answers no request", "does not answer", func(f *farewell) { f.change = dropAttr("InResponseTo") }},
		{"the provider failed", "status", func(f *farewell) { f.xml = strings.Replace(f.xml, "status:Success", "status:Responder", 1) }},
		{"no status", "no status", func(f *farewell) { f.change = func(el *etree.Element) { el.RemoveChild(el.FindElement("./Status")) } }},
		{"a request in the response's field", "the root is LogoutRequest", func(f *farewell) { f.xml = logoutRequest().xml }},
	}
}

// TestRefusesLogout runs every row in the directions that it concerns, by both
// bindings: refused for its own reason, without a panic, and noted.
func TestRefusesLogout(t *testing.T) {
	sp := newSP(t, withSLO(place("Redirect", theirSLO)), nil)
	for direction, rows := range map[string][]attack{"request": append(contents(), aboutRequests()...), "response": append(contents(), aboutResponses()...)} {
		for _, tt := range rows {
			f := logoutRequest()
			if direction == "response" {
				f = logoutResponse()
			}
			for binding, m := range changed(f, tt.change).byBoth(t) {
				t.Run(direction+", "+tt.name+" by "+binding, func(t *testing.T) { refused(t, sp, direction, tt.why, m) })
			}
		}
	}
}

func refused(t *testing.T, sp *saml.ServiceProvider, direction, why string, m broker.LogoutMessage) {
	t.Helper()
	trace := &broker.Trace{}
	ctx := broker.WithTrace(t.Context(), trace)
	var got broker.LogoutNotice
	var err error
	if direction == "request" {
		got, err = sp.ReceiveLogout(ctx, m)
	} else {
		err = sp.FinishLogout(ctx, broker.LogoutRequest{ID: requestID, State: "state-1"}, m)
	}
	if broker.CodeOf(err) != broker.CodeUnauthenticated || !cmp.Equal(got, broker.LogoutNotice{}) {
		t.Fatalf("error %v, got %+v", err, got)
	}
	if !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "panicked") {
		t.Errorf("refused because %v, want %q", err, why)
	}
	if steps := trace.Steps(); len(steps) == 0 || steps[len(steps)-1].OK {
		t.Errorf("trace %v", steps)
	}
}

// TestRefusesLogoutRedirect holds the attacks on the signature of a query.
func TestRefusesLogoutRedirect(t *testing.T) {
	evil := base64.StdEncoding.EncodeToString(deflate([]byte(strings.Replace(logoutRequest().xml, "alice-0001", "mallory", 1))))
	swap := func(n int, by string) func(*farewell) {
		return func(f *farewell) { f.query = func(q []string) []string { q[n] = by; return q } }
	}
	sp := newSP(t, withSLO(place("Redirect", theirSLO)), nil)
	for _, tt := range []attack{
		{"another message under the signature", "no certificate", swap(0, "SAMLRequest="+url.QueryEscape(evil))},
		{"another RelayState under the signature", "no certificate", swap(1, "RelayState=other")},
		{"the RelayState taken away", "no certificate", func(f *farewell) { f.query = func(q []string) []string { return append(q[:1:1], q[2:]...) } }},
		{"a RelayState added", "no certificate", func(f *farewell) {
			f.relay, f.query = "", func(q []string) []string { return append(q, "RelayState=x") }
		}},
		{"another algorithm under the signature", "no certificate", swap(2, "SigAlg="+url.QueryEscape(dsig.RSASHA512SignatureMethod))},
		{"the signature over another order", "no certificate", func(f *farewell) {
			f.query = func(q []string) []string {
				q = []string{q[2], q[1], q[0], ""}
				q[3] = "Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signBytes(t, idpKey(), crypto.SHA256, []byte(strings.Join(q[:3], "&")))))
				return q
			}
		}},
		{"the signature over the decoded values", "no certificate", func(f *farewell) {
			f.query = func(q []string) []string {
				plain, err := url.QueryUnescape(strings.Join(q[:3], "&"))
				if err != nil {
					t.Fatal(err)
				}
				q[3] = "Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signBytes(t, idpKey(), crypto.SHA256, []byte(plain))))
				return q
			}
		}},
		{"the signature of another message", "no certificate", func(f *farewell) {
			other := strings.Split(logoutResponse().byRedirect(t).Query, "&")
			f.query = func(q []string) []string { q[3] = other[3]; return q }
		}},
		{"no signature", "no signature", func(f *farewell) { f.query = func(q []string) []string { return q[:3] } }},
		{"an empty signature", "no signature", swap(3, "Signature=")},
		{"no algorithm", "signature algorithm", func(f *farewell) { f.query = func(q []string) []string { return append(q[:2:2], q[3]) } }},
		{"RSA-SHA1", "signature algorithm", func(f *farewell) { f.sigAlg, f.hash = dsig.RSASHA1SignatureMethod, crypto.SHA1 }},
		{"an HMAC with the certificate", "signature algorithm", func(f *farewell) { f.sigAlg = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256" }},
		{"the signature twice", "twice", func(f *farewell) { f.query = func(q []string) []string { return append(q, q[3]) } }},
		{"the algorithm twice", "twice", func(f *farewell) { f.query = func(q []string) []string { return append(q, q[2]) } }},
		{"a second message under an escaped name", "no certificate", func(f *farewell) {
			f.query = func(q []string) []string {
				return append([]string{"SAMLRequest=" + url.QueryEscape(evil), "SAML%52equest" + q[0][len("SAMLRequest"):]}, q[1:]...)
			}
		}},
		{"an enveloped signature instead", "no signature", func(f *farewell) {
			f.plain, f.change = true, func(el *etree.Element) { answer{}.sign(t, el, idpKey()) }
		}},
		{"another encoding", "other than DEFLATE", func(f *farewell) { f.query = func(q []string) []string { return append(q, "SAMLEncoding=none") } }},
		{"bytes that are not escaped", "not escaped", swap(1, "RelayState=%zz")},
		{"not DEFLATE", "not DEFLATE", func(f *farewell) {
			f.query = func(q []string) []string {
				q[0] = "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(logoutRequest().xml)))
				q[3] = "Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signBytes(t, idpKey(), crypto.SHA256, []byte(strings.Join(q[:3], "&")))))
				return q
			}
		}},
		{"a query of 17 KiB", "a query of", func(f *farewell) {
			f.query = func(q []string) []string { return append(q, strings.Repeat("x", 17<<10)) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, sp, "request", tt.why, changed(logoutRequest(), tt.change).byRedirect(t))
		})
	}
}

// TestRefusesLogoutPost holds the attacks on an enveloped signature.
func TestRefusesLogoutPost(t *testing.T) {
	forged := func(el *etree.Element, id string) *etree.Element {
		evil := el.Copy()
		evil.CreateAttr("ID", id)
		nameOf(evil).SetText("mallory")
		return evil
	}
	become := func(el, other *etree.Element) { *el = *other }
	sp := newSP(t, withSLO(place("Redirect", theirSLO)), nil)
	for _, tt := range []attack{
		{"RSA-SHA1", "signature algorithm", func(f *farewell) { f.sigAlg = dsig.RSASHA1SignatureMethod }},
		{"changed when signed", "", func(f *farewell) { f.after = func(el *etree.Element) { nameOf(el).SetText("mallory") } }},
		{"a session added when signed", "", func(f *farewell) {
			f.after = func(el *etree.Element) { el.CreateElement("samlp:SessionIndex").SetText("s9") }
		}},
		{"wrapped: the signed one in Extensions of a forged one", "inside the document", func(f *farewell) {
			f.after = func(el *etree.Element) {
				evil := forged(el, "_evil")
				evil.RemoveChild(evil.FindElement("./Signature"))
				evil.CreateElement("samlp:Extensions").AddChild(el.Copy())
				become(el, evil)
			}
		}},
		{"wrapped: the signed one in the forged one's signature", "inside the document", func(f *farewell) {
			f.after = func(el *etree.Element) {
				evil := forged(el, "_evil")
				whole := el.Copy()
				whole.RemoveChild(whole.FindElement("./Signature"))
				evil.FindElement("./Signature").CreateElement("ds:Object").AddChild(whole)
				become(el, evil)
			}
		}},
		{"wrapped: the signature of another element", "not over its element", func(f *farewell) {
			f.after = func(el *etree.Element) { become(el, forged(el, "_evil")) }
		}},
		{"a signature in Extensions", "not of the Response", func(f *farewell) {
			f.after = func(el *etree.Element) {
				sig := el.FindElement("./Signature")
				el.RemoveChild(sig)
				el.CreateElement("samlp:Extensions").AddChild(sig)
			}
		}},
		{"two signatures", "two signatures", func(f *farewell) {
			f.after = func(el *etree.Element) { el.AddChild(el.FindElement("./Signature").Copy()) }
		}},
		{"an assertion in it", "not the Response's own", func(f *farewell) {
			f.change = func(el *etree.Element) { el.CreateElement("saml:Assertion") }
		}},
		{"an ID twice", "twice", func(f *farewell) {
			f.change = func(el *etree.Element) { el.CreateElement("samlp:Extensions").CreateAttr("ID", "_l1") }
		}},
		{"a message of 129 KiB", "a message of", func(f *farewell) {
			f.raw = func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), 97<<10)...) }
		}},
		{"a message of 65 KiB", "a message of", func(f *farewell) {
			f.raw = func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), 64<<10)...) }
		}},
		{"the signature of a query", "no signature", func(f *farewell) {
			q, err := url.ParseQuery(logoutRequest().byRedirect(t).Query)
			if err != nil {
				t.Fatal(err)
			}
			f.plain, f.form = true, func(v url.Values) { v["SigAlg"], v["Signature"] = q["SigAlg"], q["Signature"] }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, sp, "request", tt.why, changed(logoutRequest(), tt.change).byPost(t))
		})
	}
}

// TestLogoutBomb ensures that a query which inflates to 10 MiB is not inflated
// unsigned, and signed no further than allowed.
func TestLogoutBomb(t *testing.T) {
	bomb := func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), 10<<20)...) }
	for name, f := range map[string]farewell{
		"unsigned":       changed(logoutRequest(), func(f *farewell) { f.raw, f.plain = bomb, true }),
		"another's":      changed(logoutRequest(), func(f *farewell) { f.raw, f.key = bomb, evilKey() }),
		"the provider's": changed(logoutRequest(), func(f *farewell) { f.raw = bomb }),
	} {
		t.Run(name, func(t *testing.T) {
			sp, m := newSP(t, withSLO(), nil), f.byRedirect(t)
			if len(m.Query) > 16<<10 {
				t.Fatalf("the bomb is a query of %d bytes, which is refused for its length", len(m.Query))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := sp.ReceiveLogout(t.Context(), m)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; broker.CodeOf(err) != broker.CodeUnauthenticated || got > 1<<20 {
				t.Errorf("%v after %d bytes", err, got)
			}
		})
	}
}

// TestFinishesLogout ensures that a good answer is taken by both bindings, and
// one that says that others were not reached too.
func TestFinishesLogout(t *testing.T) {
	sp := newSP(t, withSLO(place("Redirect", theirSLO)), nil)
	for name, change := range map[string]func(*farewell){
		"success": nil,
		"success, partial": func(f *farewell) {
			f.xml = strings.Replace(f.xml, `status:Success"/>`, `status:Success"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:PartialLogout"/></samlp:StatusCode>`, 1)
		},
	} {
		for binding, m := range changed(logoutResponse(), change).byBoth(t) {
			if err := sp.FinishLogout(t.Context(), broker.LogoutRequest{ID: requestID, State: "state-1"}, m); err != nil {
				t.Errorf("%s by %s: %v", name, binding, err)
			}
		}
	}
}

// TestBeginLogout ensures that our request names the person as the provider did,
// is signed for the binding it goes by, and goes only where the metadata says.
func TestBeginLogout(t *testing.T) {
	hint := func(t *testing.T, name string) broker.LogoutRequest {
		a := good()
		a.before = func(_, as *etree.Element) {
			n := as.FindElement("./Subject/NameID")
			n.CreateAttr("NameQualifier", idpEntity)
			n.CreateAttr("SPNameQualifier", spEntity)
			n.SetText(name)
		}
		auth, err := newSP(t, metadata(idpKey()), nil).Finish(t.Context(), request(), form(a.build(t)))
		if err != nil {
			t.Fatal(err)
		}
		return broker.LogoutRequest{ID: "id-9", State: "state-9", NameID: auth.NameID, SessionIndex: auth.SessionIndex, Hint: auth.LogoutHint}
	}
	for _, tt := range []struct {
		name, meta, to string
		config         func(*saml.Config)
	}{
		{"redirect", withSLO(place("Redirect", theirSLO+"?tenant=1")), theirSLO + "?tenant=1", nil},
		{"post", withSLO(place("POST", theirSLO)), theirSLO, nil},
		{"both offered", withSLO(place("POST", "https://idp.example.com/p"), place("Redirect", theirSLO)), theirSLO, nil},
		{"both offered, the other way round", withSLO(place("Redirect", theirSLO), place("POST", "https://idp.example.com/p")), theirSLO, nil},
		{"none offered", withSLO(), "", nil},
		{"by SOAP only", withSLO(`<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.example.com/soap"/>`), "", nil},
		{"over plain http", withSLO(place("Redirect", "http://idp.example.com/slo")), "", nil},
		{"with a fragment", withSLO(place("Redirect", theirSLO+"#x")), "", nil},
		{"switched off", withSLO(place("Redirect", theirSLO)), "", func(c *saml.Config) { c.NoLogout = true }},
		{"no key to sign with", withSLO(place("Redirect", theirSLO)), "", func(c *saml.Config) { c.SignRequests, c.Signing = false, nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ch, err := newSP(t, tt.meta, tt.config).BeginLogout(t.Context(), hint(t, "a&<b>'s"))
			if err != nil || (ch == nil) != (tt.to == "") {
				t.Fatalf("%v %v", ch, err)
			}
			if ch == nil {
				return
			}
			el := ours(t, *ch, "SAMLRequest", "state-9", tt.to)
			name := nameOf(el)
			if el.Tag != "LogoutRequest" || el.SelectAttrValue("ID", "") != "id-9" || el.FindElement("./SessionIndex").Text() != "s1" ||
				name.Text() != "a&<b>'s" || name.SelectAttrValue("Format", "") != persistent ||
				name.SelectAttrValue("NameQualifier", "") != idpEntity || name.SelectAttrValue("SPNameQualifier", "") != spEntity {
				t.Errorf("%s", xmlOf(el))
			}
		})
	}
	r := hint(t, "alice")
	r.Hint = broker.Secret{} // a session of before there was logout
	if ch, err := newSP(t, withSLO(place("Redirect", theirSLO)), nil).BeginLogout(t.Context(), r); ch != nil || err != nil {
		t.Errorf("without a hint: %v %v", ch, err)
	}
}

// ours verifies a message of ours with other code than made it and returns it.
func ours(t *testing.T, ch broker.Challenge, field, relay, to string) *etree.Element {
	t.Helper()
	var el *etree.Element
	if ch.Form != nil {
		raw, err := base64.StdEncoding.DecodeString(ch.Form.Get(field))
		if err != nil || ch.URL != to || ch.Form.Get("RelayState") != relay {
			t.Fatalf("%v %v", ch, err)
		}
		el = parse(string(raw))
		ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{spSign().Certificate}})
		ctx.Clock = dsig.NewFakeClockAt(fixed)
		if _, err := ctx.Validate(el.Copy()); err != nil {
			t.Error(err)
		}
	} else {
		address, query, _ := strings.Cut(ch.URL, "?")
		_, before, ok := strings.Cut(to, "?")
		if ok {
			query = strings.TrimPrefix(query, before+"&")
		}
		signed, sig64, _ := strings.Cut(query, "&Signature=")
		q, err := url.ParseQuery(query)
		if err != nil || !strings.HasPrefix(to, address) || q.Get("RelayState") != relay || sig64 == "" {
			t.Fatalf("%v %v", ch, err)
		}
		sig, err := base64.StdEncoding.DecodeString(q.Get("Signature"))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(signed))
		if err := rsa.VerifyPKCS1v15(spSign().Key.Public().(*rsa.PublicKey), crypto.SHA256, sum[:], sig); err != nil {
			t.Error(err)
		}
		packed, err := base64.StdEncoding.DecodeString(q.Get(field))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
		if err != nil {
			t.Fatal(err)
		}
		el = parse(string(raw))
	}
	if el.SelectAttrValue("Destination", "") != to || el.FindElement("./Issuer").Text() != spEntity || el.SelectAttrValue("IssueInstant", "") != at(0) {
		t.Errorf("%s", xmlOf(el))
	}
	return el
}

// TestAnswerLogout ensures that a request is answered at the place for answers,
// with its RelayState, and that a failure is called one.
func TestAnswerLogout(t *testing.T) {
	elsewhere := fmt.Sprintf(bySLO, "Redirect", theirSLO, ` ResponseLocation="https://idp.example.com/done"`)
	for _, tt := range []struct {
		name, meta, to string
		failed         error
		status         string
	}{
		{"redirect", withSLO(place("Redirect", theirSLO)), theirSLO, nil, "Success"},
		{"post", withSLO(place("POST", theirSLO)), theirSLO, nil, "Success"},
		{"a place for answers", withSLO(elsewhere), "https://idp.example.com/done", nil, "Success"},
		{"a place for answers over plain http", withSLO(strings.Replace(elsewhere, "https://idp.example.com/done", "http://idp.example.com/done", 1)), theirSLO, nil, "Success"},
		{"a failure", withSLO(place("Redirect", theirSLO)), theirSLO, fmt.Errorf("planted"), "Responder"},
		{"no place", withSLO(), "", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Off is for what we ask; a provider is answered.
			sp := newSP(t, tt.meta, func(c *saml.Config) { c.NoLogout = true })
			ch, err := sp.AnswerLogout(t.Context(), broker.LogoutNotice{RequestID: "_l1", RelayState: "their state"}, tt.failed)
			if err != nil || (ch == nil) != (tt.to == "") {
				t.Fatalf("%v %v", ch, err)
			}
			if ch == nil {
				return
			}
			el := ours(t, *ch, "SAMLResponse", "their state", tt.to)
			if el.Tag != "LogoutResponse" || el.SelectAttrValue("InResponseTo", "") != "_l1" || strings.Contains(xmlOf(el), "planted") ||
				el.FindElement("./Status/StatusCode").SelectAttrValue("Value", "") != "urn:oasis:names:tc:SAML:2.0:status:"+tt.status {
				t.Errorf("%s", xmlOf(el))
			}
			if raw, err := hex.DecodeString(strings.TrimPrefix(el.SelectAttrValue("ID", ""), "id-")); err != nil || len(raw) != 16 {
				t.Errorf("ID %q", el.SelectAttrValue("ID", ""))
			}
		})
	}
}

// FuzzLogoutRedirect: no query panics, and none but a signed one is taken.
func FuzzLogoutRedirect(f *testing.F) {
	f.Add(logoutRequest().byRedirect(f).Query)
	f.Add(changed(logoutRequest(), func(x *farewell) { x.relay, x.plain = "", true }).byRedirect(f).Query)
	f.Add("SAMLRequest=&SigAlg=&Signature=")
	f.Add("SAMLRequest")
	sp := newSP(f, withSLO(), nil)
	f.Fuzz(func(t *testing.T, query string) { takes(t, sp, broker.LogoutMessage{Query: query}) })
}

// FuzzLogoutPost: no document panics, and none but a signed one is taken.
func FuzzLogoutPost(f *testing.F) {
	for _, x := range []farewell{logoutRequest(), changed(logoutRequest(), func(x *farewell) { x.plain = true })} {
		raw, err := base64.StdEncoding.DecodeString(x.byPost(f).Form.Get("SAMLRequest"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`<x`))
	sp := newSP(f, withSLO(), nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		takes(t, sp, broker.LogoutMessage{Form: url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(raw)}}})
	})
}

func takes(t *testing.T, sp *saml.ServiceProvider, m broker.LogoutMessage) {
	t.Helper()
	got, err := sp.ReceiveLogout(t.Context(), m)
	if err != nil && strings.Contains(err.Error(), "panicked") {
		t.Errorf("panic: %v", err)
	}
	if err == nil && (len(got.Sessions) != 1 || got.Sessions[0].NameID != "alice-0001" || got.RequestID != "_l1") {
		t.Errorf("taken: %+v", got)
	}
}
