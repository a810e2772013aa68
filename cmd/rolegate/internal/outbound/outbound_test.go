package outbound_test

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/outbound"
)

// TestAddresses ensures which addresses can be reached, by configured and by
// other hosts. No packet leaves: what passes the guard is on loopback.
func TestAddresses(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, url string
		o         outbound.Options
		ok        bool
	}{
		{"loopback by configuration", srv.URL, outbound.Options{Configured: []string{srv.URL}}, true},
		{"loopback by allow", srv.URL, outbound.Options{Allow: []string{"127.0.0.1"}}, true},
		{"loopback learned", srv.URL, outbound.Options{}, false},
		{"loopback by another name", "http://localhost:" + port, outbound.Options{Configured: []string{srv.URL}}, false},
		{"IPv4 in IPv6", "http://[::ffff:127.0.0.1]:" + port, outbound.Options{}, false},
		{"private", "http://10.0.0.1:1", outbound.Options{}, false},
		{"carrier-grade NAT", "http://100.64.0.1:1", outbound.Options{}, false},
		{"metadata, even configured", "http://169.254.169.254", outbound.Options{Configured: []string{"http://169.254.169.254"}}, false},
		{"metadata IPv6, even configured", "http://[fd00:ec2::254]", outbound.Options{Configured: []string{"http://[fd00:ec2::254]"}}, false},
		{"unspecified, even configured", "http://0.0.0.0:" + port, outbound.Options{Configured: []string{"http://0.0.0.0"}}, false},
		{"mapped name", "http://idp.rolegate.test", outbound.Options{DialMap: map[string]string{"idp.rolegate.test": srv.Listener.Addr().String()}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := outbound.New(tt.o).Get(tt.url)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err == nil) != tt.ok || !tt.ok && !errors.Is(err, outbound.ErrAddress) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestRedirects ensures that a redirect stays on its host.
func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was reached") }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	}))
	defer srv.Close()
	c := outbound.New(outbound.Options{Configured: []string{srv.URL}})
	for path, ok := range map[string]bool{"/same": true, "/other": false, "/loop": false} {
		resp, err := c.Get(srv.URL + path)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestProxyOfTheEnvironment ensures that no proxy variable moves our traffic.
func TestProxyOfTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	resp, err := outbound.New(outbound.Options{DialMap: map[string]string{"x.test": srv.Listener.Addr().String()}}).Get("http://x.test/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// TestRoots ensures that only the given roots are trusted.
func TestRoots(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = nil
	defer srv.Close()
	good := x509.NewCertPool()
	good.AddCert(srv.Certificate())
	for ok, roots := range map[bool]*x509.CertPool{true: good, false: x509.NewCertPool()} {
		resp, err := outbound.New(outbound.Options{Configured: []string{srv.URL}, Roots: roots}).Get(srv.URL)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%t: %v", ok, err)
		}
	}
}
