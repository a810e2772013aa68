package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// TestCredentialsWorkUntilTheyExpire takes credentials from the API, uses them
// with aws-sdk-go-v2, and again with the same SDK's signer after their end.
func TestCredentialsWorkUntilTheyExpire(t *testing.T) {
	now := time.Now()
	clock := now
	double, err := aws.New(aws.Options{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	stsServer := httptest.NewServer(double.STS())
	t.Cleanup(stsServer.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	portal := "http://localhost:" + port

	var provider *idp.SAML
	idpServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { provider.Handler().ServeHTTP(w, r) }))
	t.Cleanup(idpServer.Close)
	if provider, err = idp.NewSAML(idp.SAMLOptions{BaseURL: idpServer.URL, People: idp.DemoPeople()}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "idp.xml"), provider.Metadata(), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(siteConfig, "https://sso.rolegate.test", portal, 1) + fmt.Sprintf("insecure_aws_endpoints: {sts: %q}\n", stsServer.URL)
	c, err := config.Parse(filepath.Join(dir, "rolegate.yaml"), []byte(text), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), c, server.Options{Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	web := &http.Server{Handler: s.Handler}
	go func() { _ = web.Serve(l) }()
	t.Cleanup(func() { _ = web.Close() })
	s.Refresh(t.Context())
	introduce(t, s, provider, double)

	b := newFormBrowser(t)
	must(t, b, b.Get(t.Context(), portal+"/signin/other"))
	must(t, b, b.Submit(t.Context(), formbrowser.Has("username"), map[string]string{"username": "bob", "password": "bob-demo"}))
	must(t, b, b.Submit(t.Context(), formbrowser.Has("SAMLResponse"), nil))
	f, ok := b.Find(formbrowser.Has("assignment"))
	if !ok {
		t.Fatalf("no role at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
	}
	creds := fetchCredentials(t, b, portal, f.Fields.Get("assignment"))

	client := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &stsServer.URL, RetryMaxAttempts: 1,
		Credentials: credentials.StaticCredentialsProvider{Value: creds}})
	out, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || awssdk.ToString(out.Arn) != "arn:aws:sts::111111111111:assumed-role/RolegateAdmin/bob@example.com" {
		t.Fatalf("%+v %v", out, err)
	}
	for _, tt := range []struct {
		at   time.Duration
		want string
	}{{14 * time.Minute, "assumed-role/RolegateAdmin/bob@example.com"}, {15 * time.Minute, "ExpiredToken"}} {
		clock = now.Add(tt.at)
		if got := callerAt(t, stsServer.URL, creds, clock); !strings.Contains(got, tt.want) {
			t.Errorf("after %s: %s", tt.at, got)
		}
	}
}

// introduce gives each side the other's metadata.
func introduce(t *testing.T, s *server.Server, provider *idp.SAML, double *aws.AWS) {
	t.Helper()
	sp, err := s.SAML["other"].Metadata()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := s.Issuer.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.RegisterSP(sp); err != nil {
		t.Fatal(err)
	}
	if err := double.PutSAMLMetadata("rolegate", ours); err != nil {
		t.Fatal(err)
	}
}

// fetchCredentials asks the API for 15 minutes of a role.
func fetchCredentials(t *testing.T, b *formbrowser.Browser, portal, assignment string) awssdk.Credentials {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, portal+"/api/v1/role-credentials",
		strings.NewReader(fmt.Sprintf(`{"assignment":%q,"duration_seconds":900}`, assignment)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, c := range b.Cookies(portal) {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
		SessionToken    string `json:"session_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	return awssdk.Credentials{AccessKeyID: got.AccessKeyID, SecretAccessKey: got.SecretAccessKey, SessionToken: got.SessionToken}
}

// callerAt calls GetCallerIdentity signed at a time of our choice.
func callerAt(t *testing.T, endpoint string, creds awssdk.Credentials, at time.Time) string {
	t.Helper()
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(sum[:]), "sts", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
