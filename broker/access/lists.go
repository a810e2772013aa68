package access

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// A list of roles is an event so that an administrator can say when a person last
// saw what they could use. Nobody needs to know each reload and each letter typed
// into the search: one event a session, a minute and a node is enough, with the
// number of lists that it stands for. By session and not by person, so that what
// somebody else does in their name stands for itself.
const (
	listsEvery = time.Minute
	maxListed  = 10_000 // sessions in memory
)

// lists remembers when the last event about the lists of a session was recorded.
type lists struct {
	mu   sync.Mutex
	seen map[string]listed // by session
}

type listed struct {
	at    time.Time
	since int // lists given out since, without an event of their own
}

// due counts a list, and reports whether it needs an event and how many lists
// that stands for.
func (l *lists) due(s string, now time.Time) (count int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.seen[s] // of somebody new, the year 1
	if now.Sub(x.at) < listsEvery {
		x.since++
		l.seen[s] = x
		return 0, false
	}
	if len(l.seen) >= maxListed {
		for k, v := range l.seen {
			if now.Sub(v.at) >= listsEvery {
				delete(l.seen, k)
			}
		}
		if len(l.seen) >= maxListed { // that many within a minute: forget, and record the more
			clear(l.seen)
		}
	}
	l.seen[s] = listed{at: now}
	return x.since + 1, true
}

// forget makes the next list need an event, which stands for count more: the one
// for those could not be kept.
func (l *lists) forget(s string, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.seen[s]
	l.seen[s] = listed{since: x.since + count}
}

func (a *Service) listed(ctx context.Context, sess *broker.Session, roles int) error {
	count, due := a.lists.due(sess.Key, a.c.Now())
	if !due {
		return nil
	}
	err := a.c.Journal.Record(ctx, journal.Entry{Action: broker.ActionListRoles, By: sess, Detail: map[string]string{
		"count": strconv.Itoa(roles), "lists": strconv.Itoa(count),
	}})
	if err != nil {
		a.lists.forget(sess.Key, count)
	}
	return err
}
