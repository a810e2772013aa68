package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// period of a TOTP code in seconds (RFC 6238 section 4.1).
const period = 30

// Person is somebody who can sign in.
type Person struct {
	Username   string
	Password   string
	Name       string
	Email      string
	Groups     []string
	TOTPSecret string // base32; "" means no second factor
	OnRequest  bool   // the second factor is asked for when the service wants one, and not otherwise
	Attributes map[string][]string
}

// DemoPeople returns the three people of the demo: an admin with a second
// factor, a developer, and one without any role. TOTP secrets are made afresh.
func DemoPeople() []Person {
	return []Person{
		{Username: "alice", Password: "alice-demo", Name: "Alice Admin", Email: "alice@example.com",
			Groups: []string{"aws-platform", "aws-production-Admin", "oncall"}, TOTPSecret: newSecret()},
		{Username: "bob", Password: "bob-demo", Name: "Bob Builder", Email: "bob@example.com",
			Groups: []string{"aws-developers", "aws-development-Developer"}},
		{Username: "carol", Password: "carol-demo", Name: "Carol Clerk", Email: "carol@example.com", Groups: []string{"staff"}},
	}
}

func newSecret() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // crypto/rand does not fail (Go 1.24)
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

// subject is the person's lasting, opaque identifier.
func (p Person) subject() string {
	sum := sha256.Sum256([]byte("demo:" + p.Username))
	return hex.EncodeToString(sum[:12])
}

// Code is the person's TOTP code at a time, "" without a second factor.
func (p Person) Code(at time.Time) string {
	if p.TOTPSecret == "" {
		return ""
	}
	code, err := totp.GenerateCode(p.TOTPSecret, at)
	if err != nil {
		return ""
	}
	return code
}

// directory checks passwords and codes.
type directory struct {
	people []Person
	now    func() time.Time

	mu   sync.Mutex
	used map[string]int64 // last TOTP time step by username
}

func newDirectory(people []Person, now func() time.Time) (*directory, error) {
	seen := map[string]bool{}
	for _, p := range people {
		if p.Username == "" || p.Password == "" || seen[p.Username] {
			return nil, fmt.Errorf("idp: person %q needs a username of their own and a password", p.Username)
		}
		seen[p.Username] = true
		if _, err := totp.GenerateCode(p.TOTPSecret, now()); p.TOTPSecret != "" && err != nil {
			return nil, fmt.Errorf("idp: TOTP secret of %q: %w", p.Username, err)
		}
	}
	return &directory{people: people, now: now, used: map[string]int64{}}, nil
}

func (d *directory) find(username string) (Person, bool) {
	for _, p := range d.people {
		if p.Username == username {
			return p, true
		}
	}
	return Person{}, false
}

func (d *directory) password(username, password string) (Person, bool) {
	p, ok := d.find(username)
	if !ok || subtle.ConstantTimeCompare([]byte(p.Password), []byte(password)) != 1 {
		return Person{}, false
	}
	return p, true
}

// offer is a code that would be accepted now, for the page: the present one, or
// the next when that is used up. Without one it says in how many seconds.
func (d *directory) offer(p Person) (code string, wait int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now().Unix()
	for step := now / period; step <= now/period+1; step++ {
		if d.used[p.Username] < step {
			return p.Code(time.Unix(step*period, 0)), 0
		}
	}
	return "", (d.used[p.Username])*period - now
}

// totp accepts a code of the present time step or a neighbour, each step once
// (RFC 6238 section 5.2).
func (d *directory) totp(p Person, code string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, shift := range []int64{0, -1, 1} {
		step := d.now().Unix()/period + shift
		if d.used[p.Username] >= step {
			continue
		}
		ok, err := totp.ValidateCustom(code, p.TOTPSecret, time.Unix(step*period, 0), totp.ValidateOpts{Period: period, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok {
			d.used[p.Username] = step
			return true
		}
	}
	return false
}
