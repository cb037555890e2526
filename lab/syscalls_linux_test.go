//go:build amd64 || arm64

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
)

// A system call that fails, takes its time, or is the last thing a process does,
// also while it recovers, leaves what opens and holds an exact prefix with all
// that was acknowledged. Nothing is acknowledged after a failure.
func TestCrashSystemCalls(t *testing.T) {
	strace := lookFor(t, "strace")
	if out, err := exec.Command(strace, "-f", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace: %v\n%s", err, out)
	}
	for _, s := range []subject{aStore, aStateFile} {
		t.Run(s.name, func(t *testing.T) {
			c := &calls{t: t, strace: strace, subject: s, injected: make(map[string]int)}
			newBudget(t, 40, 0.04).runs(t, c.run)
			for _, set := range slices.Sorted(maps.Keys(c.injected)) {
				t.Logf("%s: tampered with in %d processes", set, c.injected[set])
			}
		})
	}
}

// callSets are the calls that are tampered with, as strace names them, for each
// subject. In its first life, each makes all of them.
var callSets = map[string][]string{
	aStore.name:     {"fsync", "fdatasync", "pwrite64", "rename,renameat,renameat2", "ftruncate", "fallocate"},
	aStateFile.name: {"fsync", "write"},
}

type calls struct {
	t        *testing.T
	strace   string
	subject  subject
	turn     int            // runs so far
	injected map[string]int // by set of calls
}

// run is one store's or file's, in several processes. The first of the first runs
// is sure to be tampered with.
func (c *calls) run(seed uint64) (states int, err error) {
	rng := rand.New(rand.NewPCG(seed, 0x57ace))
	sets := callSets[c.subject.name]
	dir, hist := c.t.TempDir(), crashtest.NewHistory()
	for generation := range 4 {
		in := drawInjection(rng, sets[(c.turn+generation)%len(sets)])
		sure := generation == 0 && c.turn < len(sets)
		if sure {
			in.when = "1"
		}
		o := order{Subject: c.subject.name, Dir: dir, Seed: rng.Uint64(), Turns: hist.Turns(), Steps: 1 + rng.IntN(20)}
		if err := c.child(o, hist, in, sure); err != nil {
			return states, fmt.Errorf("generation %d, %+v, %+v: %w", generation, in, o, err)
		}
		states++
		if rng.IntN(3) == 0 {
			if err := judge(c.subject, dir, hist); err != nil {
				return states, fmt.Errorf("after generation %d, %+v, %+v: %w", generation, in, o, err)
			}
		}
	}
	c.turn++
	return states, judge(c.subject, dir, hist)
}

// An injection is what happens to calls.
type injection struct {
	set   string // of calls
	fault string // what happens
	when  string // to which ones, as strace puts it; each thread counts its own
}

// drawInjection draws what happens to some of a set of calls.
func drawInjection(rng *rand.Rand, set string) injection {
	in := injection{set: set, when: fmt.Sprint(1 + rng.IntN(1+rng.IntN(20)))}
	switch rng.IntN(8) {
	case 0:
		in.fault = "signal=SIGKILL"
	case 1:
		in.fault = "delay_exit=2000" // microseconds
	case 2:
		in.fault = "error=EINTR"
	default:
		in.fault = "error=" + pick(rng, "EIO", "ENOSPC", "EDQUOT")
		in.when += pick(rng, "", "+", "+2") // from then on; every other one from then on
	}
	if in.waits() {
		in.when = strings.TrimSuffix(in.when, "+") + "+2"
	}
	return in
}

// waits tells whether a store waits for the end of such a failure: an update that was
// applied can't be taken back, so a disk that stays full would have it wait for ever.
func (in *injection) waits() bool {
	return in.set == "pwrite64" && in.fault != "error=EIO" && strings.HasSuffix(in.when, "+")
}

// comesToLight tells whether the program must hear of such a failure. A store
// bears some: that of setting space aside, of giving it back, and of ending its
// log on a full disk.
func (in *injection) comesToLight(s subject) bool {
	return in.fault == "error=EIO" && (s.name == aStateFile.name || in.set == "fdatasync")
}

// child has a child do an order while it is tampered with.
func (c *calls) child(o order, hist *crashtest.History, in injection, sure bool) error {
	trace := filepath.Join(c.t.TempDir(), "trace")
	ended, err := once(c.t, o, hist, func(cmd *exec.Cmd) {
		args := []string{
			c.strace, "-f", "-qq", "-o", trace, "-e", "trace=" + in.set, "-e", "signal=none",
			"-e", "inject=" + in.set + ":" + in.fault + ":when=" + in.when,
		}
		if o.Subject == aStateFile.name {
			args = append(args, "-P", filepath.Join(o.Dir, "state")) // not the runtime's own calls
		}
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
		cmd.Args = append(args, cmd.Path)
		cmd.Path = c.strace
	})
	if err != nil {
		return err
	}
	log, err := os.ReadFile(trace)
	if err != nil {
		return err
	}
	text := string(log)
	killed := in.fault == "signal=SIGKILL" && ended != nil && strings.HasPrefix(ended.Error(), "signal: killed")
	tampered := killed || strings.Contains(text, "(INJECTED)") || strings.Contains(text, "(DELAYED)")
	if tampered {
		c.injected[in.set]++
	}
	switch {
	case sure && !tampered:
		return fmt.Errorf("nothing was tampered with, and the child ended with %v; strace:\n%s", ended, cmp.Or(text, "nothing"))
	case ended != nil && !tampered:
		return fmt.Errorf("the child was not tampered with, and ended: %w", ended)
	case ended != nil && strings.HasPrefix(in.fault, "delay"):
		return fmt.Errorf("the child was only delayed, and ended: %w", ended)
	case ended == nil && tampered && in.comesToLight(c.subject):
		return errors.New("a call failed, and nobody was told")
	case ended != nil && in.fault == "error=EINTR":
		return fmt.Errorf("a call was interrupted once, and the child ended: %w", ended)
	}
	return nil
}
