package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

const (
	lookEvery = 5 * time.Second // at the configuration file
	lookLimit = 5 << 20
	// firstTry bounds how long a reload waits for the documents of identity
	// providers that are new: one that is down stops nobody else.
	firstTry = 10 * time.Second
)

// Triggers of a reload, as its event and the log name them.
const (
	TriggerSignal = "SIGHUP"
	TriggerFile   = "file"
)

// Live is a server whose configuration can change while it runs. It is an
// http.Handler: a request ends on the configuration that it began with.
type Live struct {
	load    func() (*config.Config, error)
	base    *Server // owns the store and the keys
	options Options
	current atomic.Pointer[Server]

	mu    sync.Mutex // held while a configuration is loaded and swapped
	loops *running   // of the current configuration, nil before Run
}

// NewLive makes s live. load reads the configuration again.
func NewLive(s *Server, load func() (*config.Config, error)) *Live {
	l := &Live{load: load, base: s, options: s.options}
	l.use(s)
	return l
}

func (l *Live) use(s *Server) {
	l.current.Store(s)
	var ids []broker.ProviderID
	for _, p := range s.config.IdentityProviders {
		ids = append(ids, broker.ProviderID(p.ID))
	}
	l.options.Metrics.SetProviders(ids)
}

// ServeHTTP answers by the configuration of now.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.current.Load().Handler.ServeHTTP(w, r)
}

// Current returns the server that new requests get.
func (l *Live) Current() *Server { return l.current.Load() }

// Reload loads the configuration and, if nothing is wrong with it, swaps it
// whole. On any error the old one stays in use: [config.Problems] for what is
// wrong in the file or needs a restart. The swap is an event, recorded before it
// happens.
func (l *Live) Reload(ctx context.Context, trigger string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.current.Load()
	next, changed, err := l.prepare(ctx, old)
	if err == nil {
		err = l.record(ctx, nil, map[string]string{
			"by": "operator", "trigger": trigger, "changed": changed, "sha256": next.config.Digest(), "sha256_before": old.config.Digest(),
		})
	}
	l.options.Metrics.Reload(err)
	if err != nil {
		l.refused(ctx, trigger, err)
		return err
	}
	l.base.refusals.clear()
	l.use(next)
	l.options.Logger.InfoContext(ctx, "configuration reloaded", "trigger", trigger, "changed", changed)
	Announce(ctx, l.options.Logger, next.config)
	if l.loops != nil {
		l.loops = l.loops.replace(next.loops)
	}
	return nil
}

// Announce logs what an operator should know of a configuration that comes into
// use: what it loosens, and what in it has no effect.
func Announce(ctx context.Context, log *slog.Logger, c *config.Config) {
	for _, r := range c.Relaxations() {
		log.WarnContext(ctx, "INSECURE SETTING", "setting", r)
	}
	for _, w := range c.Warnings() {
		log.WarnContext(ctx, "configuration warning", "file", w.File, "line", w.Line, "key", w.Path, "warning", w.Message)
	}
}

func (l *Live) prepare(ctx context.Context, old *Server) (*Server, string, error) {
	c, err := l.load()
	if err != nil {
		return nil, "", err
	}
	if ps := old.config.Restart(c); len(ps) > 0 {
		return nil, "", ps
	}
	next, err := old.next(c)
	if err != nil {
		return nil, "", err
	}
	next.refreshNew(ctx, old)
	changed := strings.Join(old.config.Changed(c), ", ")
	if changed == "" {
		changed = "nothing in the file"
	}
	return next, changed, nil
}

func (l *Live) record(ctx context.Context, refused error, detail map[string]string) error {
	return l.Current().Journal.Record(ctx, journal.Entry{Action: broker.ActionReload, Err: refused, Detail: detail})
}

// refused logs every problem. Nothing changes, so an event that cannot be
// recorded holds nothing up.
func (l *Live) refused(ctx context.Context, trigger string, err error) {
	log := l.options.Logger
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		problems = config.Problems{{Message: err.Error()}}
	}
	l.base.refusals.note(l.now(), trigger, problems)
	for _, p := range problems {
		log.ErrorContext(ctx, "configuration problem", "file", p.File, "line", p.Line, "key", p.Path, "problem", p.Message)
	}
	log.ErrorContext(ctx, "configuration not reloaded: the old one stays in use", "trigger", trigger, "problems", len(problems))
	detail := map[string]string{"by": "operator", "trigger": trigger, "problems": fmt.Sprint(len(problems))}
	if err := l.record(ctx, broker.Errorf(broker.CodeInvalid, "%s", problems[0].Message), detail); err != nil {
		log.ErrorContext(ctx, "the refused configuration is no event", "error", err)
	}
}

// Run keeps the background loops going until ctx ends, and reloads the
// configuration on each value of hangup and when the file has another content
// in two looks. It returns when all loops have ended.
func (l *Live) Run(ctx context.Context, hangup <-chan os.Signal) {
	var wg sync.WaitGroup
	for _, loop := range l.base.base {
		wg.Go(func() { loop(ctx) })
	}
	wg.Go(func() { l.watchCertificates(ctx) })
	wg.Go(func() { l.forgetEvents(ctx) })
	l.mu.Lock()
	l.loops = start(ctx, l.current.Load().loops)
	l.mu.Unlock()
	l.watch(ctx, hangup)
	l.mu.Lock()
	l.loops.stop()
	l.loops = nil
	l.mu.Unlock()
	wg.Wait()
}

func (l *Live) watch(ctx context.Context, hangup <-chan os.Signal) {
	c := l.current.Load().config
	w := watcher{path: c.File(), handled: c.Digest()}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		trigger := TriggerSignal
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			w.handled = digest(w.path)
		case <-tick.C:
			if trigger = TriggerFile; !w.changed() {
				continue
			}
		}
		_ = l.Reload(ctx, trigger) // logged and counted where it happened
	}
}
