package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rolegate/rolegate/broker/issuer"
)

// kind says what may be done with a file by whom.
type kind int

const (
	public kind = iota // everybody may read it
	secret             // only its owner and group may
)

// Bits of a file's mode.
const (
	groupWrites  = 0o020
	othersWrite  = 0o002
	othersRead   = 0o004
	hasFileModes = runtime.GOOS != "windows"
)

// exposed says what is wrong with the mode of a file: who can change what we
// read can become anybody in AWS. What only its group could do to a public file
// is a warning: where each account has a group of its own, that is nobody else.
func exposed(m fs.FileMode, k kind) (problem, warning string) {
	perm := m.Perm()
	switch {
	case !hasFileModes || !m.IsRegular():
		return "", ""
	case perm&othersWrite != 0:
		return fmt.Sprintf("everybody may change this file (mode %04o): run chmod go-w on it", perm), ""
	case k == secret && perm&othersRead != 0:
		return fmt.Sprintf("everybody may read this secret (mode %04o): run chmod o-r on it, and replace the secret if somebody could have read it", perm), ""
	case perm&groupWrites == 0:
		return "", ""
	}
	text := fmt.Sprintf("the group of this file may change it (mode %04o): run chmod g-w on it", perm)
	if k == secret {
		return text, ""
	}
	return "", text
}

// file checks that a file that the key at path names is there, and its mode. It
// reports whether the file can be used. A detached configuration names none.
func (c *checker) file(path, name string, k kind) bool {
	if name == "" || c.detached {
		return false
	}
	info, err := os.Stat(c.Path(name))
	switch {
	case err != nil:
		c.bad(path, "%v", err)
		return false
	case info.IsDir():
		c.bad(path, "%s is a folder", c.Path(name))
		return false
	}
	problem, warning := exposed(info.Mode(), k)
	if warning != "" {
		c.warn(path, "%s: %s", c.Path(name), warning)
	}
	if problem != "" {
		c.bad(path, "%s: %s", c.Path(name), problem)
	}
	return problem == ""
}

// secretFile is [checker.file] for a secret, which must not be empty.
func (c *checker) secretFile(path, name string) {
	if !c.file(path, name, secret) {
		return
	}
	if _, err := c.secret("", "it", name); err != nil {
		c.bad(path, "%v", err)
	}
}

func (c *checker) tls() {
	t := c.TLS
	if t == nil {
		return
	}
	if t.CertFile == "" || t.KeyFile == "" {
		c.bad("tls", "cert_file and key_file are both needed")
		return
	}
	certificate, key := c.file("tls.cert_file", t.CertFile, public), c.file("tls.key_file", t.KeyFile, secret)
	if !certificate || !key {
		return
	}
	if _, err := tls.LoadX509KeyPair(c.Path(t.CertFile), c.Path(t.KeyFile)); err != nil {
		c.bad("tls", "%s", strings.TrimPrefix(err.Error(), "tls: "))
	}
}

// keys looks at the keys, if there are any: those of a first start are made when
// everything else is whole.
func (c *checker) keys() {
	if c.detached {
		return
	}
	held, err := issuer.CheckKeys(c.Path(c.Keys.Dir))
	switch {
	case err != nil:
		c.bad("keys.dir", "%s", plain(err))
	case !held && c.SharedStore():
		c.warn("keys.dir", "there are no keys in %s yet, and nodes that share a store make none: run rolegate keys new, or copy the folder of another node", c.Path(c.Keys.Dir))
	}
}

// storeFile checks that a database can be where the file says.
func (c *checker) storeFile() {
	path := c.StoreFile()
	if path == "" || c.detached {
		return
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		c.bad("store", "%v: make the folder, or name another one", err)
		return
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		c.bad("store", "%s is not a regular file", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.bad("store", "%v", err)
	}
}
