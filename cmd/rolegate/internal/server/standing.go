package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/admin"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// tell returns what logs that an identity provider is down, or up again: one
// line for each change, whatever the number of tries. A loop tells, so there is
// no request that the line belongs to.
func tell(log *slog.Logger, id broker.ProviderID) func(broker.ProviderStatus) {
	return func(s broker.ProviderStatus) {
		ctx := context.Background()
		if s.Down() {
			log.WarnContext(ctx, "identity provider does not answer", "provider", string(id), "kind", s.Kind, "error", broker.Visible(s.Err.Error()),
				"last_good", lastGood(s.Refreshed))
			return
		}
		log.InfoContext(ctx, "identity provider answers", "provider", string(id), "kind", s.Kind, "issuer", s.Issuer, "left_out", len(s.LeftOut))
	}
}

func lastGood(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// refusals remembers a configuration that was not taken, until one is.
type refusals struct {
	mu   sync.Mutex
	kept *admin.Refused
}

func (r *refusals) note(at time.Time, trigger string, problems config.Problems) {
	out := &admin.Refused{At: at, Trigger: trigger, More: max(0, len(problems)-maxShown)}
	for _, p := range problems[:min(len(problems), maxShown)] {
		out.Problems = append(out.Problems, broker.Visible(p.Error()))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = out
}

// maxShown bounds the problems of a refused configuration on the page; the log
// has all.
const maxShown = 20

func (r *refusals) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = nil
}

// last returns the refused configuration, nil if there is none.
func (r *refusals) last() *admin.Refused {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

func (l *Live) now() time.Time {
	if l.options.Now == nil {
		return time.Now()
	}
	return l.options.Now()
}

// Refused returns the configuration that was not taken since the one in use was,
// nil if there is none.
func (s *Server) Refused() *admin.Refused { return s.refusals.last() }
