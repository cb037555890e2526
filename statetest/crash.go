package statetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

// crashCheck keeps the machine in a store on a file system in memory, cuts the
// power at every operation that changes something there, and judges what a
// store recovers from what is left.
var crashCheck = &check{
	name: "a crash loses nothing that was acknowledged",
	promise: "what the store recovers is the state after a prefix of the updates, " +
		"with all that were acknowledged",
	run: func(tr *trial) error {
		tr.accepted()
		c := &crasher{trial: tr, dir: newDir(), want: tr.run.opts.CrashStates}
		end := time.Now().Add(tr.run.opts.CrashTime)
		if tr.attempt > 0 {
			c.want, end = min(c.want, shrinkStates), time.Now()
		}
		for c.err == nil && (c.states < c.want || time.Now().Before(end)) {
			c.pass()
		}
		if tr.attempt == 0 {
			tr.run.crashStates = c.states
		}
		return c.err
	},
}

const (
	// shrinkStates is how many states are enough while a failure is shrunk.
	shrinkStates = 150
	// crashDepth is how many power cuts may follow each other.
	crashDepth = 3
	// crashDraws is how many states are drawn in a store that was opened after a
	// power cut.
	crashDraws = 4
)

// A crasher drives stores from one power cut to the next.
type crasher struct {
	*trial
	dir    string
	opts   store.Options
	rarity int // operations between two snapshots, about
	want   int
	states int             // drawn and judged
	drawn  [crashDepth]int // of them, by the number of power cuts before
	err    error
}

// pass makes all updates once, with a power cut at each operation.
func (c *crasher) pass() {
	c.rarity = 1 + c.rng.IntN(1+min(20, len(c.log)))
	c.opts = store.Options{
		SnapshotBytes:    -1,
		KeepSnapshots:    1 + c.rng.IntN(3),
		PreallocateBytes: 1 << c.rng.IntN(17),
	}
	pageSizes := [...]int{512, 4096}
	l := &life{crasher: c, draws: -1, after: "the beginning", mem: memfs.New(memfs.Options{
		PageSize: pageSizes[c.rng.IntN(2)],
		Garbage:  c.rng.IntN(2) == 0,
	})}
	l.live(len(c.log))
	if c.err != nil {
		return
	}
	// Without a crash, all is there.
	(&life{crasher: c, mem: l.mem, made: l.made, acked: l.made, after: "closing the store"}).live(0)
}

// A life is one store, from its opening to its end. The store does one
// operation at a time, so nothing is guarded.
type life struct {
	*crasher
	mem         *memfs.FS
	depth       int
	draws       int    // crash states to draw yet; below 0: one at each operation
	made, acked int    // updates made in lives before this moment, and acknowledged
	after       string // which event before it ended the life before
	s           *store.Store
	meanwhile   int // updates to make while a snapshot is written
}

// live opens the store, judges what is there, and makes so many updates.
func (l *life) live(updates int) {
	fs := faultfs.New(l.mem)
	if l.draws != 0 {
		fs.OnOp(l.onOp)
	}
	m := l.newMachine()
	s, err := openOn(fs, l.dir, m, &l.opts)
	if err != nil {
		l.fail(fmt.Errorf("the store does not open: %w", err))
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			l.fail(err)
		}
	}()
	if l.judge(m, int(s.Index())) {
		l.s = s
		l.work(min(updates, len(l.log)-l.made))
	}
}

// judge reports whether m, recovered with so many updates, is what it should be.
// From then on those are the updates made.
func (l *life) judge(m store.Machine, recovered int) bool {
	switch err := error(nil); {
	case recovered < l.acked:
		l.fail(fmt.Errorf("%d updates were acknowledged, and only %d are there", l.acked, recovered))
	case recovered > l.made:
		l.fail(fmt.Errorf("%d updates were made, and %d are there", l.made, recovered))
	default:
		if err = l.expect(m, recovered); err != nil {
			l.fail(fmt.Errorf("%d updates were recovered, and the state is not the one after them:\n%w", recovered, err))
		}
	}
	l.made, l.acked = recovered, recovered
	return l.err == nil
}

// work makes updates, and now and then a snapshot.
func (l *life) work(updates int) {
	for end := l.made + updates; l.err == nil && l.made < end; {
		l.update()
		if l.rng.IntN(l.rarity) != 0 {
			continue
		}
		l.meanwhile = l.rng.IntN(4)
		if err := l.s.Snapshot(context.Background()); err != nil {
			l.fail(fmt.Errorf("making a snapshot after %s: %w", plural(l.made, "update"), err))
		}
	}
}

// update makes the next update.
func (l *life) update() {
	l.made++
	if _, err := l.s.Update(context.Background(), l.log[l.made-1]); err != nil {
		l.fail(fmt.Errorf("making update %d: %w", l.made, err))
		return
	}
	l.acked = l.made
}

// onOp is called before every operation of the store on the file system.
func (l *life) onOp(op faultfs.Op) {
	if op.Kind&faultfs.Changes == 0 || l.err != nil || l.draws == 0 {
		return
	}
	if l.draws < 0 || l.rng.IntN(4) == 0 {
		l.draws--
		l.crash(op)
	}
	if l.meanwhile > 0 && l.made < len(l.log) && op.Kind == faultfs.OpWrite && strings.HasSuffix(op.Path, ".snap.tmp") {
		l.meanwhile--
		l.update()
	}
}

// crash cuts the power, and lives on with what is left.
func (l *life) crash(op faultfs.Op) {
	l.states++
	l.drawn[l.depth]++
	next := &life{
		crasher: l.crasher, mem: l.mem.Crash(l.rng), depth: l.depth + 1,
		made: l.made, acked: l.acked, after: "a power cut before " + op.String(),
	}
	updates := 0
	if next.depth < crashDepth && l.rng.IntN(8) == 0 {
		next.draws = crashDraws
		updates = l.rng.IntN(8)
	}
	// The store may be in a goroutine of its own, where a panic is the end.
	if err := guarded(func() error { next.live(updates); return nil }); err != nil {
		next.fail(err)
	}
}

// fail notes what is wrong. The first is what counts.
func (l *life) fail(err error) {
	if l.err == nil {
		l.err = fmt.Errorf("after %s, with %d updates made and %d acknowledged: %w", l.after, l.made, l.acked, err)
	}
}
