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
		"name twice": `{"a":1,"a":2}`, "dotted twice": `{"a.b":1,"a":{"b":2}}`, "inside twice": `{"a":{"b":1,"b":2}}`,
		"too deep":          strings.Repeat(`{"a":`, 6) + `1` + strings.Repeat(`}`, 6),
		"too deep in lists": `{"a":` + strings.Repeat(`[`, 6) + strings.Repeat(`]`, 6) + `}`,
		"too many values":   `{"a":[` + strings.Repeat(`1,`, 20000) + `1]}`,
		"too many claims": func() string {
			var b strings.Builder
			for n := range 501 {
				fmt.Fprintf(&b, `,"c%d":1`, n)
			}
			return "{" + b.String()[1:] + "}"
		}(),
	} {
		if got, err := oidc.Flatten([]byte(raw)); err == nil || got != nil {
			t.Errorf("%s: accepted", name)
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
		got, err := oidc.Flatten(raw)
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
			if s, ok := v.(string); ok && (len(got[k]) != 1 || got[k][0] != s) {
				t.Errorf("%q: %q and %q", k, got[k], s)
			}
		}
		if len(got) > 500 {
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
