package rolecache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// KeySize is the length of a key.
const KeySize = 32

const keyFile = "key"

var (
	errKey    = errors.New("the key file does not hold a key")
	errSealed = errors.New("the file does not open with this key: it was changed or belongs to another")
)

// Dir is the folder of the command line's files: ROLEGATE_HOME, or rolegate in
// the person's configuration folder.
func Dir(env func(string) string) (string, error) {
	if d := env("ROLEGATE_HOME"); d != "" {
		return filepath.Abs(d)
	}
	d, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(d, "rolegate"), nil
}

// ReadKey returns the key beside the files. It is an error that is
// [io/fs.ErrNotExist] when there is none: nobody has signed in, or the key is in
// the keyring. One that is [ErrNotOwn] when others could have changed or read
// what is there.
func ReadKey(dir string) ([]byte, error) {
	if err := CheckDir(dir); err != nil {
		return nil, err
	}
	if err := checkKey(filepath.Join(dir, keyFile)); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	return DecodeKey(string(b))
}

// DecodeKey reads a key's text.
func DecodeKey(s string) ([]byte, error) {
	key, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(key) != KeySize {
		return nil, errKey
	}
	return key, nil
}

// KeyPath is where the key is.
func KeyPath(dir string) string { return filepath.Join(dir, keyFile) }

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal encrypts plain, bound to a name.
func Seal(key, plain []byte, name string) ([]byte, error) {
	a, err := aead(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, a.NonceSize(), a.NonceSize()+len(plain)+a.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return a.Seal(nonce, nonce, plain, []byte(name)), nil
}

// Open decrypts what Seal made under the same name.
func Open(key, sealed []byte, name string) ([]byte, error) {
	a, err := aead(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < a.NonceSize() {
		return nil, errSealed
	}
	plain, err := a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], []byte(name))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// Entry is cached credentials: what credential_process prints, ready to write.
type Entry struct {
	Issued, Expires time.Time
	Output          []byte
}

// margin is how long before their end credentials are fetched anew: AWS's own
// clients ask again in the last quarter of an hour.
const margin = 15 * time.Minute

// Fresh reports whether the entry is good without asking the server: not in its
// last 15 minutes, nor in the last quarter of a short life.
func (e Entry) Fresh(now time.Time) bool {
	return now.Add(min(margin, e.Expires.Sub(e.Issued)/4)).Before(e.Expires) && !now.Before(e.Issued.Add(-margin))
}

// Usable reports whether AWS still takes the entry, for when the server cannot
// be reached.
func (e Entry) Usable(now time.Time) bool { return now.Add(time.Minute).Before(e.Expires) }

// Name is the file of an account, role and duration as they were asked for.
func Name(account, role, duration string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(account) + "\x00" + strings.ToLower(role) + "\x00" + duration))
	return hex.EncodeToString(sum[:16])
}

// Path is where an entry is.
func Path(dir, name string) string { return filepath.Join(dir, "credentials", name) }

const head = 16

// Encode seals an entry for its file.
func Encode(key []byte, e Entry, name string) ([]byte, error) {
	b := make([]byte, head, head+len(e.Output))
	binary.BigEndian.PutUint64(b, uint64(e.Issued.Unix()))      //nolint:gosec // G115: times after 1970
	binary.BigEndian.PutUint64(b[8:], uint64(e.Expires.Unix())) //nolint:gosec // G115: times after 1970
	return Seal(key, append(b, e.Output...), name)
}

// Read returns an entry; an error that is [io/fs.ErrNotExist] when there is none.
func Read(dir string, key []byte, name string) (Entry, error) {
	sealed, err := os.ReadFile(Path(dir, name))
	if err != nil {
		return Entry{}, err
	}
	b, err := Open(key, sealed, name)
	if err != nil {
		return Entry{}, err
	}
	if len(b) < head {
		return Entry{}, errSealed
	}
	return Entry{
		Issued:  time.Unix(int64(binary.BigEndian.Uint64(b)), 0),     //nolint:gosec // G115: as written above
		Expires: time.Unix(int64(binary.BigEndian.Uint64(b[8:])), 0), //nolint:gosec // G115: as written above
		Output:  b[head:],
	}, nil
}
