package broker_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestRedactURL ensures that nothing that could be a secret is shown of an
// address, however it is mistyped.
func TestRedactURL(t *testing.T) {
	for s, want := range map[string]string{
		"https://idp.example.com/metadata":                           "https://idp.example.com/metadata",
		"https://svc:hunter2@idp.example.com/metadata?token=hunter2": "https://…@idp.example.com/metadata?…",
		"https://hunter2@idp.example.com":                            "https://…@idp.example.com",
		"https://idp.example.com#hunter2":                            "https://idp.example.com?…",
		"https://svc:hun/ter2@idp.example.com/":                      "https://…",
		"https://svc:hun?ter2@idp.example.com/":                      "https://…",
		"https://svc:hun%ter2@idp.example.com/":                      "https://…",
		"https://svc:hunter2 @idp.example.com":                       "https://…",
		"https:svc:hunter2@idp.example.com":                          "…",
		"svc:hunter2@idp.example.com/metadata":                       "…",
		"/svc@hunter2":                                               "…",
		"a b":                                                        "a b",
		"https://idp.example.com/a b":                                "https://idp.example.com/a b",
		"127.0.0.1:8080":                                             "127.0.0.1:8080",
		"mysql:x":                                                    "mysql:x",
		"":                                                           "",
		"postgres://u:hunter2@[::1]/d?password=hunter2&sslmode=prefer": "postgres://…@[::1]/d?…",
	} {
		if got := broker.RedactURL(s); got != want {
			t.Errorf("%q is shown as %q, want %q", s, got, want)
		}
	}
}

// TestRedactedError ensures that the errors of net/http show no secret of the
// address, and still are what they are.
func TestRedactedError(t *testing.T) {
	const address = "https://svc:hunter2@127.0.0.1:1/metadata?token=hunter2"
	resp, err := http.Get(address)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("something answered")
	}
	got := broker.RedactedError(err)
	if strings.Contains(got.Error(), "hunter2") || strings.Contains(got.Error(), "svc") || !strings.Contains(got.Error(), "127.0.0.1:1/metadata") {
		t.Error(got)
	}
	if errors.Unwrap(got).Error() != errors.Unwrap(err).Error() {
		t.Errorf("%v is not %v", got, err)
	}
	for _, s := range []string{"https://svc:hunter2@[", "https://svc:hunter2"} {
		_, err = url.Parse(s)
		if got := broker.RedactedError(err); err == nil || strings.Contains(got.Error(), "hunter2") {
			t.Error(got)
		}
	}
	if plain := errors.New("x"); !errors.Is(broker.RedactedError(plain), plain) || broker.RedactedError(nil) != nil {
		t.Error("another error is changed")
	}
}
