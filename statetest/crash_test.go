package statetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

// sum is a machine that adds up updates. Its bugs are such that the check of a
// crash, and that of snapshots during updates, find them by themselves.
type sum struct {
	n, total    uint64
	last        byte
	forgets     bool // Snapshot leaves the last update out
	resets      bool // Restore forgets n, which the total depends on
	failsBehind uint64
	panicsAfter bool // Apply panics after Restore
	restored    bool
}

func (s *sum) Apply(update []byte) (any, error) {
	if s.panicsAfter && s.restored {
		panic("after Restore")
	}
	s.n++
	s.last = update[0]
	s.total += s.n * uint64(s.last)
	return s.total, nil
}

func (s *sum) Snapshot() (io.WriterTo, error) {
	n, total := s.n, s.total
	if s.forgets && n > 0 {
		total -= n * uint64(s.last)
		n--
	}
	b := binary.LittleEndian.AppendUint64(nil, n)
	return bytes.NewReader(binary.LittleEndian.AppendUint64(b, total)), nil
}

func (s *sum) Restore(r io.Reader) error {
	var b [16]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return err
	}
	s.n, s.total = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	s.restored = true
	if s.resets {
		s.n = 0
	}
	if s.failsBehind > 0 && s.n > s.failsBehind {
		return errors.New("too much")
	}
	return nil
}

func sumRunner(bug sum, equal func(a, b store.Machine) bool) *runner {
	return &runner{
		subject: subject{newMachine: func() store.Machine { m := bug; return &m }, equal: equal},
		opts:    Options{CrashStates: 200, FormatUpdate: quote}, shrinkTime: time.Hour,
	}
}

// equalSums compares by what Apply uses, so that bugs of Snapshot don't matter
// for the comparison.
func equalSums(a, b store.Machine) bool {
	x, y := a.(*sum), b.(*sum)
	return x.total == y.total && x.n == y.n
}

func bytesUpTo(n int) (updates [][]byte) {
	for i := range n {
		updates = append(updates, []byte{byte(i + 1)})
	}
	return updates
}

// seeds are those to try.
func seeds() uint64 {
	if testing.Short() {
		return 1
	}
	return 3
}

func TestPowerCutsFindBugsByThemselves(t *testing.T) {
	for _, test := range []struct {
		bug     sum
		says    string
		updates int
	}{
		{sum{forgets: true}, "updates were recovered, and the state is not the one after them", 1},
		{sum{resets: true}, "updates were recovered, and the state is not the one after them", 1},
		{sum{failsBehind: 3}, "the store does not open: store: restoring", 4},
		{sum{panicsAfter: true}, "the machine panicked: after Restore", 2},
	} {
		t.Run(fmt.Sprintf("%+v", test.bug), func(t *testing.T) {
			for seed := range seeds() {
				r := sumRunner(test.bug, equalSums)
				r.opts.Seed = seed
				f := r.try(crashCheck, bytesUpTo(60))
				if f == nil {
					t.Fatalf("seed %d: the bug was not found", seed)
				}
				f = r.shrink(f)
				if text := r.report(f, t.Name()); !strings.Contains(text, test.says) || len(f.updates) > test.updates || !f.sure {
					t.Fatalf("seed %d: want %q and at most %d updates:\n%s", seed, test.says, test.updates, text)
				}
			}
		})
	}
}

func TestSnapshotsBesideUpdatesFindBugsByThemselves(t *testing.T) {
	for _, test := range []struct {
		bug   sum
		equal func(a, b store.Machine) bool
		says  string
	}{
		{sum{forgets: true}, equalSums, "the snapshot that a store made after "},
		{sum{resets: true}, nil, "a store that was closed and opened again holds another state"},
	} {
		tr := &trial{subject: sumRunner(test.bug, test.equal).subject, updates: bytesUpTo(60)}
		tr.accepted()
		if err := tr.inStore(); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v, want %q", test.bug, err, test.says)
		}
		r := sumRunner(sum{forgets: true}, equalSums)
		if f := r.try(besideCheck, bytesUpTo(60)); f == nil || !strings.Contains(f.err.Error(), "written while others were made") {
			t.Errorf("the bug was not found without a store: %+v", f)
		}
	}
}

// Every operation that changes something on the file system is preceded by a
// power cut, and a store that recovers from one is cut again.
func TestPowerCutsHitEveryOperation(t *testing.T) {
	tr := &trial{
		subject: sumRunner(sum{}, nil).subject, run: sumRunner(sum{}, nil), updates: bytesUpTo(40),
		rng: rand.New(rand.NewPCG(1, 2)),
	}
	tr.accepted()
	c := &crasher{trial: tr, dir: newDir()}
	c.pass()
	if c.err != nil {
		t.Fatal(c.err)
	}
	if c.drawn[0] < 2*40 {
		t.Errorf("%d states were drawn in a store that made 40 updates", c.drawn[0])
	}
	for depth, n := range c.drawn {
		if n == 0 {
			t.Errorf("no state was drawn after %d power cuts", depth)
		}
	}
}

// A store that has fewer updates than were acknowledged, or more than were
// made, is not taken for a good one, even if the state fits.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		recovered, acked, made int
		says                   string
	}{
		{3, 4, 5, "4 updates were acknowledged, and only 3 are there"},
		{6, 4, 5, "5 updates were made, and 6 are there"},
		{5, 4, 5, ""},
		{4, 4, 5, ""},
	} {
		tr := &trial{subject: sumRunner(sum{}, nil).subject, updates: bytesUpTo(8)}
		tr.accepted()
		m, err := tr.replay(test.recovered)
		if err != nil {
			t.Fatal(err)
		}
		l := &life{crasher: &crasher{trial: tr}, made: test.made, acked: test.acked, mem: memfs.New(memfs.Options{})}
		ok := l.judge(m, test.recovered)
		if ok != (test.says == "") || !ok && !strings.Contains(l.err.Error(), test.says) {
			t.Errorf("%+v: %v", test, l.err)
		}
	}
}

func TestPowerCutsGoOnAsLongAsWanted(t *testing.T) {
	r := sumRunner(sum{}, nil)
	r.opts.CrashStates = 1000
	if f := r.try(crashCheck, bytesUpTo(20)); f != nil {
		t.Fatal(f.err)
	}
	if r.crashStates < 1000 {
		t.Errorf("%d states, 1000 were asked for", r.crashStates)
	}
	r.opts.CrashStates, r.opts.CrashTime = 1, 200*time.Millisecond
	start := time.Now()
	if f := r.try(crashCheck, bytesUpTo(20)); f != nil {
		t.Fatal(f.err)
	}
	if took := time.Since(start); took < r.opts.CrashTime {
		t.Errorf("it took %v", took)
	}
}
