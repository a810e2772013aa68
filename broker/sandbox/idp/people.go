package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// Person is somebody who can sign in.
type Person struct {
	Username   string
	Password   string
	Name       string
	Email      string
	Groups     []string
	TOTPSecret string // base32; "" means no second factor
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

func newDirectory(people []Person, now func() time.Time) *directory {
	if now == nil {
		now = time.Now
	}
	return &directory{people: people, now: now, used: map[string]int64{}}
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

// totp accepts a code of the present time step or a neighbour, each step once
// (RFC 6238 section 5.2).
func (d *directory) totp(p Person, code string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, shift := range []int64{0, -1, 1} {
		step := d.now().Unix()/30 + shift
		if d.used[p.Username] >= step {
			continue
		}
		ok, err := totp.ValidateCustom(code, p.TOTPSecret, time.Unix(step*30, 0), totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok {
			d.used[p.Username] = step
			return true
		}
	}
	return false
}
