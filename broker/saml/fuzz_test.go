package saml_test

import (
	"strings"
	"testing"
)

// FuzzResponse: no bytes panic, and none but a signed answer is accepted.
func FuzzResponse(f *testing.F) {
	f.Add(good().build(f))
	a := good()
	a.encrypt = sealed(sealing{bits: 256})
	f.Add(a.build(f))
	f.Add([]byte(`<x`))
	sp := newSP(f, metadata(idpKey()), nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := sp.Finish(t.Context(), request(), form(raw))
		if err == nil && got.Subject.ID != "alice-0001" {
			t.Errorf("%s accepted as %q", raw, got.Subject.ID)
		}
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Errorf("panic: %v", err)
		}
	})
}
