package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"github.com/stateio/stateio/internal/meter"
	"github.com/stateio/stateio/internal/storefile"
)

// CopyOptions are options of [Copy].
type CopyOptions struct {
	// Progress is called with how many bytes of the work are done, of how many, about every
	// 256 KiB and at the end: what is copied is read, and the copy is checked. done never goes
	// back, and is total in the end if the error is nil. Copy calls it from one goroutine at
	// a time, and goes on when it returns.
	Progress func(done, total int64)
}

// Copy makes a copy of the store in directory src in directory dst, which must not exist: the
// newest snapshot and all updates after it, with their indexes and times, and the identity
// of the store. It takes no lock in src and changes nothing there, so it works while the store
// is open, also in another process. All that was durable when Copy was called is in the copy;
// what becomes durable meanwhile may be.
//
// When Copy returns nil, the copy is durable, and [Check] has found nothing wrong with it. index
// is that of the last update in it. Nil opts are the defaults.
//
// The errors are fs.ErrExist, if there is something at dst; [ErrCorrupt], if what is to be copied
// is damaged, for which there is [Repair]; that of ctx; and those of reading and writing. After
// an error, do not use what is in dst: Open refuses it, unless only the check of a complete
// copy has failed or was ended.
func Copy(ctx context.Context, src, dst string, opts *CopyOptions) (index uint64, err error) {
	c := &copying{ctx: ctx, in: filesOf(src)}
	if opts != nil {
		c.progress = opts.Progress
	}
	if err := mayMake("copying", src, dst); err != nil {
		return 0, err
	}
	for tries := 1; ; tries++ {
		index, err = c.make(dst)
		// What was to be read may have been dropped by then.
		gone := errors.Is(err, ErrNotRetained) || errors.Is(err, fs.ErrNotExist)
		if !gone || tries == restoreTries || ctx.Err() != nil {
			break
		}
	}
	if err == nil {
		err = c.verify(dst, index)
	}
	if err == nil {
		return index, nil
	}
	if c.begun {
		err = fmt.Errorf("%w; do not use what is in %s: remove it before you copy again", err, dst)
	}
	return 0, fmt.Errorf("store: copying %s: %w", src, storefile.Bare(err))
}

// A copying is the making of a copy.
type copying struct {
	ctx      context.Context
	in       storefile.Dir
	progress func(done, total int64)
	begun    bool  // something was made
	size     int64 // of what is read, in bytes
	told     int64
}

// make copies what there is now, and returns the index of the last update.
func (c *copying) make(dst string) (index uint64, err error) {
	l, err := c.in.Find()
	if err != nil {
		return 0, err
	}
	if err := errors.Join(c.in.Chained(l, math.MaxUint64), c.in.OneStore(l, math.MaxUint64)); err != nil {
		return 0, err
	}
	src := &source{}
	var sizes []int64
	if n := len(l.Snaps); n > 0 {
		state, err := c.in.OpenSnap(l.Snaps[n-1])
		if err != nil {
			return 0, err
		}
		defer state.Close()
		sizes = append(sizes, state.Size())
		src.index, src.time, src.store = l.Snaps[n-1], state.Header.Time, state.Header.Store
		src.state = &readState{ctx: c.ctx, state: state}
	} else if err := c.in.HasBeginning(l); err != nil {
		return 0, err
	}
	first, _ := slices.BinarySearch(l.Logs, src.index)
	logs, err := c.in.LogSizes(l.Logs[first:])
	if err != nil {
		return 0, err
	}
	r := &copyReader{ctx: c.ctx, meter: c.meter(append(sizes, logs...))}
	r.cursor = cursor{dir: c.in, next: src.index + 1, store: src.store, known: src.state != nil}
	defer r.cursor.close()
	// The log after the snapshot is opened before that is read, which may take long.
	if err := r.cursor.open(); err != nil {
		return 0, err
	}
	if state, ok := src.state.(*readState); ok {
		r.meter.Next()
		state.meter = r.meter
	}
	src.store, src.next = r.cursor.r.Header.Store, r.next
	c.begun = true
	err = makeStore(dst, nil, src)
	return r.cursor.next - 1, err
}

// meter returns a meter for files of these sizes. To read them is half of the work.
func (c *copying) meter(sizes []int64) *meter.Meter {
	if c.progress == nil {
		return meter.New(nil, nil)
	}
	c.size = 0
	for _, size := range sizes {
		c.size += size
	}
	return meter.New(func(done, _ int64) { c.tell(done) }, sizes)
}

// tell tells that so much is done, or more if that was told before: a copy may begin anew.
func (c *copying) tell(done int64) {
	c.told = max(c.told, done)
	c.progress(c.told, max(2*c.size, c.told))
}

// verify makes sure that the copy holds the state of index.
func (c *copying) verify(dst string, index uint64) error {
	o := &CheckOptions{}
	if c.progress != nil {
		o.Progress = func(done, total int64) { c.tell(c.size + int64(float64(c.size)*float64(done)/float64(total))) }
	}
	reports, err := Check(c.ctx, dst, o)
	if err != nil {
		return err
	}
	for _, f := range reports {
		for _, damage := range f.Damage {
			return fmt.Errorf("the copy reads differently: %w", storefile.Bare(damage))
		}
	}
	if last, ok := LastIntact(reports); !ok || last != index {
		return storefile.Corrupt(dst, 0, "the copy leads to index %d, and not to %d", last, index)
	}
	return nil
}

// A copyReader returns the updates that are copied.
type copyReader struct {
	cursor cursor
	ctx    context.Context
	meter  *meter.Meter
	log    *storefile.LogReader // that is metered
}

// next is that of a source.
func (r *copyReader) next() (u logged, err error) {
	ended := true
	_, err = r.cursor.read(r.ctx, r.cursor.next, func(got Update, _ error) bool {
		u, ended = *got.logged(), false
		return true
	})
	switch {
	case errors.Is(err, errEnd):
		return u, io.EOF
	case err == nil && ended:
		err = r.ctx.Err()
	}
	if err == nil {
		if r.log != r.cursor.r {
			r.log = r.cursor.r
			r.meter.Next()
		}
		r.meter.At(r.log.End)
	}
	return u, err
}
