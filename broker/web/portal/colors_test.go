package portal_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/rolegate/rolegate/broker/web/portal"
)

// TestColors ensures that the colours that accounts can have are those that the
// style sheet has a shade of.
func TestColors(t *testing.T) {
	css, err := os.ReadFile("../../../static/rolegate.css")
	if err != nil {
		t.Fatal(err)
	}
	var shades []string
	for _, m := range regexp.MustCompile(`(?m)^\.stripe \[fill=([a-z]+) i\]`).FindAllSubmatch(css, -1) {
		shades = append(shades, string(m[1]))
	}
	if !slices.Equal(shades, portal.Colors()) {
		t.Errorf("the pages know %v, the style sheet %v", portal.Colors(), shades)
	}
}
