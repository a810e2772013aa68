package broker_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestLoopback ensures that only what cannot lead elsewhere counts as this
// machine.
func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.8.9.1": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "rolegate.localhost": false, "localhost.example.com": false, "localhost.": false, "10.0.0.1": false, "0.0.0.0": false,
		"::": false, "127.0.0.1.example.com": false, "127.1": false, "2130706433": false, "::ffff:10.0.0.1": false,
	} {
		if got := broker.Loopback(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

func TestParsePublicURL(t *testing.T) {
	for s, want := range map[string]string{ // to a part of the error, "" for none
		"https://sso.example.com": "", "https://sso.example.com/": "", "https://sso.example.com:8443": "", "http://localhost:8080": "",
		"http://127.0.0.1": "", "http://[::1]:8080": "",
		"":                               "it is missing",
		"sso.example.com":                "without a path",
		"https://":                       "without a path",
		"https://sso.example.com/x":      "without a path",
		"https://sso.example.com//":      "without a path",
		"https://sso.example.com?":       "without a path",
		"https://sso.example.com?x":      "without a path",
		"https://sso.example.com#x":      "without a path",
		"https://a:hunter2@example.com":  "without a path",
		"http://sso.example.com":         "must be https",
		"http://rolegate.localhost:8080": "must be https",
		"ftp://localhost":                "must be https",
	} {
		_, err := broker.ParsePublicURL(s)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

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

func TestProblems(t *testing.T) {
	var ps broker.Problems
	if ps.Err() != nil {
		t.Error("no problem is an error")
	}
	ps.Add("A", "is %d", 1)
	ps.Add("B[0]", "is wrong")
	ps.OneOf("C", "red", "red", "green")
	ps.OneOf("C", "gren", "red", "green")
	ps.OneOf("C", "", "red", "green")
	if err := ps.Err(); err == nil || err.Error() != "A: is 1\nB[0]: is wrong\nC: \"gren\" is not one of red, green (did you mean \"green\"?)\nC: \"\" is not one of red, green" {
		t.Errorf("%v", err)
	}
}

func TestProviderIDCheck(t *testing.T) {
	for id, fine := range map[broker.ProviderID]bool{"corp": true, "a": true, "0-9": true, "": false, "Corp": false, "a/b": false, "-a": false, "ä": false,
		broker.ProviderID(strings.Repeat("a", 63)): true, broker.ProviderID(strings.Repeat("a", 64)): false} {
		if err := id.Check(); (err == nil) != fine {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestPartitionCheck(t *testing.T) {
	for _, p := range broker.Partitions() {
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if err := broker.Partition("aws-moon").Check(); err == nil || err.Error() != `there is no partition "aws-moon": aws, aws-us-gov, aws-cn and aws-eusc are known` {
		t.Errorf("%v", err)
	}
}
