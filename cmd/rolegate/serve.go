package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker/metrics"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// shutdownTime is how long requests may take to end after a signal.
const shutdownTime = 15 * time.Second

func (p *program) serve() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the portal", Args: exactly(0, "rolegate serve --config FILE"),
		Long: "serve runs the portal. On SIGHUP, and when the configuration file changes, it reads the configuration\nagain and swaps it whole; if anything is wrong with the new one, the old one stays in use.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.load()
			if err != nil {
				return err
			}
			log := p.logger()
			server.Announce(cmd.Context(), log, c)
			var live *server.Live
			m := metrics.New(metrics.Config{Version: versionText(), State: func() metrics.State { return live.State() }})
			s, err := server.New(cmd.Context(), c, server.Options{Logger: log, Version: versionText(), Metrics: m})
			if err != nil {
				return err
			}
			live = server.NewLive(s, p.load)
			return errors.Join(p.serveUntilDone(cmd.Context(), c, live, m, log), s.Close())
		},
	}
}

func (p *program) serveUntilDone(ctx context.Context, c *config.Config, live *server.Live, m *metrics.Metrics, log *slog.Logger) error {
	l, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	h := server.HTTP(ctx, live, log)
	if c.TLS != nil {
		t := &certificates{cert: c.Path(c.TLS.CertFile), key: c.Path(c.TLS.KeyFile)}
		if _, err := t.get(nil); err != nil {
			return errors.Join(err, l.Close())
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: t.get, NextProtos: []string{"h2", "http/1.1"}})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// From here on a SIGHUP reloads; before, it ends the process as ever.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	var wg sync.WaitGroup
	if c.Metrics.Listen != "" {
		ml, err := listen(ctx, c.Metrics.Listen)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", m.Handler())
		mh := server.HTTP(ctx, mux, log)
		log.InfoContext(ctx, "metrics", "listen", ml.Addr().String())
		wg.Go(func() {
			if err := serveHTTP(ctx, mh, ml); err != nil {
				log.ErrorContext(ctx, "metrics are not served any more", "error", err)
			}
		})
	}
	wg.Go(func() { live.Run(ctx, hangup) })
	log.InfoContext(ctx, "ready", "public_url", c.PublicURL, "listen", l.Addr().String(), "version", versionText())
	err = serveHTTP(ctx, h, l)
	cancel()
	wg.Wait()
	return err
}

// serveHTTP serves until ctx ends, then lets the requests in flight end.
func serveHTTP(ctx context.Context, h *http.Server, l net.Listener) error {
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		done <- h.Shutdown(late)
	}()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-done
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, usageError{fmt.Errorf("cannot listen on %s (%w): stop what uses it, or choose another address", address, err)}
	}
	return l, nil
}

// certificates reads the server's certificate again when its file changes.
type certificates struct {
	cert, key string

	mu     sync.Mutex
	loaded *tls.Certificate
	at     time.Time
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && c.loaded != nil && info.ModTime().Equal(c.at) {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		if c.loaded != nil {
			return c.loaded, nil // half-written files: keep what works
		}
		return nil, fmt.Errorf("tls: %w", err)
	}
	c.loaded, c.at = &pair, info.ModTime()
	return c.loaded, nil
}
