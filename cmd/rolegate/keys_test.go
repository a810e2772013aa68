package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// TestExportedKeysVerify ensures that an OIDC library which sees nothing but the
// exported files accepts what rolegate signs, also after a rotation with the files
// of before, and after the next one only with new files.
func TestExportedKeysVerify(t *testing.T) {
	files, err := txtar.ParseFile("testdata/keys.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := txtar.Write(files, dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	env := func(string) string { return "" }
	rolegate := func(args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), append(args, "-c", "issuer.yaml"), env, strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs.String())
		}
	}
	sign := func() string {
		t.Helper()
		c, err := config.Load("issuer.yaml", env)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := openKeys(c, false)
		if err != nil {
			t.Fatal(err)
		}
		i, err := server.NewIssuer(c, keys)
		if err != nil {
			t.Fatal(err)
		}
		a, err := i.Assert(t.Context(), broker.AssertionRequest{
			Via: broker.ViaOIDC, Subject: broker.Subject{Provider: "corp", ID: "alice-1"}, RoleARN: "arn:aws:iam::111122223333:role/Admin",
			Account:     broker.Account{ID: "111122223333", Partition: broker.PartitionAWS},
			ProviderARN: "arn:aws:iam::111122223333:oidc-provider/issuer.example.com", SessionName: "alice", SourceIdentity: "alice", Duration: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		return a.Raw.Reveal()
	}
	verify := func(token string) error {
		t.Helper()
		files := http.NewFileTransport(http.Dir("public")) // the host that serves them, whatever its name
		ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: files})
		p, err := oidc.NewProvider(ctx, "https://issuer.example.com")
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.VerifierContext(ctx, &oidc.Config{ClientID: "sts.amazonaws.com"}).Verify(ctx, token)
		return err
	}
	rolegate("keys", "new")
	rolegate("keys", "export", "--dir", "public")
	if err := verify(sign()); err != nil {
		t.Error(err)
	}
	rolegate("keys", "rotate", "aws-oidc")
	if err := verify(sign()); err != nil {
		t.Error("after a rotation, with the files of before:", err)
	}
	rolegate("keys", "rotate", "aws-oidc")
	if verify(sign()) == nil {
		t.Error("a key that is not in the files verifies")
	}
	rolegate("keys", "export", "--dir", "public")
	if err := verify(sign()); err != nil {
		t.Error("after another export:", err)
	}
}
