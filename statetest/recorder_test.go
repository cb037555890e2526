package statetest_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// recorder is a testing.TB that notes what Run says.
type recorder struct {
	testing.TB // nil: anything but the methods below panics
	name       string
	errors     []string
	logs       []string
}

func (r *recorder) Helper() {}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

// record returns what Run says about a machine.
func record(newMachine func() store.Machine, updates iter.Seq[[]byte], opts *statetest.Options) *recorder {
	r := &recorder{name: "TestRecorded/some_case"}
	statetest.Run(r, newMachine, updates, opts)
	return r
}

// mustPass fails t unless Run accepts the machine.
func mustPass(t *testing.T, newMachine func() store.Machine, updates iter.Seq[[]byte], opts *statetest.Options) *recorder {
	t.Helper()
	r := record(newMachine, updates, opts)
	if len(r.errors) > 0 {
		t.Fatalf("a machine without bugs fails:\n%s", strings.Join(r.errors, "\n"))
	}
	return r
}

// mustFail fails t unless Run fails the machine once, with all these texts, and
// returns what it said.
func mustFail(t *testing.T, newMachine func() store.Machine, updates iter.Seq[[]byte], opts *statetest.Options, texts ...string) string {
	t.Helper()
	r := record(newMachine, updates, opts)
	if len(r.errors) != 1 {
		t.Fatalf("Run has reported %d failures, not 1: %q", len(r.errors), r.errors)
	}
	for _, s := range texts {
		if !strings.Contains(r.errors[0], s) {
			t.Fatalf("the failure does not say %q:\n%s", s, r.errors[0])
		}
	}
	return r.errors[0]
}

// commands returns an endless stream of updates for the machines of this
// package's tests. Some are refused.
func commands(seed uint64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rng := rand.New(rand.NewPCG(seed, 1))
		buf := make([]byte, 0, 64) // one slice for all
		for i := 0; ; i++ {
			key, other := rng.IntN(12), rng.IntN(12)
			buf = buf[:0]
			switch rng.IntN(8) {
			case 0:
				buf = fmt.Appendf(buf, "del k%d", key)
			case 1:
				buf = fmt.Appendf(buf, "mov k%d k%d", key, other)
			case 2:
				buf = fmt.Appendf(buf, "add k%d +%d", key, i)
			default:
				buf = fmt.Appendf(buf, "set k%d v%d", key, i)
			}
			if !yield(buf) {
				return
			}
		}
	}
}
