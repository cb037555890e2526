package inspect

import (
	"context"
	"errors"
	"io"

	"github.com/stateio/stateio"
)

// maxDamage is how many damaged ranges a Report keeps.
const maxDamage = 1000

// Options are what a caller of [Verify] may want. Nil and zero work.
type Options struct {
	// Found is called with every damaged range, as soon as it is found.
	Found func(Damage)
	// Progress is called with the offset that was reached, about every 256 KiB.
	Progress func(off int64)
}

// A Report tells what is in a state file. Sizes and offsets are in bytes.
type Report struct {
	Size int64 // of what was inspected: the limit
	// Freed is how much of the front was given back to the file system, with
	// what is left of an entry that lost its beginning that way.
	Freed int64
	// End is where the last whole entry ends. Zeros up to Size are space that
	// was allocated ahead; a torn tail is listed with the damage.
	End int64

	Updates   int64 // intact ones, of all epochs
	Snapshots int64 // intact ones
	Epochs    int64 // of which there is an intact entry
	Payload   int64 // bytes of payload in the intact entries

	Epoch   uint64 // the current one, if Err returns nil
	Current int64  // intact updates of the current epoch

	// Damage holds the first 1,000 damaged ranges, in order of their offsets.
	// Damaged is the number of all, torn tail included.
	Damage  []Damage
	Damaged int64

	path    string
	current *Damage // the first in the current epoch
	sound   bool    // no damage at all, but for a torn tail
}

// Sound reports whether nothing is damaged. A torn tail is no damage; see
// [Report.Incomplete] for a file that is nothing else.
func (r *Report) Sound() bool { return r.sound }

// Incomplete reports whether the file holds something, but no whole entry: what a
// crash left of a first write, the beginning of a copy that broke off, zeros, or
// what is no state file. Package stateio takes it for an empty file if that is
// what a first write may have left, because a program must come up after a crash.
// A person who looks at a file should be told.
func (r *Report) Incomplete() bool { return r.Size > 0 && r.End == 0 }

// Err returns nil if the current state is intact: then, and only then, does
// [stateio.NewFileWriter] accept the file. Otherwise it is the first damage to
// the current epoch, as a [*stateio.CorruptError].
func (r *Report) Err() error {
	if r.current == nil {
		return nil
	}
	return &stateio.CorruptError{Path: r.path, Offset: r.current.Offset, Err: errors.New(r.current.Reason)}
}

// Verify reads all of the first limit bytes of r, checks every record and every
// entry, and reports what it found. It writes nothing, needs little memory, and
// can run while r is appended to. Damage is no error: the error is that of ctx, wraps
// [stateio.ErrNoEpoch] if [stateio.Truncate] gives back meanwhile what was there at the
// beginning, or says why reading failed.
func Verify(ctx context.Context, r io.ReaderAt, limit int64, opts *Options) (*Report, error) {
	if opts == nil {
		opts = &Options{}
	}
	s, err := newScan(r, limit, 0)
	if err != nil {
		return nil, err
	}
	rep := &Report{Size: limit, End: s.last.Last.End, Epoch: s.epoch, path: s.path, sound: true}
	epoch, any := uint64(0), false
	s.found = func(e *Entry) bool {
		if e.Epoch != epoch || !any {
			epoch, any = e.Epoch, true
			rep.Epochs++
		}
		rep.add(e)
		return true
	}
	s.broken = func(d Damage) bool {
		rep.damage(d)
		if opts.Found != nil {
			opts.Found(d)
		}
		return true
	}
	s.passed = func(off int64) error {
		if opts.Progress != nil {
			opts.Progress(off)
		}
		return ctx.Err()
	}
	err = s.run()
	rep.Freed = s.freed
	return rep, err
}

// add counts entry e.
func (r *Report) add(e *Entry) {
	r.Payload += e.Size
	switch {
	case e.Kind == Snapshot:
		r.Snapshots++
		return
	case e.Epoch == r.Epoch:
		r.Current++
	}
	r.Updates++
}

// damage counts and keeps damage d.
func (r *Report) damage(d Damage) {
	r.Damaged++
	if len(r.Damage) < maxDamage {
		r.Damage = append(r.Damage, d)
	}
	if d.Place != TornTail {
		r.sound = false
	}
	if d.Place == Current && r.current == nil {
		r.current = &d
	}
}
