package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fate is what became of a mutant.
type fate string

const (
	notRun    fate = ""
	killed    fate = "noticed"
	hung      fate = "hung"
	survived  fate = "survived"
	alike     fate = "no test for which it makes a difference"
	unreached fate = "no test reaches it"
)

func (f fate) lives() bool { return f == survived || f == alike || f == unreached }

// testCase is one test function, or one row of it: a subtest of the first level.
type testCase struct {
	name, row string
	took      time.Duration // of the processor
	reaches   map[int]bool
	differs   map[int]bool // of these: where the change is one
}

// testBinary is the compiled tests of one package.
type testBinary struct {
	dir, path string
	tests     []testCase
}

type runner struct {
	options
	scratch, overlay string
	out              io.Writer
}

// all gives each mutant its fate.
func (r *runner) all(ctx context.Context, found *findings) error {
	own := map[string]*testBinary{}
	for _, p := range found.packages {
		b, err := r.prepare(ctx, "./"+p)
		if err != nil {
			return err
		}
		own[p] = b
	}
	err := r.each(len(found.mutants), func(n int) error {
		m := found.mutants[n]
		if n > 0 && n%200 == 0 {
			fmt.Fprintf(r.out, "%d of %d mutants\n", n, len(found.mutants))
		}
		if r.only != "" && !strings.Contains(m.Func, r.only) {
			return nil
		}
		return r.try(ctx, own[m.Package], m)
	})
	if err != nil || r.also == "" {
		return err
	}
	for _, pattern := range strings.Split(r.also, ",") {
		b, err := r.prepare(ctx, pattern)
		if err != nil {
			return err
		}
		err = r.each(len(found.mutants), func(n int) error {
			if m := found.mutants[n]; m.fate.lives() {
				return r.try(ctx, b, m)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each calls do with the numbers below count, some at a time.
func (r *runner) each(count int, do func(int) error) error {
	var wg sync.WaitGroup
	work := make(chan int)
	errs := make([]error, r.jobs)
	for n := range r.jobs {
		wg.Go(func() {
			for i := range work {
				if errs[n] == nil {
					errs[n] = do(i)
				}
			}
		})
	}
	for i := range count {
		work <- i
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// prepare compiles the tests of a package and runs each once, unchanged.
func (r *runner) prepare(ctx context.Context, pkg string) (*testBinary, error) {
	b := &testBinary{
		dir:  filepath.Join(r.root, filepath.FromSlash(pkg)),
		path: filepath.Join(r.scratch, strings.NewReplacer("/", "-", ".", "-").Replace(pkg)+".test"),
	}
	//nolint:gosec // G204: what the person at the keyboard names is built
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", r.overlay, "-o", b.path, pkg)
	build.Dir = r.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s does not compile with its mutants: %w\n%s", pkg, err, out)
	}
	if _, err := os.Stat(b.path); err != nil {
		return b, nil //nolint:nilerr // a package without tests
	}
	var listed bytes.Buffer
	if _, err := r.exec(ctx, b, &listed, nil, "-test.list=."); err != nil {
		return nil, fmt.Errorf("%s: list of tests: %w", pkg, err)
	}
	names := strings.Fields(listed.String())
	cases := make([][]testCase, len(names))
	err := r.each(len(names), func(n int) (err error) {
		if !strings.HasPrefix(names[n], "Benchmark") {
			cases[n], err = r.learn(ctx, b, names[n])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pkg, err)
	}
	b.tests = slices.Concat(cases...)
	slices.SortStableFunc(b.tests, func(a, c testCase) int { return int(a.took - c.took) })
	fmt.Fprintf(r.out, "%s: %d tests are ready, with %d rows\n", pkg, len(names), len(b.tests))
	return b, nil
}

// rowsFrom is how long a test may take before its rows are looked at one by one.
const rowsFrom = 30 * time.Millisecond

// learn runs one test without a mutant, and each of its rows if it takes long.
func (r *runner) learn(ctx context.Context, b *testBinary, name string) ([]testCase, error) {
	whole, out, err := r.once(ctx, b, name, "")
	if err != nil {
		return nil, fmt.Errorf("%s fails without any mutant: %w\n%s", name, err, out)
	}
	if whole.took < rowsFrom {
		return []testCase{whole}, nil
	}
	var rows []testCase
	seen := map[string]bool{}
	for line := range strings.Lines(out) {
		row, ok := strings.CutPrefix(strings.TrimSpace(line), "=== RUN   "+name+"/")
		if !ok {
			continue
		}
		if above, _, inner := strings.Cut(row, "/"); inner && seen[above] {
			continue
		} else if inner { // a row with a slash in its name cannot be asked for
			return []testCase{whole}, nil
		}
		seen[row] = true
		one, _, err := r.once(ctx, b, name, row)
		if err != nil { // it does not go alone
			return []testCase{whole}, ctx.Err()
		}
		rows = append(rows, one)
	}
	if len(rows) == 0 {
		rows = []testCase{whole}
	}
	return rows, nil
}

// pattern is for -test.run.
func pattern(name string, rows []string) string {
	p := "^" + regexp.QuoteMeta(name) + "$"
	if len(rows) > 0 {
		p += "/^(" + strings.Join(rows, "|") + ")$"
	}
	return p
}

func (r *runner) once(ctx context.Context, b *testBinary, name, row string) (testCase, string, error) {
	t := testCase{name: name, row: regexp.QuoteMeta(row), reaches: map[int]bool{}, differs: map[int]bool{}}
	var rows []string
	if row != "" {
		rows = []string{t.row}
	}
	log, err := os.CreateTemp(r.scratch, "log")
	if err != nil {
		return t, "", err
	}
	defer func() { _ = log.Close() }()
	var out bytes.Buffer
	t.took, err = r.exec(ctx, b, &out, []string{"MUTATE_LOG=" + log.Name()}, "-test.v", "-test.run="+pattern(name, rows))
	if err != nil {
		return t, out.String(), err
	}
	raw, err := io.ReadAll(log)
	for line := range strings.Lines(string(raw)) {
		what, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		id, err := strconv.Atoi(number)
		switch {
		case err != nil: // cut off
		case what == "reached":
			t.reaches[id] = true
		case what == "differs":
			t.differs[id] = true
		}
	}
	return t, out.String(), err
}

// try runs the rows for which the mutant makes a difference, quick tests first.
func (r *runner) try(ctx context.Context, b *testBinary, m *mutant) error {
	if m.fate == notRun {
		m.fate = unreached
	}
	type part struct {
		rows []string
		need time.Duration
	}
	parts, whole := map[string]*part{}, map[string]time.Duration{}
	var order []string
	for _, t := range b.tests {
		whole[t.name] += t.took
		if t.reaches[m.id] && m.fate == unreached {
			m.fate = alike
		}
		if !t.differs[m.id] {
			continue
		}
		p := parts[t.name]
		if p == nil {
			p = &part{}
			parts[t.name] = p
			order = append(order, t.name)
		}
		if t.row != "" {
			p.rows = append(p.rows, t.row)
		}
		p.need += t.took
	}
	slices.SortStableFunc(order, func(a, c string) int { return int(parts[a].need - parts[c].need) })
	for _, name := range order {
		if err := r.ask(ctx, b, m, pattern(name, parts[name].rows), parts[name].need); err != nil || m.fate != survived {
			return err
		}
	}
	// What no row notices alone, a test may that looks at all of its rows.
	for _, name := range order {
		if len(parts[name].rows) > 0 {
			if err := r.ask(ctx, b, m, pattern(name, nil), whole[name]); err != nil || m.fate != survived {
				return err
			}
		}
	}
	return nil
}

// ask runs tests with the mutant on and notes its fate.
func (r *runner) ask(ctx context.Context, b *testBinary, m *mutant, tests string, need time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, r.spare+10*need)
	defer cancel()
	_, err := r.exec(limited, b, nil, []string{"MUTATE_ACTIVE=" + strconv.Itoa(m.id)}, "-test.failfast", "-test.timeout=0", "-test.run="+tests)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		m.fate = hung
	case err != nil:
		m.fate = killed
	default:
		m.fate = survived
	}
	return nil
}

// exec runs the test binary where its package is, and says how long the
// processor was at it.
func (r *runner) exec(ctx context.Context, b *testBinary, out io.Writer, env []string, args ...string) (time.Duration, error) {
	c := exec.CommandContext(ctx, b.path, args...) //nolint:gosec // G204: the binary that was just built
	c.Dir, c.Env, c.Stdout, c.Stderr = b.dir, append(os.Environ(), env...), out, out
	c.WaitDelay = 5 * time.Second
	err := c.Run()
	if c.ProcessState == nil {
		return 0, err
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), err
}
