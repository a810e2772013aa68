package oidc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker/oidc"
)

// TestFlatten ensures the shape that claims have for the mapper.
func TestFlatten(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	p.claims["realm_access"] = map[string]any{"roles": []string{"r1", "r2"}}
	p.claims["big"] = json.Number("9007199254740993")
	p.claims["flag"] = true
	p.claims["nothing"] = json.RawMessage("null")
	p.claims["mixed"] = []any{"a", map[string]any{"x": 1}, 2}
	p.claims["objects"] = []any{map[string]any{"groups": []string{"admin"}}}
	p.claims["empty"] = []any{}
	p.claims["hasgroups"] = true
	p.claims["_claim_names"] = map[string]any{"groups": "src1"}
	p.claims["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}}
	got, err := p.party(t, nil).Finish(t.Context(), request(), callback())
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string][]string{
		"realm_access.roles": {"r1", "r2"}, "big": {"9007199254740993"}, "flag": {"true"}, "nothing": nil,
		"mixed": nil, "objects": nil, "empty": {}, "_claim_names.groups": {"src1"}, "hasgroups": {"true"}, "email": {"alice@example.com"},
	} {
		if d := cmp.Diff(want, got.Claims[k]); d != "" {
			t.Errorf("%s: %s", k, d)
		}
	}
}

// TestFlattenRefused ensures the limits and that nothing has two meanings.
func TestFlattenRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"no object": `[]`, "null": `null`, "nothing": ``, "half": `{"a":`, "two values": `{} {}`, "rest": `{}x`,
		"name twice": `{"a":1,"a":2}`, "name twice, once null": `{"a":null,"a":2}`, "name twice, once objects": `{"a":[{}],"a":[]}`,
		"half a list": `{"a":[1`, "half of what is left out": `{"a":[[[`, "no comma": `{"a":1 "b":2}`,
		"list twice": `{"a":[1],"a":[2]}`,
	} {
		if got, _, err := oidc.Flatten([]byte(raw)); err == nil || got != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestFlattenLeavesOut ensures that a claim which is no list of texts is left
// out whole, that it is named, and that the others stay.
func TestFlattenLeavesOut(t *testing.T) {
	var many strings.Builder
	for n := range 600 {
		fmt.Fprintf(&many, `"c%d":1,`, n)
	}
	for _, tt := range []struct {
		name, raw string
		odd       []string // that Why has to know
		fine      []string // that it has not
	}{
		{"a list of objects", `"x":[{"name":"admin"},"a"]`, []string{"x", "x.name", "x.a.b"}, []string{"y", "xx"}},
		{"a list of lists", `"x":["a",["b"]]`, []string{"x"}, nil},
		{"an object", `"x":{"y":"z"}`, []string{"x"}, []string{"x.z", "x.y.z"}},
		{"an empty object", `"x":{}`, []string{"x"}, []string{"x.y"}},
		{"objects too deep", `"x":` + strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 50), []string{"x", "x.a.a.a.a", "x.a.a.a.a.a.a"}, []string{"x.b"}},
		{"lists too deep", `"x":` + strings.Repeat(`[`, 500) + strings.Repeat(`]`, 500), []string{"x", "x.y"}, nil},
		{"dotted twice", `"a.b":1,"a":{"b":2}`, []string{"a.b", "a"}, []string{"a.c"}},
		{"dotted twice, the other way round", `"a":{"b":2},"a.b":1`, []string{"a.b"}, nil},
		{"inside twice", `"a":{"b":1,"b":2}`, []string{"a.b"}, []string{"a.c"}},
		{"inside twice, once null", `"a":{"b":null,"b":2}`, []string{"a.b"}, nil},
		{"too many values", `"x":[` + strings.Repeat(`1,`, 20000) + `1]`, []string{"x"}, []string{"y"}},
		{"too many claims", strings.TrimSuffix(many.String(), ","), []string{"c599", "other"}, nil},
	} {
		got, odd, err := oidc.Flatten([]byte(`{"first":"1",` + tt.raw + `,"sub":"alice"}`))
		if err != nil || got.First("first") != "1" || got.First("sub") != "alice" {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
		for _, n := range tt.odd {
			if _, bad := odd.Why(n); !bad || got[n] != nil {
				t.Errorf("%s: %q is not left out and named: %v", tt.name, n, odd)
			}
		}
		for _, n := range tt.fine {
			if why, bad := odd.Why(n); bad {
				t.Errorf("%s: %q is %s", tt.name, n, why)
			}
		}
	}
}

// TestUserInfoUnder ensures that what the token says counts more, also where it
// cannot be read, and that an address goes with what was said of it.
func TestUserInfoUnder(t *testing.T) {
	for _, tt := range []struct {
		name        string
		token, info map[string]any
		want        map[string]string // "-" where it must be absent, "?" unreadable
	}{
		{"verified there, another address here", map[string]any{"email": "a@x"}, map[string]any{"email": "b@x", "email_verified": true}, map[string]string{"email": "a@x", "email_verified": "-"}},
		{"verified there, the same address", map[string]any{"email": "a@x"}, map[string]any{"email": "a@x", "email_verified": true}, map[string]string{"email": "a@x", "email_verified": "true"}},
		{"verified here, the address is there", map[string]any{"email": nil, "email_verified": true, "xms_edov": true}, map[string]any{"email": "b@x"}, map[string]string{"email": "b@x", "email_verified": "-", "xms_edov": "-"}},
		{"verified there without an address", map[string]any{"email": "a@x"}, map[string]any{"email_verified": true}, map[string]string{"email": "a@x", "email_verified": "-"}},
		{"all there", map[string]any{"email": nil}, map[string]any{"email": "b@x", "email_verified": true}, map[string]string{"email": "b@x", "email_verified": "true"}},
		{"not verified here, verified there", map[string]any{"email": "a@x", "email_verified": false}, map[string]any{"email": "a@x", "email_verified": true}, map[string]string{"email_verified": "false"}},
		{"address here unreadable", map[string]any{"email": []any{map[string]any{}}}, map[string]any{"email": "b@x", "email_verified": true}, map[string]string{"email": "?", "email_verified": "-"}},
		{"groups here unreadable", map[string]any{"groups": []any{map[string]any{"n": "a"}}}, map[string]any{"groups": []string{"admin"}, "groups.n": "a"}, map[string]string{"groups": "?", "groups.n": "?"}},
		{"groups there unreadable", map[string]any{"groups": []string{"g"}}, map[string]any{"groups": []any{map[string]any{}}}, map[string]string{"groups": "g"}},
		{"groups only there, unreadable", map[string]any{"groups": nil}, map[string]any{"groups": []any{map[string]any{}}}, map[string]string{"groups": "?"}},
	} {
		p := newOP(t)
		p.nonce = "nonce-1"
		for k, v := range tt.token {
			p.claims[k] = v
		}
		p.userinfo = map[string]any{"sub": "alice-1"}
		for k, v := range tt.info {
			p.userinfo[k] = v
		}
		got, err := p.party(t, func(c *oidc.Config) { c.UserInfo = true }).Finish(t.Context(), request(), callback())
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for k, want := range tt.want {
			have := got.Claims.First(k)
			if _, there := got.Claims[k]; !there {
				have = "-"
				if _, odd := got.Unreadable.Why(k); odd {
					have = "?"
				}
			}
			if have != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, k, have, want)
			}
		}
	}
}

// FuzzFlatten: what is accepted is a JSON object for encoding/json as well,
// with the same top-level scalars, within the limits.
func FuzzFlatten(f *testing.F) {
	f.Add([]byte(`{"sub":"a","groups":["x",1,true,null],"o":{"p":{"q":1e400}},"mixed":[1,{}]}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"a":[[[[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, odd, err := oidc.Flatten(raw)
		if err != nil {
			return
		}
		var peer map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&peer); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		for k, v := range peer {
			if _, left := odd.Why(k); left && got[k] == nil {
				continue
			}
			if s, ok := v.(string); ok && (len(got[k]) != 1 || got[k][0] != s) {
				t.Errorf("%q: %q and %q", k, got[k], s)
			}
		}
		if len(got) > 520 {
			t.Errorf("%d claims", len(got))
		}
	})
}

// FuzzCallback: no form panics or gets past state and code.
func FuzzCallback(f *testing.F) {
	p := newOP(f)
	p.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }
	rp := p.party(f, nil)
	if err := rp.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Add("code=a&state=state-1")
	f.Add("error=x&iss=&code=")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if _, err := rp.Finish(t.Context(), request(), form); err == nil {
			t.Errorf("%q accepted", query)
		}
	})
}
