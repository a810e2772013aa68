package client

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zalando/go-keyring"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/internal/rolecache"
)

// Home is the folder of the command line's files:
//
//	key                 the key of the others, unless it is in the keyring
//	keyring             says that it is, and under which name
//	session             server, tokens and their times
//	credentials/NAME    cached role credentials
//	roles               names of the person's roles, for completion
//	*.lock              one process at a time
type Home struct {
	dir string
	key []byte
}

// keyringService names our entries in the operating system's keyring.
const keyringService = "rolegate"

const keyringFile = "keyring"

// openHome finds the folder; it makes nothing.
func openHome(env func(string) string) (*Home, error) {
	dir, err := rolecache.Dir(env)
	if err != nil {
		return nil, fmt.Errorf("client: no folder for our files (set ROLEGATE_HOME): %w", err)
	}
	return &Home{dir: dir}, nil
}

func (h *Home) path(name string) string { return filepath.Join(h.dir, name) }

// unlock reads the key. CodeUnauthenticated when there is none: nobody has
// signed in. CodeUnavailable when the keyring does not give it.
func (h *Home) unlock() error {
	if h.key != nil {
		return nil
	}
	if err := h.own(); err != nil {
		return err
	}
	account, err := os.ReadFile(h.path(keyringFile))
	if err == nil {
		text, err := keyring.Get(keyringService, strings.TrimSpace(string(account)))
		if errors.Is(err, keyring.ErrNotFound) {
			return errNotSignedIn.Because(err)
		}
		if err != nil {
			return broker.Errorf(broker.CodeUnavailable, "The keyring is locked or not running.").
				Fix("Unlock it, or sign in without --keyring.").Because(err)
		}
		h.key, err = rolecache.DecodeKey(text)
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("client: %w", err)
	}
	key, err := rolecache.ReadKey(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errNotSignedIn
	}
	if errors.Is(err, rolecache.ErrNotOwn) {
		return notOwn(err)
	}
	if err != nil {
		return fmt.Errorf("client: %s: %w", rolecache.KeyPath(h.dir), err)
	}
	h.key = key
	return nil
}

// own refuses a folder that others can write to: what is in it may be theirs, a
// link to something of the person's among it. One that is not there yet is fine.
func (h *Home) own() error {
	if err := rolecache.CheckDir(h.dir); errors.Is(err, rolecache.ErrNotOwn) {
		return notOwn(err)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

func notOwn(err error) error {
	return broker.Errorf(broker.CodeConflict, "The files of rolegate are open to other people, or not yours.").
		Fix("Use a folder of your own (chmod -R go= FOLDER, or ROLEGATE_HOME), and sign in again.").Because(err)
}

var errNotSignedIn = broker.Errorf(broker.CodeUnauthenticated, "You are not signed in.").Fix("Run: rolegate login")

// create makes the folder and a new key, which what was sealed before does not
// survive.
func (h *Home) create(inKeyring bool) error {
	if err := h.own(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(h.dir, "credentials"), 0o700); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	key := make([]byte, rolecache.KeySize)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("client: random: %w", err)
	}
	text := hex.EncodeToString(key)
	if !inKeyring {
		if err := writeFile(rolecache.KeyPath(h.dir), []byte(text+"\n"), 0o600); err != nil {
			return err
		}
		h.key = key
		return h.forgetKeyring()
	}
	// The name is the folder's: each has a key of its own.
	if err := keyring.Set(keyringService, h.dir, text); err != nil {
		return broker.Errorf(broker.CodeUnavailable, "The keyring is locked or not running.").
			Fix("Unlock it, or sign in without --keyring.").Because(err)
	}
	if err := writeFile(h.path(keyringFile), []byte(h.dir+"\n"), 0o600); err != nil {
		return err
	}
	h.key = key
	return remove(rolecache.KeyPath(h.dir))
}

func (h *Home) forgetKeyring() error {
	account, err := os.ReadFile(h.path(keyringFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	// A keyring that does not answer keeps a key that opens nothing any more.
	_ = keyring.Delete(keyringService, strings.TrimSpace(string(account)))
	return remove(h.path(keyringFile))
}

// forget removes everything but the locks, which others may wait on.
func (h *Home) forget() error {
	h.key = nil
	return errors.Join(
		h.forgetKeyring(), remove(rolecache.KeyPath(h.dir)), remove(h.path(sessionFile)), remove(h.path(namesFile)), h.forgetCredentials(),
	)
}

func (h *Home) forgetCredentials() error {
	if err := h.own(); err != nil { // credentials may lead elsewhere
		return err
	}
	entries, err := os.ReadDir(filepath.Join(h.dir, "credentials"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), lockSuffix) {
			errs = append(errs, remove(filepath.Join(h.dir, "credentials", e.Name())))
		}
	}
	return errors.Join(errs...)
}

func (h *Home) readSealed(name string) ([]byte, error) {
	if err := h.unlock(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(h.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotSignedIn
	}
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	plain, err := rolecache.Open(h.key, b, name)
	if err != nil {
		return nil, broker.Errorf(broker.CodeUnauthenticated, "The file %s was changed and cannot be read.", h.path(name)).
			Fix("Sign in again: rolegate login").Because(err)
	}
	return plain, nil
}

func (h *Home) writeSealed(name string, plain []byte) error {
	b, err := rolecache.Seal(h.key, plain, name)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return writeFile(h.path(name), b, 0o600)
}

// writeThrough is [writeFile] for a file that is the person's and not ours: where
// its name is a symbolic link, the target is replaced and the link stays.
func writeThrough(path string, b []byte, mode fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return writeFile(path, b, mode)
}

// writeFile replaces a file whole. A symbolic link of that name is replaced, and
// not followed.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".rolegate-*")
	if err != nil {
		return fmt.Errorf("client: cannot write beside %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(b)
	err = errors.Join(err, chmod(f, mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("client: write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}
