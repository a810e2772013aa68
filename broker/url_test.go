package broker_test

import (
	"fmt"
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
