package e2e_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/templates"
)

// pictures names, for each template, the pictures in which its states are
// looked at.
var pictures = map[string][]string{
	"access":         {"access", "access-role"},
	"admin-audit":    {"admin-audit"},
	"admin-explain":  {"admin-explain"},
	"admin-overview": {"admin-health"},
	"admin-sessions": {"admin-sessions"},
	"admin-setup":    {"admin-setup"},
	"admin-simulate": {"admin-simulate", "admin-simulate-wrong"},
	"admin-traces":   {"admin-traces", "admin-trace"},
	"arrive":         {"arrive"},
	"authorize":      {"authorize", "authorize-paste"},
	"continue":       {"continue"},
	"credentials":    {"credentials", "credentials-shown"},
	"device":         {"device", "device-wrong", "device-confirm", "device-approved", "device-denied", "device-expired"},
	"enrol":          {"mfa-enrol"},
	"enrolcode":      {"mfa-app"},
	"error":          {"denied", "denied-groups", "not-found", "not-signed-in", "too-many-tries", "unavailable", "aws-refuses", "mfa-needed", "admin-only"},
	"factor":         {"mfa-use", "mfa-use-wrong"},
	"go":             {"go"},
	"noroles":        {"no-roles"},
	"paste":          {"paste"},
	"portal":         {"portal", "portal-shelf", "portal-search", "portal-grouped", "portal-empty", "portal-long", "portal-many"},
	"post":           {"post-signout"},
	"recovery":       {"mfa-recovery"},
	"security":       {"mfa-security", "mfa-nothing"},
	"sessions":       {"sessions", "sessions-alone"},
	"signedout":      {"signed-out", "signed-out-confirmed", "signed-out-unreachable", "signed-out-asked"},
	"signin":         {"signin", "signin-wrong"},

	"": {"callback", "callback-refused"}, // what the command line shows in the browser
}

// TestBrowserPages looks at every page that there is in a real browser: each
// journey takes pictures of what it passes, in four views, with axe-core on
// each. A template without a picture, or with a picture that shows something
// else, is an error.
func TestBrowserPages(t *testing.T) {
	need(t, "ROLEGATE_TEST_CHROMIUM")
	journeys := []struct {
		name string
		run  func(*testing.T)
	}{
		{"SAML", browserSAML},
		{"shelf", browserShelf},
		{"own factor", browserOwnFactor},
		{"step-up at the provider", browserStepUpAtProvider},
		{"administrator", browserAdmin},
		{"command line", browserCommandLine},
		{"refusals", browserRefusals},
		{"other providers", browserOtherProviders},
		{"signed out", browserSignedOut},
		{"many roles", browserManyRoles},
	}
	ran := 0
	for _, j := range journeys {
		t.Run(j.name, func(t *testing.T) {
			ran++
			j.run(t)
		})
	}
	if ran < len(journeys) {
		t.Logf("%d of %d journeys were asked for: whether every template has its pictures is not checked", ran, len(journeys))
		return
	}
	files, err := fs.Glob(templates.FS, "*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(f, ".html"); name != "layout" && len(pictures[name]) == 0 {
			t.Errorf("the page %s has no picture", name)
		}
	}
	for template, names := range pictures {
		if template != "" && !slices.Contains(files, template+".html") {
			t.Errorf("there is no template %s", template)
		}
		for _, name := range names {
			if shown, ok := gallery[name]; !ok {
				t.Errorf("no journey takes the picture %s of the page %q", name, template)
			} else if shown != template {
				t.Errorf("the picture %s shows the page %q, not %q", name, shown, template)
			}
		}
	}
}
