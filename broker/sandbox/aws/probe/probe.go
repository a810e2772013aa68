package probe

import (
	"context"
	"fmt"
	"strings"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
)

// Result is the outcome of one check's attempt; Err is nil if it was refused as
// it must.
type Result struct {
	Check aws.Check
	Err   error
}

// Run tries every check, in the order of [aws.Checks]. Checks named in
// switchOff are switched off in the doubles it makes, so their attempts fail.
func Run(ctx context.Context, switchOff ...string) []Result {
	var out []Result
	for _, c := range aws.Checks() {
		out = append(out, Result{Check: c, Err: One(ctx, c.ID, switchOff...)})
	}
	return out
}

// One tries one check.
func One(ctx context.Context, id string, switchOff ...string) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stop:
			err = fmt.Errorf("probe: %s: %w", id, r.err)
		default:
			panic(r)
		}
	}()
	if s, ok := setUps[id]; ok {
		return refused(s.run(switchOff), s.says)
	}
	n, ok := negatives[id]
	if !ok {
		return fmt.Errorf("probe: %s has no negative test", id)
	}
	world := string(aws.Sandbox)
	if n.world != nil {
		if world = n.world(world); world == string(aws.Sandbox) {
			return fmt.Errorf("probe: %s does not change the world", id)
		}
	}
	return refused(n.run(newRig(ctx, []byte(world), switchOff...)), n.says)
}

func refused(err error, says string) error {
	switch {
	case err == nil:
		return fmt.Errorf("it was not refused, %q was wanted", says)
	case !strings.Contains(err.Error(), says):
		return fmt.Errorf("it was refused for another reason than %q: %w", says, err)
	}
	return nil
}

// Count is how many checks have an attempt.
func Count() int { return len(negatives) + len(setUps) }
