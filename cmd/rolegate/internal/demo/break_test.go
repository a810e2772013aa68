package demo

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
)

// TestCheckSeesABrokenDouble ensures that the self-check fails, by name, when
// one check of the double is not made, and prints a refusal for each otherwise.
func TestCheckSeesABrokenDouble(t *testing.T) {
	for _, id := range []string{"", "saml.signature", "web.audience", "call.denied"} {
		t.Run("without "+id, func(t *testing.T) {
			o := Options{Listen: "localhost:0", Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
			if id != "" {
				o.SwitchOff = []string{id}
			}
			d, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}()
			var out bytes.Buffer
			if err := d.Check(t.Context(), &out); (err != nil) != (id != "") {
				t.Errorf("%v\n%s", err, out.String())
			}
			for _, c := range aws.Checks() {
				want := "refused by AWS, " + c.ID + ": "
				if c.ID == id {
					want = "FAILED  by AWS, " + c.ID + ": "
				}
				if strings.Count(out.String(), want) != 1 {
					t.Errorf("there is no line %q", want)
				}
			}
		})
	}
}
