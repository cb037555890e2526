package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// inject draws the fault that strikes in this generation.
func (g *generation) inject() {
	if g.rng.IntN(8) == 0 {
		g.refuse()
		return
	}
	f := drawFault(g.rng)
	g.note("to fail: %v %d, for ever: %v, after: %v, short: %d, revert: %v: %v", f.Kinds, f.N, f.Forever, f.After, f.Short, f.Revert, f.Err)
	g.fault = g.fs.Inject(f)
	g.fills = errors.Is(f.Err, diskFull) || errors.Is(f.Err, quotaUsed)
}

// spaceReturns is after how many writes that a full disk refuses there is space
// again: what was applied and can't be written waits for that.
const spaceReturns = 3

// makeRoom ends a fault that fills the disk, at times.
func (g *generation) makeRoom(op faultfs.Op) {
	if !g.fills || op.Kind&(faultfs.OpWrite|faultfs.OpCreate) == 0 {
		return
	}
	if g.refusals++; g.refusals == spaceReturns {
		g.note("there is space again")
		g.fs.Heal()
	}
}

// refuse makes the system refuse calls that a store can do without, from some moment
// on: nothing may come of it. Without DropCache, an Open after a failed sync may take
// what is cached for what is on the disk; so that is not among them.
func (g *generation) refuse() {
	f := faultfs.Fault{
		Kinds: faultfs.OpPreallocate | faultfs.OpLockDir, N: 1 + g.rng.Int64N(8), Forever: true,
		Err: pick[error](g.rng, noSuchCall, notSupported),
	}
	g.waits = true
	g.note("refused: %v %d: %v", f.Kinds, f.N, f.Err)
	g.fs.Inject(f)
}

// drawFault draws a fault of any kind that a disk or a kernel has. Most strike
// within the operations that recovering takes.
func drawFault(rng *rand.Rand) faultfs.Fault {
	f := faultfs.Fault{Kinds: faultfs.AnyOp, Err: syscall.EIO, Forever: rng.IntN(2) == 0, N: 1 + rng.Int64N(1<<rng.IntN(7))}
	switch rng.IntN(8) {
	case 0:
		f.Err = pick[error](rng, syscall.EIO, syscall.EMFILE, syscall.EACCES)
	case 1:
		f.Kinds, f.After = faultfs.Changes, rng.IntN(2) == 0
	case 2:
		f.Kinds, f.Short = faultfs.OpRead, rng.IntN(100)
	case 3:
		f.Kinds, f.Short = faultfs.OpWrite, rng.IntN(5000)
		f.Err = pick[error](rng, syscall.EIO, diskFull, fileTooBig)
	case 4, 5:
		// The pages are lost, whatever the next sync says.
		f.Kinds, f.Revert = faultfs.OpSync|faultfs.OpDatasync, rng.IntN(2) == 0
	case 6:
		f.Kinds, f.Err = faultfs.OpPreallocate|faultfs.OpCreate|faultfs.OpWrite, pick[error](rng, diskFull, quotaUsed)
	case 7:
		f.Kinds, f.After = faultfs.OpRename|faultfs.OpRemove|faultfs.OpSyncDir|faultfs.OpCreate|faultfs.OpTruncate, rng.IntN(2) == 0
	}
	return f
}

// makeRoomForCopy gives a full disk space again when a commit has waited for it: the
// log has another name, and the copy to write to has no space.
func (g *generation) makeRoomForCopy(op faultfs.Op) {
	if !g.full || op.Kind != faultfs.OpCreate || !strings.HasSuffix(op.Path, ".log.copy.tmp") {
		return
	}
	if g.copies++; g.copies%spaceReturns == 0 {
		g.note("there is space for a copy")
		g.mem.SetQuota(0)
	}
}

// hitNow reports whether the fault hits the operation that is about to be done.
func (g *generation) hitNow() bool {
	if g.fault == nil {
		return false
	}
	before := g.hits
	g.hits = g.fault.Hits()
	return g.hits > before
}

// struck reports whether the fault has hit anything.
func (g *generation) struck() bool { return g.fault != nil && g.fault.Hits() > 0 }

// excused reports whether an error may be the consequence of what was done to
// the file system.
func (g *generation) excused(err error) bool {
	return g.struck() || g.full && errors.Is(err, store.ErrNoSpace) && !errors.Is(err, store.ErrFailed)
}

// outcome judges the error of an operation of the store, and returns it unless
// it is excused.
func (g *generation) outcome(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case !g.excused(err):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, store.ErrFailed):
		g.failed = true
	}
	g.note("%s: %v", what, err)
	return nil
}
