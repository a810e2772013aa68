package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // rules name time zones, and the image has no zone files
)

func main() {
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interrupted is why a context of [untilSignal] has ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return i.signal.String() }

// untilSignal returns a context that ends with SIGINT or SIGTERM. The second one
// ends the process at once, whatever it waits for.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	came := make(chan os.Signal, 1)
	signal.Notify(came, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-came:
			signal.Stop(came)
			if n, ok := s.(syscall.Signal); ok {
				cancel(interrupted{n})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(came)
		cancel(nil)
	}
}

// interruption is the exit code where a signal is why err is there, 0 elsewhere:
// what shells say of a program that a signal has ended.
func interruption(ctx context.Context, err error) int {
	why, ok := errors.AsType[interrupted](context.Cause(ctx))
	if !ok || !errors.Is(err, context.Canceled) {
		return 0
	}
	return 128 + int(why.signal)
}
