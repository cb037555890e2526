package statetest_test

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

func TestRunSaysWhatIsWrongWithItsArguments(t *testing.T) {
	none := func(func([]byte) bool) {}
	for _, test := range []struct {
		newMachine func() store.Machine
		updates    iter.Seq[[]byte]
		opts       *statetest.Options
		says       string
	}{
		{func() store.Machine { return nil }, commands(1), nil, "statetest: the function that makes machines has returned nil"},
		{nil, commands(1), nil, "statetest: Run needs a function that makes machines and a stream of updates, not nil"},
		{newCloned, nil, nil, "statetest: Run needs a function"},
		{newCloned, none, nil, "statetest: the stream holds no updates"},
		{newCloned, slices.Values([][]byte{[]byte("del k1"), []byte("mov k1 k2")}), nil, "statetest: Apply has refused all 2 updates"},
		{newCloned, commands(1), &statetest.Options{Updates: -1}, "statetest: Options.Updates is -1"},
		{newCloned, commands(1), &statetest.Options{CrashStates: -1}, "statetest: Options.CrashStates is -1"},
		{newCloned, commands(1), &statetest.Options{CrashTime: -1}, "statetest: Options.CrashTime is -1ns"},
	} {
		mustFail(t, test.newMachine, test.updates, test.opts, test.says)
	}
}

func TestRunSaysWhatItDid(t *testing.T) {
	r := mustPass(t, newCloned, commands(1), &statetest.Options{Seed: 5, Updates: 100, CrashStates: 1})
	if s := fmt.Sprint(r.logs); !strings.Contains(s, "statetest: 100 updates, ") || !strings.Contains(s, " crash states, seed 5") ||
		strings.Contains(s, "no update was refused") || strings.Contains(s, " 0 of them refused") {
		t.Errorf("Run says %q", r.logs)
	}
	sets := func(yield func([]byte) bool) {
		for i := range 10 {
			if !yield(fmt.Appendf(nil, "set k%d v", i)) {
				return
			}
		}
	}
	r = mustPass(t, newCloned, sets, &statetest.Options{CrashStates: 1})
	if s := fmt.Sprint(r.logs); !strings.Contains(s, "statetest: 10 updates, 0 of them refused") || !strings.Contains(s, "no update was refused") {
		t.Errorf("Run says %q", r.logs)
	}
}

// One seed, one failure.
func TestSeedRepeatsAFailure(t *testing.T) {
	bug := changed(plantedBugs[slices.IndexFunc(plantedBugs, func(b plantedBug) bool { return b.name == "Restore keeps a cache" })].machine)
	first := mustFail(t, bug, commands(1), &statetest.Options{Seed: 77, Updates: 60}, "\nSeed 77; ")
	if second := mustFail(t, bug, commands(1), &statetest.Options{Seed: 77, Updates: 60}); second != first {
		t.Errorf("seed 77 gives first\n%s\nand then\n%s", first, second)
	}
	t.Setenv("STATEIO_CRASH_SEED", "77")
	if third := mustFail(t, bug, commands(1), &statetest.Options{Seed: 3, Updates: 60}); third != first {
		t.Errorf("with the seed from the environment, the failure is\n%s\nnot\n%s", third, first)
	}
}

func TestEnvironment(t *testing.T) {
	states := func() (n int) {
		r := mustPass(t, newCloned, commands(1), &statetest.Options{Updates: 20, CrashStates: 1})
		_, after, _ := strings.Cut(fmt.Sprint(r.logs), "refused, ")
		if _, err := fmt.Sscan(after, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	t.Setenv("STATEIO_CRASH_COUNT", "800")
	if n := states(); n < 800 {
		t.Errorf("%d crash states, 800 were asked for", n)
	}
	t.Setenv("STATEIO_CRASH_COUNT", "")
	t.Setenv("STATEIO_CRASH_TIME", "300ms")
	if start := time.Now(); states() == 0 || time.Since(start) < 300*time.Millisecond {
		t.Errorf("it took %v", time.Since(start))
	}
	for _, name := range []string{"STATEIO_CRASH_COUNT", "STATEIO_CRASH_TIME", "STATEIO_CRASH_SEED"} {
		t.Setenv(name, "much")
		mustFail(t, newCloned, commands(1), nil, "statetest: the environment variable "+name, `"much"`)
		t.Setenv(name, "")
	}
}

func TestFormatUpdate(t *testing.T) {
	bug := changed(planted{apply: func(p *planted, update []byte) error { return p.correct(append(update, '!')) }})
	mustFail(t, bug, commands(1), &statetest.Options{FormatUpdate: func(u []byte) string { return "<" + string(u) + ">" }}, "\n   1  <set k11 v0>\n")
}

// A machine that is seldom at random slips through the check of that, and is
// told as what it is when another check stumbles over it.
func TestChanceIsNotBlamedOnSnapshots(t *testing.T) {
	made := 0
	mustFail(t, func() store.Machine {
		made++
		m := changed(planted{})().(*planted)
		if made > 40 {
			m.apply = func(p *planted, update []byte) error {
				p.m["chance"] = fmt.Sprint(rand.Uint64())
				return p.correct(update)
			}
		}
		return m
	}, commands(1), &statetest.Options{Updates: 60}, `check "Apply is deterministic" failed`)
}

// Machines that share their state are found, also where Equal can't tell them
// apart.
func TestMachinesThatShareStateAreFound(t *testing.T) {
	shared := map[string]string{}
	share := func() store.Machine { return &cloned{shared} }
	mustFail(t, share, commands(1), nil, `check "machines are independent" failed: a machine to which nothing was done has changed`)
	clear(shared)
	mustFail(t, share, commands(1), &statetest.Options{Equal: equalCloned}, `check "machines are independent" failed: `)
	one := newCloned()
	mustFail(t, func() store.Machine { return one }, commands(1), nil, `check "machines are independent" failed: `)
}

// The bugs are found as well where states are compared by Equal.
func TestPlantedBugsAreFoundWithEqual(t *testing.T) {
	if testing.Short() {
		t.Skip("a long sweep")
	}
	equal := func(a, b store.Machine) bool {
		x, y := a.(*planted), b.(*planted)
		return maps.Equal(x.m, y.m) && maps.EqualFunc(x.kept, y.kept, bytes.Equal)
	}
	for _, bug := range plantedBugs {
		switch bug.name {
		case "encoding ranges over a map", // no bug then
			"Apply keeps the update", "Restore keeps a cache": // more state than a snapshot holds
			continue
		case "Snapshot changes the state":
			bug.check = "Apply is deterministic"
		}
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			mustFail(t, changed(bug.machine), commands(1), &statetest.Options{Equal: equal, Updates: 60}, "check ")
		})
	}
}

// A useful run on a map takes well below two seconds.
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		statetest.Run(b, newCloned, commands(1), nil)
	}
}
