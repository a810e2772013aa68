package issuer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/issuer"
)

// Nodes with copies of one folder lack nothing; one rotation ahead lacks
// nothing and the others lack the new keys; another folder lacks all.
func TestHoldingLacks(t *testing.T) {
	open := func(dir string) *issuer.Keys {
		t.Helper()
		k, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	dir := t.TempDir()
	first, copied, stranger := open(filepath.Join(dir, "a")), filepath.Join(dir, "copy"), open(filepath.Join(dir, "b"))
	copyKeys(t, copied, filepath.Join(dir, "a"))
	same := open(copied)
	if l := slices.Concat(first.Holding().Lacks(same.Holding()), same.Holding().Lacks(first.Holding())); len(l) > 0 {
		t.Errorf("copies lack %v", l)
	}
	if l := stranger.Holding().Lacks(first.Holding()); len(l) != 9 {
		t.Errorf("another folder lacks %v, want two of four purposes and the data key", l)
	}
	for _, p := range []issuer.Purpose{issuer.AWSSAML, issuer.AWSOIDC, issuer.SPSigning, issuer.SPEncryption, issuer.Data} {
		before := first.Holding()
		if err := same.Rotate(p); err != nil {
			t.Fatal(err)
		}
		ahead := open(copied).Holding()
		if l := ahead.Lacks(before); len(l) > 0 {
			t.Errorf("%s: ahead, it lacks %v", p, l)
		}
		want := string(p) + "."
		if l := before.Lacks(ahead); len(l) != 1 || !strings.HasPrefix(l[0], want) {
			t.Errorf("%s: behind, it lacks %v", p, l)
		}
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		copyKeys(t, filepath.Join(dir, "a"), copied)
		first = open(filepath.Join(dir, "a"))
	}
	before := first.Holding()
	for range 2 {
		if err := same.Rotate(issuer.AWSOIDC); err != nil {
			t.Fatal(err)
		}
	}
	if l := same.Holding().Lacks(before); len(l) == 0 {
		t.Error("two rotations ahead lack nothing")
	}
}

// copyKeys copies a key folder, modes included.
func copyKeys(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(to, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
