package faultfs

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/stateio/stateio/internal/fsys"
)

// Fault says which operations on a [FS] go wrong, and how. The zero value
// fails the next operation, whatever it is, with [io.ErrUnexpectedEOF], before
// it has any effect.
type Fault struct {
	Kinds Kind   // operations that match; 0: any
	Path  string // pattern, as of filepath.Match, for the last element of either path; "": any

	N       int64 // hits the Nth operation that matches, counted from Inject on, from 1; 0 is 1
	Forever bool  // hits all matching operations after the Nth too

	// Err comes back from the operation, wrapped in a *fs.PathError. The default
	// is io.ErrUnexpectedEOF, or fsys.ErrCrashed with Stop.
	Err error
	// Short is how many bytes a read or write moves before it fails.
	Short int
	// After carries the operation out before the error comes back.
	After bool
	// Stop ends everything at this operation: before it, or with After after it,
	// or with Short in its middle. See FS.Stop.
	Stop bool
	// Revert makes a failed Sync or Datasync of a memfs.FS show the old bytes again.
	// Without it the cache goes on showing the new ones, as Linux does with ext4
	// and XFS. Either way they are marked clean and do not reach the disk. The
	// disk of an fsys.OS is never harmed: the sync is only left out.
	Revert bool
}

// FS is a file system that numbers the operations on the one below it,
// fails some, and writes down all. Make one with [New]. Faults have effect
// on files and locks opened through it, also before the fault was injected.
//
// An FS and its Files may be used by any number of goroutines at once.
type FS struct {
	fsys fsys.FS
	from *FS // that a directory of was held, which has all below; nil: this one

	mu         sync.Mutex // guards all below
	ops        int64
	stopped    bool
	injected   []*Injection
	hook       func(Op)
	transcript io.Writer
}

// New returns an FS over fsys that has no faults yet.
func New(fsys fsys.FS) *FS { return &FS{fsys: fsys} }

// base returns the FS that counts and fails the operations of f.
func (f *FS) base() *FS {
	if f.from != nil {
		return f.from
	}
	return f
}

// Injection is a Fault that has been injected.
type Injection struct {
	f     *FS
	fault Fault
	seen  int64 // operations that matched
	hits  int64
}

// Hits returns how many operations the fault has hit. A loop over N is through
// when a run ends without a hit.
func (i *Injection) Hits() int64 {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	return i.hits
}

// Inject arms a fault. If several hit one operation, the first injected counts.
func (f *FS) Inject(fault Fault) *Injection {
	f = f.base()
	i := &Injection{f: f, fault: fault}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.injected = append(f.injected, i)
	return i
}

// Heal removes all faults. What they have done stays done.
func (f *FS) Heal() {
	f = f.base()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.injected = nil
}

// Ops returns the number of operations so far.
func (f *FS) Ops() int64 {
	f = f.base()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// OnOp has hook called before every operation, faulty or not, by the goroutine
// that does it; nil stops that. The hook may draw crash states of a memfs.FS below.
func (f *FS) OnOp(hook func(Op)) {
	f = f.base()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Transcript has every operation written to w as one line, with slashes, when it ends:
//
//	12 write a/log 512+20 -> ok
//	13 datasync a/log -> datasync a/log: input/output error
//
// nil, the default, writes none. Writes to w are serialized; their errors are
// ignored.
func (f *FS) Transcript(w io.Writer) {
	f = f.base()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.transcript = w
}

// Stop makes every operation from now on fail with fsys.ErrCrashed, without effect;
// they are no longer counted. If the file system below is a memfs.FS, it is stopped
// too. Close still closes files and frees locks of an fsys.OS, as the end of the
// process would.
func (f *FS) Stop() {
	f = f.base()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopLocked()
}

func (f *FS) stopLocked() {
	f.stopped = true
	if s, ok := f.fsys.(interface{ Stop() }); ok {
		s.Stop()
	}
}

// stopFault is what hits every operation after Stop.
var stopFault = Fault{Err: fsys.ErrCrashed}

// begin numbers op and returns the fault that hits it, or nil.
func (f *FS) begin(op *Op) *Fault {
	f = f.base()
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		return &stopFault
	}
	f.ops++
	op.N = f.ops
	hook := f.hook
	var fault *Fault
	for _, i := range f.injected {
		if i.match(op) && fault == nil {
			i.hits++
			fault = &i.fault
		}
	}
	f.mu.Unlock()
	if hook != nil {
		hook(*op)
	}
	return fault
}

// match counts op if it matches, and tells whether it is to be hit.
func (i *Injection) match(op *Op) bool {
	if i.fault.Kinds != 0 && i.fault.Kinds&op.Kind == 0 {
		return false
	}
	if p := i.fault.Path; p != "" && !matchBase(p, op.Path) && !matchBase(p, op.NewPath) {
		return false
	}
	i.seen++
	n := max(1, i.fault.N)
	return i.seen == n || i.fault.Forever && i.seen > n
}

func matchBase(pattern, path string) bool {
	ok, err := filepath.Match(pattern, filepath.Base(path))
	return ok && err == nil && path != ""
}

// end writes op into the transcript and returns err as the operation's.
func (f *FS) end(op *Op, err error) error {
	f = f.base()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.transcript != nil && op.N > 0 {
		result := "ok"
		if err != nil {
			result = err.Error()
		}
		_, _ = fmt.Fprintf(f.transcript, "%d %v -> %s\n", op.N, *op, filepath.ToSlash(result))
	}
	return err
}

// failure makes the fault happen, now that what was to precede it has.
func (f *FS) failure(op *Op, fault *Fault) error {
	err := fault.Err
	if err == nil {
		err = io.ErrUnexpectedEOF
		if fault.Stop {
			err = fsys.ErrCrashed
		}
	}
	if fault.Stop {
		f.Stop()
	}
	return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: fsys.NoSpace(err)}
}

// run does an operation that is all or nothing.
func (f *FS) run(op Op, call func() error) error {
	fault := f.begin(&op)
	if fault == nil {
		return f.end(&op, call())
	}
	if fault.After {
		if err := call(); err != nil {
			return f.end(&op, err)
		}
	}
	return f.end(&op, f.failure(&op, fault))
}
