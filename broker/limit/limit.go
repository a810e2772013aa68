package limit

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// Kind says what is limited. Kinds do not share their counts.
type Kind string

// The kinds.
const (
	SignIn       Kind = "sign_in"        // starts of a sign-in
	SignInFinish Kind = "sign_in_finish" // answers of identity providers
	Credentials  Kind = "credentials"    // role sessions, console or keys
	Device       Kind = "device"         // device codes
	SCIM         Kind = "scim"
)

// Rate is how often in a window. Zero means as often as one likes.
type Rate struct {
	Address int           // per client address
	Account int           // per account and client address
	Per     time.Duration // the window
}

// Defaults are far above what people do, offices behind one address
// included, and far below what guessing needs.
func Defaults() map[Kind]Rate {
	return map[Kind]Rate{
		SignIn:       {Address: 300, Account: 30, Per: 5 * time.Minute},
		SignInFinish: {Address: 300, Account: 30, Per: 5 * time.Minute},
		Credentials:  {Address: 6000, Account: 600, Per: 5 * time.Minute},
		Device:       {Address: 120, Account: 10, Per: 5 * time.Minute},
		SCIM:         {Address: 6000, Account: 6000, Per: 5 * time.Minute},
	}
}

const (
	maxCounters   = 50_000 // of one process, about 10 MB
	limitAttempts = 5      // at one shared counter
	limitSlack    = 20     // a node tells the others after this part of the limit
)

// Config holds what a [Limiter] works with.
type Config struct {
	State  broker.StateStore
	Events broker.Recorder
	Limits map[Kind]Rate    // a kind that is missing has no limit
	Now    func() time.Time // nil: time.Now
}

// Limiter slows down who does too much. It counts per client address (an IPv6
// client is its /64) and per account and client address together, never per
// account alone: nobody can lock another person out by failing in their name.
//
// Each node counts for itself and adds what it counted to a counter in the
// store that all nodes share, a twentieth of the limit at a time, so the limit
// is exact within a twentieth for each node. Who is over it is refused from
// memory: a flood does not reach the store. It is safe for concurrent use, and
// a nil Limiter allows everything.
type Limiter struct {
	c Config

	mu       sync.Mutex
	counters map[counterKey]*list.Element
	recent   list.List // of *counter, the most recently used first
}

type counter struct {
	key counterKey

	mu       sync.Mutex
	window   int64 // number of the window that now and pending are of
	before   int   // all nodes, in the window before
	now      int   // all nodes as last heard, without pending
	pending  int   // ours, not told yet
	told     bool  // a refusal has its event in this window
	previous bool  // before was read from the store
}

// New returns a limiter.
func New(c Config) *Limiter {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Limiter{c: c, counters: map[counterKey]*list.Element{}}
}

// Allow counts one use by the request's client address ([broker.RequestFrom]).
// CodeRateLimited with when to try again over the limit, CodeUnavailable when
// the store does not answer.
func (l *Limiter) Allow(ctx context.Context, kind Kind) error {
	if l == nil {
		return nil
	}
	limit := l.c.Limits[kind]
	return l.count(ctx, kind, counterKey{string(kind) + "/" + limitAddress(broker.RequestFrom(ctx).Remote), false}, limit.Address, limit.Per)
}

// AllowAccount does as [Limiter.Allow] for the account from that address.
func (l *Limiter) AllowAccount(ctx context.Context, kind Kind, account string) error {
	if l == nil {
		return nil
	}
	limit := l.c.Limits[kind]
	key := string(kind) + "/" + limitAddress(broker.RequestFrom(ctx).Remote) + "/" + broker.NewSecret(account).Hash()
	return l.count(ctx, kind, counterKey{key, true}, limit.Account, limit.Per)
}

// Counters returns how many counters are in memory.
func (l *Limiter) Counters() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.Len()
}

// counterKey names a counter, and whether it is of one account.
type counterKey struct {
	text    string
	account bool
}

// limitAddress is the part of an address that one client holds: a whole IPv4
// address, the first 64 bits of IPv6.
func limitAddress(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return "unknown"
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return p.String()
}

func (l *Limiter) counter(key counterKey) *counter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.counters[key]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*counter)
	}
	c := &counter{key: key}
	l.counters[key] = l.recent.PushFront(c)
	if l.recent.Len() > maxCounters {
		oldest := l.recent.Back()
		l.recent.Remove(oldest)
		delete(l.counters, oldest.Value.(*counter).key)
	}
	return c
}

func (l *Limiter) count(ctx context.Context, kind Kind, key counterKey, most int, per time.Duration) error {
	if most <= 0 || per <= 0 {
		return nil
	}
	c := l.counter(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := l.c.Now()
	window := at.UnixNano() / int64(per)
	if window != c.window {
		before := 0
		if window == c.window+1 {
			before = c.now + c.pending
		}
		c.window, c.before, c.now, c.pending, c.told, c.previous = window, before, 0, 0, false, false
	}
	gone := time.Duration(at.UnixNano() % int64(per))
	if wait := c.over(most, gone, per); wait > 0 {
		return l.refuse(ctx, c, kind, wait)
	}
	c.pending++
	if c.pending > most/limitSlack {
		if err := l.share(ctx, c, per); err != nil {
			return err
		}
		if wait := c.over(most+1, gone, per); wait > 0 { // other nodes have counted too
			return l.refuse(ctx, c, kind, wait)
		}
	}
	return nil
}

// over returns how long to wait when one more use were too many. The window
// slides: of the window before, the part counts that has not slid out.
func (c *counter) over(most int, gone, per time.Duration) time.Duration {
	count := float64(c.before)*float64(per-gone)/float64(per) + float64(c.now+c.pending)
	if count+1 <= float64(most) {
		return 0
	}
	// Until the windows have slid far enough; within this window only the old
	// one slides.
	if c.now+c.pending < most && c.before > 0 {
		part := (float64(most) - 1 - float64(c.now+c.pending)) / float64(c.before)
		return max(time.Second, time.Duration((1-max(0, part))*float64(per))-gone)
	}
	return max(time.Second, per-gone)
}

// share adds what this node counted to the shared counter and reads what all
// counted. A counter that others change all the time is given up for now: ours
// stays pending.
func (l *Limiter) share(ctx context.Context, c *counter, per time.Duration) error {
	key := func(window int64) string { return "limit/" + c.key.text + "/" + strconv.FormatInt(window, 10) }
	if !c.previous {
		b, err := l.c.State.Get(ctx, key(c.window-1))
		if err != nil && broker.CodeOf(err) != broker.CodeNotFound {
			return err
		}
		c.before, c.previous = max(c.before, number(b)), true
	}
	for range limitAttempts {
		old, err := l.c.State.Get(ctx, key(c.window))
		if err != nil && broker.CodeOf(err) != broker.CodeNotFound {
			return err
		}
		sum := number(old) + c.pending
		value := []byte(strconv.Itoa(sum))
		var done bool
		if err != nil {
			done, err = l.c.State.PutIfAbsent(ctx, key(c.window), value, 2*per)
		} else {
			done, err = l.c.State.Swap(ctx, key(c.window), old, value, 2*per)
		}
		if err != nil {
			return err
		}
		if done {
			c.now, c.pending = sum, 0
			return nil
		}
		c.now = number(old)
	}
	return nil
}

func number(b []byte) int {
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// refuse makes the error, and an event for the first refusal of a window: a
// flood must not fill the store.
func (l *Limiter) refuse(ctx context.Context, c *counter, kind Kind, wait time.Duration) error {
	err := broker.Errorf(broker.CodeRateLimited, "Too many tries in a short time.").
		Fix("Wait %s and try again. Nobody else is kept out by this.", inWords(wait))
	err.RetryAfter = wait
	if c.told {
		return err
	}
	e := journal.NewEvent(ctx, l.c.Now(), broker.ActionLimit, broker.OutcomeRefused)
	e.Code, e.Target = broker.CodeRateLimited, string(kind)
	e.Detail = map[string]string{"counted_by": "address"}
	if c.key.account {
		e.Detail["counted_by"] = "account and address"
	}
	if recErr := l.c.Events.Record(ctx, e); recErr != nil {
		return errors.Join(err, recErr)
	}
	c.told = true
	return err
}

func inWords(d time.Duration) string {
	if d <= 90*time.Second {
		return strconv.Itoa(int((d+time.Second-1)/time.Second)) + " seconds"
	}
	return strconv.Itoa(int((d+time.Minute-1)/time.Minute)) + " minutes"
}
