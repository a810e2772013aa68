package issuer

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// indexFile names the active and the next key of each purpose.
const indexFile = "keys.yaml"

// index is the content of keys.yaml.
type index struct {
	Active map[Purpose]string `yaml:"active"`
	Next   map[Purpose]string `yaml:"next"`
}

// Keys are all keys of one installation, loaded from a folder. [Keys.Rotate] is
// for the command line: it must not run while others use the same Keys.
type Keys struct {
	dir   string
	now   func() time.Time
	index index
	all   map[Purpose][]Key
}

// OpenOptions steer [OpenKeys].
type OpenOptions struct {
	Create bool             // make all keys if the folder holds nothing yet
	Now    func() time.Time // nil: time.Now
}

// OpenKeys loads the keys of dir. A folder without keys is an error unless
// Create is set and nothing else is in it (README and .gitignore are). A folder
// that holds some keys but not all is always an error, because a silently made
// key would be a new identity that no account trusts. Key files that others may
// read are refused, as is a key that is not what its name says.
func OpenKeys(dir string, o OpenOptions) (*Keys, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keys{dir: dir, now: o.Now, index: index{map[Purpose]string{}, map[Purpose]string{}}, all: map[Purpose][]Key{}}
	names, others, err := keyFiles(dir)
	if err != nil {
		return nil, err
	}
	switch {
	case len(names) > 0:
		return k, k.load(names)
	case !o.Create:
		return nil, fmt.Errorf("issuer: no keys in %s: make them with `rolegate keys new`, or restore them from your backup", dir)
	case len(others) > 0:
		return nil, notEmpty(dir, others)
	}
	return k, k.create()
}

// CheckKeys reports whether dir holds keys, or why [OpenKeys] would refuse them
// or would make none there. It writes nothing.
func CheckKeys(dir string) (held bool, err error) {
	names, others, err := keyFiles(dir)
	switch {
	case err != nil:
		return false, err
	case len(names) > 0:
		_, err = OpenKeys(dir, OpenOptions{})
		return true, err
	case len(others) > 0:
		return false, notEmpty(dir, others)
	}
	return false, nil
}

func notEmpty(dir string, others []string) error {
	return fmt.Errorf("issuer: no keys in %s, and none are made because it is not empty (%s): name another folder or empty it", dir, strings.Join(others, ", "))
}

// keyFiles lists what is in dir: files of ours, and what keeps the folder from
// counting as empty. A folder that everybody may write to is refused.
func keyFiles(dir string) (names, others []string, err error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("issuer: key folder: %w", err)
	}
	if m := info.Mode(); m.Perm()&0o002 != 0 {
		return nil, nil, fmt.Errorf("issuer: everybody may put keys into %s (mode %04o): run chmod 700 on it", dir, m.Perm())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("issuer: read key folder: %w", err)
	}
	for _, e := range entries {
		switch n := e.Name(); {
		case n == indexFile, strings.HasSuffix(n, ".pem"):
			names = append(names, n)
		case n != ".gitignore" && n != "lost+found" && !strings.HasPrefix(n, "README"):
			others = append(others, n)
		}
	}
	return names, others, nil
}

func (k *Keys) create() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("issuer: make key folder: %w", err)
	}
	if err := os.Chmod(k.dir, 0o700); err != nil { //nolint:gosec // G302: a folder needs its x bit
		return fmt.Errorf("issuer: make key folder: %w", err)
	}
	for _, p := range purposes {
		if err := k.add(p, k.index.Active); err != nil {
			return err
		}
		if p.hasNext() {
			if err := k.add(p, k.index.Next); err != nil {
				return err
			}
		}
	}
	return k.writeIndex(k.index)
}

// add makes a key, writes its file and names it in role; the index on disk is
// written after the keys it names.
func (k *Keys) add(p Purpose, role map[Purpose]string) error {
	key, err := newKey(p, k.now())
	if err != nil {
		return err
	}
	b, err := encodeKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(k.dir, key.fileName()), b, os.O_EXCL); err != nil {
		return err
	}
	k.all[p] = append(k.all[p], key)
	role[p] = key.ID
	return nil
}

func writeFile(path string, b []byte, flag int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o600)
	if err != nil {
		return fmt.Errorf("issuer: write key folder: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("issuer: write key folder: %w", err)
	}
	return nil
}

// writeIndex writes aside and renames, so that a crash leaves the old index or
// the new one.
func (k *Keys) writeIndex(ix index) error {
	b, err := yaml.Marshal(ix)
	if err != nil {
		return fmt.Errorf("issuer: encode %s: %w", indexFile, err)
	}
	path := filepath.Join(k.dir, indexFile)
	if err := writeFile(path+".new", b, os.O_TRUNC); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("issuer: write %s: %w", indexFile, err)
	}
	return nil
}

// Rotate makes the next key of the purpose the active one and adds a fresh
// next; both are published. Run it only when IAM and the identity providers
// have had the keys published before it. The former key is removed, but for
// [SPEncryption], where it decrypts until the next rotation, and for [Data],
// where the fresh key seals at once and former ones open for ever. A crash in
// between leaves a working folder.
func (k *Keys) Rotate(p Purpose) error {
	if !slices.Contains(purposes, p) {
		return fmt.Errorf("issuer: there are no %q keys", p)
	}
	var drop []Key
	for _, x := range k.Held(p) {
		stays := p == Data || x.ID == k.index.Next[p] || x.ID == k.index.Active[p] && p.keepsFormer()
		if !stays {
			drop = append(drop, x)
		}
	}
	ix := index{maps.Clone(k.index.Active), maps.Clone(k.index.Next)}
	role := ix.Active
	if p.hasNext() {
		ix.Active[p] = ix.Next[p]
		role = ix.Next
	}
	if err := k.add(p, role); err != nil {
		return err
	}
	if err := k.writeIndex(ix); err != nil {
		return err
	}
	k.index = ix
	for _, x := range drop {
		if err := os.Remove(filepath.Join(k.dir, x.fileName())); err != nil {
			return fmt.Errorf("issuer: remove a former key: %w", err)
		}
		k.all[p] = slices.DeleteFunc(k.all[p], func(y Key) bool { return y.ID == x.ID })
	}
	return nil
}

// Active returns the key that signs, or seals.
func (k *Keys) Active(p Purpose) Key { return k.find(p, k.index.Active[p]) }

// Published returns the active key first, then the next.
func (k *Keys) Published(p Purpose) []Key {
	out := []Key{k.Active(p)}
	if p.hasNext() {
		out = append(out, k.find(p, k.index.Next[p]))
	}
	return out
}

// Held returns the published keys and after them the former ones that still
// decrypt or open.
func (k *Keys) Held(p Purpose) []Key {
	out := k.Published(p)
	for _, x := range k.all[p] {
		if x.ID != k.index.Active[p] && x.ID != k.index.Next[p] {
			out = append(out, x)
		}
	}
	return out
}

func (k *Keys) find(p Purpose, id string) Key {
	i := slices.IndexFunc(k.all[p], func(x Key) bool { return x.ID == id })
	if i < 0 {
		return Key{}
	}
	return k.all[p][i]
}

func (k *Keys) load(names []string) error {
	if info, err := os.Stat(filepath.Join(k.dir, indexFile)); err == nil && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("issuer: %s in %s may be changed by others (mode %04o), who could choose the key that signs: run chmod 600 on it", indexFile, k.dir, info.Mode().Perm())
	}
	b, err := os.ReadFile(filepath.Join(k.dir, indexFile))
	if err != nil {
		return fmt.Errorf("issuer: %s holds keys but no readable %s, which names the active ones: restore it from your backup; if this is a first start that broke off, empty the folder: %w", k.dir, indexFile, err)
	}
	if err := yaml.Load(b, &k.index, yaml.WithKnownFields()); err != nil {
		return fmt.Errorf("issuer: %s: %w", indexFile, err)
	}
	used := map[string]string{}
	for _, name := range names {
		if name == indexFile {
			continue
		}
		key, err := readKey(k.dir, name)
		if err != nil {
			return err
		}
		if other, ok := used[key.ID]; ok {
			return fmt.Errorf("issuer: %s and %s hold the same key, which may serve one purpose only: restore the right file", other, name)
		}
		used[key.ID] = name
		k.all[key.Purpose] = append(k.all[key.Purpose], key)
	}
	for _, p := range purposes {
		wanted := []struct{ role, id string }{{"active", k.index.Active[p]}}
		if p.hasNext() {
			wanted = append(wanted, struct{ role, id string }{"next", k.index.Next[p]})
		}
		for _, w := range wanted {
			role, id := w.role, w.id
			if id == "" {
				return fmt.Errorf("issuer: %s names no %s %s key: restore it from your backup", indexFile, role, p)
			}
			if k.find(p, id).ID == "" {
				return fmt.Errorf("issuer: the %s %s key is missing in %s: restore %s.%s.pem from your backup; nothing trusts or opens with a new one", role, p, k.dir, p, id)
			}
		}
		if p.hasNext() && k.index.Next[p] == k.index.Active[p] {
			return fmt.Errorf("issuer: %s names one %s key as active and next: restore it from your backup", indexFile, p)
		}
	}
	return nil
}
