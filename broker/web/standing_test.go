package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	webadmin "github.com/rolegate/rolegate/broker/web/admin"
)

// TestDownIsSaidBeforeAnybodyClicks ensures that the chooser names the identity
// provider that does not answer, that one only, and still leads to it.
func TestDownIsSaidBeforeAnybodyClicks(t *testing.T) {
	h := newHouse(t)
	if a := h.get("/signin").want(t, http.StatusOK); strings.Contains(a.body, "does not answer") {
		t.Error("a provider that answers is called down")
	}
	h.saml.beginErr = errors.New("planted-cause")
	a := h.get("/signin").want(t, http.StatusOK, "Okta does not answer at the moment.", `href="/signin/okta" aria-describedby="down-0"`, `id="down-0"`)
	if strings.Count(a.body, "does not answer") != 1 || strings.Contains(a.body, "planted-cause") {
		t.Errorf("the chooser says\n%s", a.body)
	}
}

// TestHealthSaysWhatIsOutOfReach ensures that the administrators' page has since when
// a provider is down and why, what is left out of its documents, bounded, and a
// configuration that was refused.
func TestHealthSaysWhatIsOutOfReach(t *testing.T) {
	h := newHouse(t)
	h.aws.admin, h.mfa = true, true
	h.signIn()
	a := h.get("/admin").want(t, http.StatusOK, "Up since", "8:00 UTC")
	for _, no := range []string{"Down since", "Left out", "is not in use"} {
		if strings.Contains(a.body, no) {
			t.Errorf("without a problem the page says %q", no)
		}
	}
	h.saml.beginErr = errors.New("dial tcp 192.0.2.1:443: connect: connection refused")
	for i := range 30 {
		h.saml.leftOut = append(h.saml.leftOut, fmt.Sprintf("key %d: too weak\u202e%s", i, strings.Repeat("x", 5000)))
	}
	h.refused = &webadmin.Refused{At: h.clock.Add(-time.Hour), Trigger: "file", Problems: []string{"rolegate.yaml:7: rules[0].when: it is not understood"}, More: 3}
	a = h.get("/admin").want(t, http.StatusOK, "Does not answer", "Down since", "connection refused", "Left out (30)", "key 0: too weak", "and 20 more",
		"The configuration in the file is not in use", "a change of the file", "rolegate.yaml:7: rules[0].when", "3, which the log has")
	if strings.Contains(a.body, "key 10:") || strings.Contains(a.body, strings.Repeat("x", 300)) || strings.Contains(a.body, "\u202e") {
		t.Error("what is left out is neither bounded nor made visible")
	}
}
