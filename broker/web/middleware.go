package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/idp"
)

// middleware wraps a handler.
type middleware func(http.Handler) http.Handler

// chain joins middleware; the first is outermost.
func chain(ms ...middleware) middleware {
	return func(h http.Handler) http.Handler {
		for _, m := range slices.Backward(ms) {
			h = m(h)
		}
		return h
	}
}

func (s *Server) middleware(public *url.URL) (http.Handler, error) {
	protect, err := s.crossOrigin(public)
	if err != nil {
		return nil, err
	}
	return chain(
		s.identify,  // first: everything after it logs and answers with the request's id
		s.logAccess, // sees the status that every other one decided
		s.recoverer, // inside the log, so that a panic has its line; outside of all that may panic
		s.headers,   // before anything that answers
		protect,     // refuses cross-site writes before a handler sees them
	)(http.HandlerFunc(s.route)), nil
}

// requestInfo is what one request gathers for its log line.
type requestInfo struct {
	broker.Request
	trace   *broker.Trace
	kept    string // id of the trace that an administrator finds; "": there is none
	pattern string
	code    broker.Code
	cause   string // private
}

type contextKey int

const keyRequestInfo contextKey = 0

func requestFrom(ctx context.Context) *requestInfo {
	info, ok := ctx.Value(keyRequestInfo).(*requestInfo)
	if !ok {
		return &requestInfo{}
	}
	return info
}

func (i *requestInfo) fail(err error) {
	i.code, i.cause = broker.CodeOf(err), err.Error()
}

// identify gives the request an id, a client address and a trace.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails (Go 1.24)
		info := &requestInfo{
			Request: broker.Request{ID: hex.EncodeToString(b[:]), Remote: s.remote(r), UserAgent: userAgent(r)},
			trace:   s.c.Journal.Start(),
		}
		ctx := broker.WithTrace(broker.WithRequest(context.WithValue(r.Context(), keyRequestInfo, info), info.Request), info.trace)
		w.Header().Set("X-Request-Id", info.ID)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// userAgent is what the browser says it is, cut, in printable ASCII.
func userAgent(r *http.Request) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, clipped(r.UserAgent(), 200))
}

func clipped(s string, n int) string { return s[:min(len(s), n)] }

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += n
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// logAccess writes one line per request. The path is logged without its query,
// which may hold a code or a state.
func (s *Server) logAccess(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.c.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() { s.logRequest(r, rec, s.c.Now().Sub(start)) }() // deferred: an aborted request has its line too
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) logRequest(r *http.Request, rec *recorder, took time.Duration) {
	info := requestFrom(r.Context())
	if s.c.Observe != nil {
		s.c.Observe(info.pattern, rec.status)
	}
	attrs := []slog.Attr{
		slog.String("method", clip(r.Method, 20)), slog.String("path", clip(r.URL.Path, 200)), slog.String("route", info.pattern),
		slog.Int("status", rec.status), slog.Int("bytes", rec.bytes), slog.Duration("took", took.Round(time.Microsecond)),
		slog.String("remote", info.Remote), slog.String("request_id", info.ID),
	}
	level := slog.LevelInfo
	if info.code != "" {
		attrs = append(attrs, slog.String("code", string(info.code)), slog.String("error", info.cause))
		if info.kept != "" {
			attrs = append(attrs, slog.String("trace_id", info.kept))
		}
		if rec.status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	s.c.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// recoverer turns a panic into the answer of an internal error.
func (s *Server) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if abort, ok := v.(error); ok && errors.Is(abort, http.ErrAbortHandler) {
				panic(v)
			}
			err := fmt.Errorf("web: panic: %v", v)
			s.c.Logger.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("request_id", requestFrom(r.Context()).ID),
				slog.String("error", err.Error()), slog.String("stack", string(debug.Stack())))
			if rec, ok := w.(*recorder); ok && rec.status != 0 {
				requestFrom(r.Context()).fail(err)
				panic(http.ErrAbortHandler) // half an answer is out: break the connection rather than end it well
			}
			s.renderError(w, r, err)
		}()
		next.ServeHTTP(w, r)
	})
}

// headers sets what every answer has. A page sets its own, wider policy.
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if s.https {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// crossOrigin refuses unsafe methods from other origins, but for what identity
// providers send, which is cross-site by nature: the SAML answer, guarded by
// state and binding, and requests to end sessions, guarded by their signature.
func (s *Server) crossOrigin(public *url.URL) (middleware, error) {
	guard := http.NewCrossOriginProtection()
	if err := guard.AddTrustedOrigin(public.Scheme + "://" + public.Host); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	for _, p := range []string{idp.PatternACS, idp.PatternSLO, idp.PatternBackChannel} {
		guard.AddInsecureBypassPattern(p)
	}
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.renderError(w, r, errCrossSite)
	}))
	return guard.Handler, nil
}

// handle registers a handler on the mux. Errors are rendered here and nowhere
// else; a form that cannot be read or is too large never reaches h. Nothing has
// read the body before.
func (s *Server) handle(pattern string, h func(http.ResponseWriter, *http.Request) error) {
	s.patterns = append(s.patterns, pattern)
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		requestFrom(r.Context()).pattern = pattern
		if err := s.serve(w, r, pattern, h); err != nil {
			s.renderError(w, r, err)
		}
	})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, pattern string, h func(http.ResponseWriter, *http.Request) error) error {
	done, err := s.admit(w, r, pattern)
	if err != nil {
		return err
	}
	defer done()
	if err := s.parseForm(r); err != nil {
		return err
	}
	return h(w, r)
}

// route serves the mux, with pages of our own where it has only a status.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	miss := &missWriter{header: http.Header{}}
	h.ServeHTTP(miss, r)
	if miss.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", miss.header.Get("Allow"))
		s.renderError(w, r, errMethod)
		return
	}
	s.renderError(w, r, errNotFound)
}

// missWriter keeps the status of the mux's own answer.
type missWriter struct {
	header http.Header
	status int
}

func (m *missWriter) Header() http.Header         { return m.header }
func (m *missWriter) Write(b []byte) (int, error) { return len(b), nil }
func (m *missWriter) WriteHeader(status int)      { m.status = status }

var (
	errNotFound = broker.Errorf(broker.CodeNotFound, "There is no page at this address.").
			Fix("Check the address, or go to the portal.")
	errCrossSite = broker.Errorf(broker.CodeDenied, "Another website sent this request in your name, so it was not carried out.").
			Fix("If you meant to do it, open the portal and do it there.")
	errMethod = broker.Errorf(broker.CodeInvalid, "This address does not work that way.").
			Fix("Go to the portal and start there.")
)
