package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
)

// The limits of device codes (RFC 8628).
const (
	DeviceCodeTTL      = 10 * time.Minute
	DevicePollInterval = 5 * time.Second
	slowDownBy         = 5 * time.Second
	deviceKept         = 2 * DeviceCodeTTL // so that an expired code is told from an unknown one
)

// pollTolerance is what a network may take off between two polls.
const pollTolerance = 500 * time.Millisecond

// userCodeLetters are consonants that are hard to mistake and spell no word
// (RFC 8628 6.1): 20^8 codes, a tenth of them tried in no lifetime at [limit.UserCode].
const userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// ErrDeviceCodeExpired is the cause of the error for a device code whose time
// has run out.
var ErrDeviceCodeExpired = errors.New("broker: device code expired")

// deviceStatus is where a device grant stands. All but pending are final.
type deviceStatus string

const (
	devicePending  deviceStatus = "pending"
	deviceApproved deviceStatus = "approved"
	deviceDenied   deviceStatus = "denied"
	deviceExpired  deviceStatus = "expired"
	deviceRedeemed deviceStatus = "redeemed"
)

type deviceRecord struct {
	ClientID   string             `json:"client"`
	ClientName string             `json:"name"`
	Registered bool               `json:"registered,omitempty"`
	Host       string             `json:"host,omitempty"`
	Remote     string             `json:"remote"`
	Need       broker.Requirement `json:"need,omitzero"` // of the sign-in, as the program asks
	Status     deviceStatus       `json:"status"`
	Source     string             `json:"source,omitempty"` // key of the approving session
	Interval   time.Duration      `json:"interval"`
	CreatedAt  time.Time          `json:"created"`
	ExpiresAt  time.Time          `json:"expires"`
	PolledAt   time.Time          `json:"polled,omitzero"`
}

// DeviceStart is a new device grant. Both codes are shown once.
type DeviceStart struct {
	DeviceCode broker.Secret
	UserCode   string // XXXX-XXXX
	ExpiresIn  time.Duration
	Interval   time.Duration
}

// StartDevice makes a device code for a client that says it runs on host and
// needs that of the sign-in. CodeRateLimited when one address asks for too many.
func (d *Service) StartDevice(ctx context.Context, c Client, host string, need broker.Requirement) (DeviceStart, error) {
	remote := broker.RequestFrom(ctx).Remote
	if err := d.c.Limiter.Allow(ctx, limit.Device); err != nil {
		return DeviceStart{}, err
	}
	code, err := broker.RandomSecret(d.c.Rand)
	if err != nil {
		return DeviceStart{}, err
	}
	key, now := "device/"+code.Hash(), d.c.Now()
	r := deviceRecord{
		ClientID: c.ID, ClientName: c.Name, Registered: c.Registered, Host: broker.CleanLabel(host, maxClientName), Remote: remote, Need: need, Status: devicePending,
		Interval: DevicePollInterval, CreatedAt: now, ExpiresAt: now.Add(DeviceCodeTTL),
	}
	for range 5 {
		user, err := d.userCode()
		if err != nil {
			return DeviceStart{}, err
		}
		fresh, err := d.c.Kept.PutIfAbsent(ctx, userCodeKey(user), key, DeviceCodeTTL)
		if err != nil {
			return DeviceStart{}, err
		}
		if !fresh {
			continue
		}
		if err := d.c.Kept.Put(ctx, key, r, deviceKept); err != nil {
			return DeviceStart{}, err
		}
		return DeviceStart{DeviceCode: code, UserCode: user[:4] + "-" + user[4:], ExpiresIn: DeviceCodeTTL, Interval: DevicePollInterval}, nil
	}
	return DeviceStart{}, broker.Errorf(broker.CodeUnavailable, "No free code was found.")
}

// userCode draws eight letters without bias.
func (d *Service) userCode() (string, error) {
	var out []byte
	b := make([]byte, 1)
	for len(out) < 8 {
		if _, err := io.ReadFull(d.c.Rand, b); err != nil {
			return "", fmt.Errorf("broker: random: %w", err)
		}
		if n := int(b[0]); n < 256-256%len(userCodeLetters) {
			out = append(out, userCodeLetters[n%len(userCodeLetters)])
		}
	}
	return string(out), nil
}

// userCodeKey forgives case, blanks and hyphens; what is left must be the code.
func userCodeKey(code string) string {
	return "usercode/" + broker.NewSecret(normalUserCode(code)).Hash()
}

func normalUserCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, strings.ToUpper(code))
}

// DeviceRequest is what a person is asked to approve.
type DeviceRequest struct {
	UserCode string // XXXX-XXXX
	Client   string
	Named    bool   // the program gave itself its name, and nobody has verified it
	Host     string // what the program says; not verified
	Remote   string // address that asked
	AskedAt  time.Time
	Need     broker.Requirement
}

// FindDevice returns the pending request behind a user code. Each call counts
// as a try of the session and of the address: CodeRateLimited after too many,
// CodeNotFound for a code that is wrong, decided or expired.
func (d *Service) FindDevice(ctx context.Context, sess *broker.Session, userCode string) (DeviceRequest, error) {
	_, _, r, err := d.findDevice(ctx, sess, userCode)
	if err != nil {
		return DeviceRequest{}, err
	}
	user := normalUserCode(userCode)
	return DeviceRequest{UserCode: user[:4] + "-" + user[4:], Client: r.ClientName, Named: r.Registered, Host: r.Host, Remote: r.Remote, AskedAt: r.CreatedAt, Need: r.Need}, nil
}

var errUserCode = broker.Errorf(broker.CodeNotFound, "No sign-in is waiting under this code.").
	Fix("Compare it with the code that your program shows. A code is good for ten minutes and for one answer.")

func (d *Service) findDevice(ctx context.Context, sess *broker.Session, userCode string) (key string, raw []byte, r deviceRecord, err error) {
	if err := d.c.Limiter.Guess(ctx, limit.UserCode, sess, sess.Identity.Subject.String()); err != nil {
		return "", nil, r, err
	}
	if err := d.c.Limiter.Guess(ctx, limit.UserCodeAddress, sess, broker.RequestFrom(ctx).Remote); err != nil {
		return "", nil, r, err
	}
	if len(normalUserCode(userCode)) != 8 {
		return "", nil, r, errUserCode
	}
	if _, err = d.c.Kept.Get(ctx, userCodeKey(userCode), &key); err == nil {
		raw, err = d.c.Kept.Get(ctx, key, &r)
	}
	if broker.CodeOf(err) == broker.CodeNotFound {
		return "", nil, r, errUserCode.Because(err)
	}
	if err != nil {
		return "", nil, r, err
	}
	if r.Status != devicePending || !d.c.Now().Before(r.ExpiresAt) {
		return "", nil, r, errUserCode
	}
	return key, raw, r, nil
}

// DecideDevice approves or denies the pending request behind a user code; the
// decision is final. It counts as [Service.FindDevice] does. CodeUnauthenticated
// when the person's session is a program's own; CodeStepUp, recorded, as
// [Service.Admits], and then nothing is decided.
func (d *Service) DecideDevice(ctx context.Context, sess *broker.Session, userCode string, approve bool) error {
	if !sess.IsBrowser() {
		return broker.Errorf(broker.CodeUnauthenticated, "Only a person in a browser can approve a sign-in.")
	}
	key, raw, r, err := d.findDevice(ctx, sess, userCode)
	if err != nil {
		return err
	}
	var refused error
	if approve {
		_, refused = d.Admits(ctx, sess, r.Need)
	} else {
		refused = errPersonRefused
	}
	e := journal.Entry{Action: broker.ActionClient, By: sess, Target: r.ClientName, Err: refused}
	e.Detail = map[string]string{"by": "device code", "host": r.Host, "asked_from": r.Remote}
	if err := d.c.Journal.Record(ctx, e); err != nil {
		return err
	}
	if approve && refused != nil {
		return refused
	}
	for range 10 { // the program polls meanwhile
		next := r
		next.Status, next.Source = deviceDenied, ""
		if approve {
			next.Status, next.Source = deviceApproved, sess.Key
		}
		done, err := d.swapDevice(ctx, key, raw, r, next)
		if err != nil || done {
			return err
		}
		r = deviceRecord{}
		if raw, err = d.c.Kept.Get(ctx, key, &r); err != nil {
			return err
		}
		if r.Status != devicePending {
			return errUserCode
		}
	}
	return broker.Errorf(broker.CodeConflict, "The request changed while you answered.").Fix("Try again.")
}

func (d *Service) swapDevice(ctx context.Context, key string, raw []byte, r, next deviceRecord) (bool, error) {
	if next == r {
		return true, nil
	}
	left := next.CreatedAt.Add(deviceKept).Sub(d.c.Now())
	if left <= 0 {
		return false, broker.Errorf(broker.CodeUnauthenticated, "This device code has expired.").Because(ErrDeviceCodeExpired)
	}
	return d.c.Kept.Swap(ctx, key, raw, next, left)
}

// PollDevice answers a program that asks for its tokens: CodePending,
// CodeSlowDown when it asks before the interval is over (which grows by five
// seconds), CodeDenied, CodeUnauthenticated (with [ErrDeviceCodeExpired] as
// cause when its time is over), or the tokens, once.
func (d *Service) PollDevice(ctx context.Context, c Client, code broker.Secret) (TokenSet, error) {
	key := "device/" + code.Hash()
	dead := broker.Errorf(broker.CodeUnauthenticated, "This device code is not valid, or not any more.").Fix("Sign in again with the program.")
	for range 10 {
		var r deviceRecord
		raw, err := d.c.Kept.Get(ctx, key, &r)
		if broker.CodeOf(err) == broker.CodeNotFound {
			return TokenSet{}, dead.Because(err)
		}
		if err != nil {
			return TokenSet{}, err
		}
		if r.ClientID != c.ID {
			return TokenSet{}, dead.Because(fmt.Errorf("device code of another client"))
		}
		next, answer, err := d.poll(ctx, r)
		if err != nil {
			return TokenSet{}, err
		}
		done, err := d.swapDevice(ctx, key, raw, r, next)
		if err != nil {
			return TokenSet{}, err
		}
		if !done {
			continue // the person decided, or another process polled, meanwhile
		}
		if answer != nil {
			return TokenSet{}, answer
		}
		source, err := d.source(ctx, r.Source)
		if err != nil {
			return TokenSet{}, err
		}
		out, _, err := d.open(ctx, source, broker.SessionClient{ID: c.ID, Name: c.Name, Registered: c.Registered, Host: r.Host, Remote: r.Remote, Source: source.Key})
		return out, err
	}
	return TokenSet{}, broker.Errorf(broker.CodeSlowDown, "Too many processes ask with this device code.")
}

// poll returns the grant after this poll and what to answer; no answer means
// that the tokens are due.
func (d *Service) poll(ctx context.Context, r deviceRecord) (next deviceRecord, answer, err error) {
	now, next := d.c.Now(), r
	expired := broker.Errorf(broker.CodeUnauthenticated, "This device code has expired.").Fix("Sign in again with the program.").Because(ErrDeviceCodeExpired)
	switch {
	case r.Status == deviceRedeemed:
		return next, broker.Errorf(broker.CodeUnauthenticated, "This device code was used before.").Fix("Sign in again with the program."), nil
	case r.Status == deviceDenied:
		return next, broker.Errorf(broker.CodeDenied, "The sign-in was refused in the browser."), nil
	case r.Status == deviceExpired:
		return next, expired, nil
	case !now.Before(r.ExpiresAt):
		next.Status = deviceExpired
		return next, expired, d.c.Journal.Record(ctx, journal.Entry{
			Action: broker.ActionClient, Target: r.ClientName, Err: expired, Detail: map[string]string{"by": "device code", "asked_from": r.Remote},
		})
	}
	next.PolledAt = now
	if !r.PolledAt.IsZero() && now.Sub(r.PolledAt) < r.Interval-pollTolerance {
		next.Interval += slowDownBy
		return next, broker.Errorf(broker.CodeSlowDown, "You ask too often.").Fix("Wait %d seconds between two tries.", int(next.Interval.Seconds())), nil
	}
	if r.Status == devicePending {
		return next, broker.Errorf(broker.CodePending, "The person has not answered yet."), nil
	}
	next.Status = deviceRedeemed
	return next, nil, nil
}
