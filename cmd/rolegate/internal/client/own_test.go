//go:build unix

package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/internal/rolecache"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

// planted is a computer on which somebody was at the folder of our files before.
type planted struct {
	t             *testing.T
	c             *client.Client
	login         func() error
	dir, precious string
}

const treasure = "precious"

func newPlanted(t *testing.T) planted {
	t.Helper()
	s := newServer(t, time.Now)
	root := t.TempDir()
	p := planted{t: t, dir: filepath.Join(root, "home"), precious: filepath.Join(root, "precious.txt")}
	p.write(p.precious, 0o600)
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Env: func(name string) string { return map[string]string{"ROLEGATE_HOME": p.dir}[name] }})
	if err != nil {
		t.Fatal(err)
	}
	p.c = c
	p.login = func() error {
		_, _, err := c.Login(t.Context(), client.Login{Server: s.URL, Way: client.PasteBack, Show: func(string, string) {}, Paste: func() (string, error) { return "code", nil }})
		return err
	}
	return p
}

func (p planted) write(path string, mode os.FileMode) {
	p.t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(treasure), mode), os.Chmod(path, mode)); err != nil {
		p.t.Fatal(err)
	}
}

func (p planted) link(name, to string) {
	p.t.Helper()
	if err := os.Symlink(to, filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

func (p planted) chmod(path string, mode os.FileMode) {
	p.t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		p.t.Fatal(err)
	}
}

func (p planted) untouched(path string) {
	p.t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != treasure {
		p.t.Errorf("%s holds %q (%v)", path, b, err)
	}
}

// TestAttackPlantedLinks ensures that nothing is written, made or removed behind
// a link that somebody put among our files.
func TestAttackPlantedLinks(t *testing.T) {
	for _, name := range []string{"session", "key", "roles", "keyring"} {
		t.Run(name, func(t *testing.T) {
			p := newPlanted(t)
			p.link(name, p.precious)
			if err := p.login(); err != nil {
				t.Fatal(err)
			}
			p.untouched(p.precious)
			if _, err := p.c.Server(); err != nil {
				t.Errorf("the sign-in is not kept: %v", err)
			}
			if err := p.c.Logout(t.Context()); err != nil {
				t.Error(err)
			}
			p.untouched(p.precious)
		})
	}
	t.Run("a lock", func(t *testing.T) {
		p := newPlanted(t)
		p.link("session.lock", filepath.Join(p.dir, "made"))
		if err := p.login(); err == nil {
			t.Error("signed in")
		}
		if _, err := os.Lstat(filepath.Join(p.dir, "made")); err == nil {
			t.Error("a file was made behind the link")
		}
	})
	t.Run("the folder of credentials", func(t *testing.T) {
		p := newPlanted(t)
		p.link("credentials", filepath.Dir(p.precious))
		if err := p.login(); broker.CodeOf(err) != broker.CodeConflict {
			t.Error(err)
		}
		_ = p.c.Logout(t.Context())
		p.untouched(p.precious)
	})
}

// TestAttackFolderOfOthers ensures that a folder which others can write to, or a
// key that they can read, is not used, by either program.
func TestAttackFolderOfOthers(t *testing.T) {
	for _, mode := range []os.FileMode{0o777, 0o770, 0o720, 0o702, 0o777 | os.ModeSticky} {
		p := newPlanted(t)
		p.chmod(p.dir, mode)
		if err := p.login(); broker.CodeOf(err) != broker.CodeConflict || broker.Remedy(err) == "" {
			t.Errorf("%s: %v", mode, err)
		}
		p.chmod(p.dir, 0o755)
		if err := p.login(); err != nil {
			t.Errorf("a folder that others can read: %v", err)
		}
		p.chmod(p.dir, mode)
		if _, err := p.c.Server(); broker.CodeOf(err) != broker.CodeConflict {
			again, newErr := client.New(client.Config{Env: func(string) string { return p.dir }})
			if newErr != nil {
				t.Fatal(newErr)
			}
			if _, err = again.Server(); broker.CodeOf(err) != broker.CodeConflict {
				t.Errorf("%s after the sign-in: %v", mode, err)
			}
		}
		if _, err := rolecache.ReadKey(p.dir); !errors.Is(err, rolecache.ErrNotOwn) {
			t.Errorf("%s: the small program reads the key: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620} {
		p := newPlanted(t)
		if err := p.login(); err != nil {
			t.Fatal(err)
		}
		p.chmod(filepath.Join(p.dir, "key"), mode)
		if _, err := rolecache.ReadKey(p.dir); !errors.Is(err, rolecache.ErrNotOwn) {
			t.Errorf("a key of mode %s: %v", mode, err)
		}
		if err := p.login(); err != nil {
			t.Errorf("signing in does not make a new key: %v", err)
		}
		if _, err := rolecache.ReadKey(p.dir); err != nil {
			t.Errorf("after signing in again: %v", err)
		}
	}
}

// TestAttackPlantedBackup ensures that the AWS config file may be a link of the
// person's, and that the copy beside it follows none.
func TestAttackPlantedBackup(t *testing.T) {
	p := newPlanted(t)
	target, path := filepath.Join(p.dir, "dotfiles"), filepath.Join(p.dir, "config")
	p.write(target, 0o600)
	p.link("config", target)
	p.link("config.rolegate-backup", p.precious)
	c, err := client.Profiles{Path: path, Region: "r", Program: []string{"/bin/x"}}.Plan(roles("prod/Admin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(); err != nil {
		t.Fatal(err)
	}
	p.untouched(p.precious)
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link of the person is gone", err)
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != string(c.After()) {
		t.Errorf("%q (%v)", b, err)
	}
}
