package broker_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

func TestProviderIDCheck(t *testing.T) {
	for id, fine := range map[broker.ProviderID]bool{"corp": true, "a": true, "0-9": true, "": false, "Corp": false, "a/b": false, "-a": false, "ä": false,
		broker.ProviderID(strings.Repeat("a", 63)): true, broker.ProviderID(strings.Repeat("a", 64)): false} {
		if err := id.Check(); (err == nil) != fine {
			t.Errorf("%q: %v", id, err)
		}
	}
}
