package federation_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/federation"
)

// TestProxyInFrontOfSTS ensures that an answer which is none of STS's is not
// taken for one, whatever it is.
func TestProxyInFrontOfSTS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
	}{
		{"a proxy that wants a password", 407, "<html><body>Proxy Authentication Required</body></html>"},
		{"the same without a body", 407, ""},
		{"a proxy that forbids", 403, "<!doctype html><p>Blocked & logged<br>"},
		{"a proxy's JSON", 403, `{"error":"blocked"}`},
		{"a captive portal", 200, "<!doctype html><title>Welcome to the guest network</title>"},
		{"an XML of somebody else", 403, "<Error><Code></Code></Error>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := newSTS(t, func(url.Values) (int, string) { return tt.status, tt.body })
			_, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(broker.ViaSAML))
			want := fmt.Sprintf("Something between rolegate and AWS answered in the place of STS (HTTP status %d).", tt.status)
			if broker.CodeOf(err) != broker.CodeUnavailable || broker.Message(err) != want || broker.Remedy(err) == "" {
				t.Errorf("%s %q: %v", broker.CodeOf(err), broker.Message(err), err)
			}
		})
	}
}

// TestTroubleOfSTS ensures that trouble at AWS's own end is not put down to
// something in between.
func TestTroubleOfSTS(t *testing.T) {
	silent := httptest.NewServer(http.NotFoundHandler())
	silent.Close()
	says := func(status int) string {
		addr, _ := newSTS(t, func(url.Values) (int, string) { return status, "<html>planted</html>" })
		return addr
	}
	for _, tt := range []struct{ name, addr, want string }{
		{"no answer at all", silent.URL, "AWS does not answer."},
		{"a page with status 500", says(500), "AWS has a problem."},
		{"a page with status 502", says(502), "AWS has a problem."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newFederation(t, federation.InsecureEndpoints{STS: tt.addr}).AssumeRole(t.Context(), call(broker.ViaSAML))
			if broker.CodeOf(err) != broker.CodeUnavailable || broker.Message(err) != tt.want {
				t.Errorf("%s %q: %v", broker.CodeOf(err), broker.Message(err), err)
			}
		})
	}
}
