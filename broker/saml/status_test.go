package saml_test

import (
	"strings"
	"testing"
)

// TestSetupIsTheMetadata ensures that what administrators are told to enter is
// what the metadata document says.
func TestSetupIsTheMetadata(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), nil)
	raw, err := sp.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	values := sp.Setup()
	if len(values) < 5 {
		t.Errorf("%d values", len(values))
	}
	for _, v := range values {
		if !strings.Contains(string(raw), v.Value) {
			t.Errorf("the metadata does not say %s %q", v.Name, v.Value)
		}
	}
}
