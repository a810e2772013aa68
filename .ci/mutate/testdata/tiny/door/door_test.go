// Package door has the tests of gate that stand elsewhere.
package door

import (
	"testing"

	"example.com/tiny/gate"
)

func TestRead(t *testing.T) {
	if _, err := gate.Read("eve"); err == nil || err.Error() != "unknown" {
		t.Error(err)
	}
}
