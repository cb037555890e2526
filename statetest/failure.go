package statetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// A failure is what a check has found.
type failure struct {
	check   *check
	updates [][]byte // that show it
	err     error
	panics  bool // err is a panic of the machine
	sure    bool // no update can be left out
}

// try puts updates through a check, and returns nil if they pass.
func (r *runner) try(c *check, updates [][]byte) *failure {
	f, _ := r.attempt(c, updates, 0)
	return f
}

// attempt is try with random choices of its own for each number. It reports
// whether there were any.
func (r *runner) attempt(c *check, updates [][]byte, n int) (f *failure, random bool) {
	src := &source{PCG: *rand.NewPCG(r.opts.Seed, xxhash.Sum64String(c.name)+uint64(n))}
	tr := &trial{subject: r.subject, run: r, updates: updates, attempt: n, rng: rand.New(src)}
	err := guarded(func() error { return c.run(tr) })
	if err == nil {
		return nil, src.used
	}
	var p *panicError
	return &failure{check: c, updates: tr.updates, err: err, panics: errors.As(err, &p)}, src.used
}

// source notes whether it was used.
type source struct {
	rand.PCG
	used bool
}

func (s *source) Uint64() uint64 {
	s.used = true
	return s.PCG.Uint64()
}

// explain returns the failure to be reported for f: with few updates, and that
// of a more basic check if that fails for the same updates.
func (r *runner) explain(f *failure) *failure {
	var waits *waitError
	if f.check.fixed || errors.As(f.err, &waits) { // looking for fewer would wait each time
		return f
	}
	if slices.Index(checks, f.check) > slices.Index(checks, deterministicCheck) && !f.panics {
		thorough := *deterministicCheck
		thorough.run = func(tr *trial) error { return tr.deterministic(50) }
		if basic := r.try(&thorough, f.updates); basic != nil {
			f = basic
		}
	}
	return r.shrink(f)
}

// report returns the text of a failure in the test of the given name.
func (r *runner) report(f *failure, test string) string {
	var b strings.Builder
	promise := f.check.promise
	if f.panics {
		promise = "a panic in Apply fails the store and goes on to the caller"
	}
	fmt.Fprintf(&b, "statetest: check %q failed: %v\n\nThe contract: %s.\n", f.check.name, f.err, promise)
	if !f.check.fixed {
		r.listUpdates(&b, f)
	}
	fmt.Fprintf(&b, "\nSeed %d; repeat it with\n  STATEIO_CRASH_SEED=%d go test -run '%s'\n", r.opts.Seed, r.opts.Seed, pattern(test))
	return b.String()
}

// maxListed is how many updates a failure lists.
const maxListed = 50

func (r *runner) listUpdates(b *strings.Builder, f *failure) {
	switch n := len(f.updates); {
	case n == 0:
		b.WriteString("\nNo update is needed to show it.\n")
		return
	case f.sure:
		fmt.Fprintf(b, "\nThe shortest sequence of updates that shows it (%d):\n", n)
	default:
		fmt.Fprintf(b, "\nA sequence of updates that shows it (%d; there may be a shorter one):\n", n)
	}
	for i, u := range f.updates {
		if i == maxListed {
			fmt.Fprintf(b, "  ... and %d more\n", len(f.updates)-i)
			break
		}
		fmt.Fprintf(b, "%4d  %s\n", i+1, r.opts.FormatUpdate(u))
	}
}

// pattern returns what go test -run takes for a test, or subtest, of that name.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
