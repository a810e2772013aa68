package limit

import (
	"container/list"
	"context"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
)

const (
	maxCounters   = 50_000 // of one process, about 10 MB
	shareAttempts = 20     // at one shared counter
	shareSlack    = 20     // a node tells the others after this part of the limit
)

// counterKey names a counter, and says whose it is.
type counterKey struct{ text, by string }

// byAddress is what a counter counts by that everybody at an address shares.
const byAddress = "address"

func stateKey(k counterKey) string { return "limit/" + k.text }

// counter is what this node knows of one counter: how full it was at a time,
// with what this node has not told the others.
type counter struct {
	key counterKey

	mu      sync.Mutex
	level   float64
	at      time.Time
	pending int
	told    time.Time // until then, a refusal has its event
	down    time.Time // until then, the store is not asked again
	downErr error
}

type element = list.Element

// counters are the counters in memory, the least recently used of which go.
type counters struct {
	mu     sync.Mutex
	byKey  map[counterKey]*element
	recent list.List // of *counter, the most recently used first
}

// Counters returns how many counters are in memory.
func (l *Limiter) Counters() int {
	l.counters.mu.Lock()
	defer l.counters.mu.Unlock()
	return l.counters.recent.Len()
}

func (s *counters) get(key counterKey) *counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byKey[key]; ok {
		s.recent.MoveToFront(e)
		return e.Value.(*counter)
	}
	c := &counter{key: key}
	s.byKey[key] = s.recent.PushFront(c)
	if s.recent.Len() > maxCounters {
		oldest := s.recent.Back()
		s.recent.Remove(oldest)
		delete(s.byKey, oldest.Value.(*counter).key)
	}
	return c
}

// clientOf is the part of an address that one client holds: a whole IPv4
// address, the first 64 bits of IPv6.
func clientOf(s string) string {
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

func (l *Limiter) count(ctx context.Context, kind Kind, key counterKey, by *broker.Session, most int, per time.Duration) error {
	if most <= 0 || per <= 0 {
		return nil
	}
	c := l.counters.get(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := l.c.Now()
	c.level, c.at = drained(c.level, c.at, now, most, per), now
	if wait := over(c.level+1, most, per); wait > 0 {
		return l.refuse(ctx, c, kind, by, wait, per)
	}
	c.level++
	c.pending++
	if c.pending <= most/shareSlack {
		return nil
	}
	// In an outage one asks the store, and those who wait behind hear the same:
	// each asking in turn, the last would wait for all of their deadlines.
	if now.Before(c.down) {
		return c.downErr
	}
	wait, err := l.share(ctx, c, most, per, c.pending)
	if err != nil {
		c.down, c.downErr = l.c.Now().Add(time.Second), err
		return err
	}
	if wait == 0 {
		return nil
	}
	return l.refuse(ctx, c, kind, by, wait, per)
}

// drained is how full a counter is now that was at level then.
func drained(level float64, then, now time.Time, most int, per time.Duration) float64 {
	if then.IsZero() || !now.After(then) {
		return level
	}
	return max(0, level-float64(now.Sub(then))*float64(most)/float64(per))
}

// over returns how long to wait until a counter at level is not over the limit;
// zero if it is not.
func over(level float64, most int, per time.Duration) time.Duration {
	const rounding = 1e-6 // of many small drains
	excess := level - float64(most) - rounding
	if excess <= 0 {
		return 0
	}
	return max(time.Second, time.Duration(math.Ceil(excess*float64(per)/float64(most))))
}

// share adds n uses, the last of which is to be judged, to the counter that all
// nodes share and takes over what it says. It returns how long to wait where that
// one is too many; those before it have happened, and count. A counter that others
// change all the time is too full to tell.
func (l *Limiter) share(ctx context.Context, c *counter, most int, per time.Duration, n int) (time.Duration, error) {
	key := stateKey(c.key)
	for range shareAttempts {
		old, err := l.c.State.Get(ctx, key)
		if err != nil && broker.CodeOf(err) != broker.CodeNotFound {
			return 0, err
		}
		now := l.c.Now()
		level, then := parseCount(old)
		level = drained(level, then, now, most, per)
		if then.After(now) {
			now = then // another node's clock is ahead: what it counted drains from there
		}
		wait := over(level+float64(n), most, per)
		if level += float64(n); wait > 0 {
			level--
		}
		if wait > 0 && n == 1 {
			c.level, c.at, c.pending = level, l.c.Now(), 0
			return wait, nil
		}
		// It must outlive what it counts by the clocks of all nodes, and not only by
		// that of the node which is behind.
		ttl := per + time.Minute + now.Sub(l.c.Now())
		value := []byte(strconv.FormatFloat(level, 'f', 6, 64) + " " + strconv.FormatInt(now.UnixMicro(), 10))
		var done bool
		if err != nil {
			done, err = l.c.State.PutIfAbsent(ctx, key, value, ttl)
		} else {
			done, err = l.c.State.Swap(ctx, key, old, value, ttl)
		}
		if err != nil {
			return 0, err
		}
		if done {
			c.level, c.at, c.pending = level, l.c.Now(), 0
			return wait, nil
		}
	}
	return time.Second, nil
}

// parseCount reads a shared counter; what is none is empty.
func parseCount(b []byte) (level float64, at time.Time) {
	first, second, _ := strings.Cut(string(b), " ")
	level, err := strconv.ParseFloat(first, 64)
	micro, timeErr := strconv.ParseInt(second, 10, 64)
	if err != nil || timeErr != nil || level < 0 || math.IsNaN(level) || math.IsInf(level, 0) {
		return 0, time.Time{}
	}
	return level, time.UnixMicro(micro)
}

func inWords(d time.Duration) string {
	if d <= 90*time.Second {
		return strconv.Itoa(int((d+time.Second-1)/time.Second)) + " seconds"
	}
	return strconv.Itoa(int((d+time.Minute-1)/time.Minute)) + " minutes"
}
