package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/meter"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
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
// newest snapshot that is whole and all updates after it, with their indexes and times, those of
// a [Store.Change] as one, and the identity of the store. Its log is sealed, as by Close, so that
// damage to any of it is noticed later. Its files get the permissions that those of src have, less the umask. Copy
// takes no lock in src and changes nothing there, so it works while the store is open, also in
// another process. All that was durable when Copy was called is in the copy; what came
// meanwhile may be, durable or not: if the power then fails there, or the disk, the copy may
// be ahead of the store.
//
// When Copy returns nil, the copy is durable, and [Check] has found nothing wrong with it. index
// is that of the last update in it. Nil opts are the defaults.
//
// The errors are fs.ErrExist, if there is something at dst; fs.ErrNotExist, if there is no store
// in src; [ErrCorrupt], if what is to be copied is damaged, for which there is [Repair]; that of
// ctx; and those of reading and writing. After an error, do not use what is in dst: Open
// refuses it, unless only the check of a complete copy has failed or was ended.
func Copy(ctx context.Context, src, dst string, opts *CopyOptions) (index uint64, err error) {
	c := &copying{ctx: ctx, in: filesOf(src), before: math.MaxUint64}
	if opts != nil {
		c.progress = opts.Progress
	}
	if err := mayMake("copying", src, dst); err != nil {
		return 0, err
	}
	var spoilt error // of the newest snapshot
	for tries := 1; ; tries++ {
		index, err = c.make(dst)
		if c.passOver(err) {
			spoilt = cmp.Or(spoilt, err)
			tries = 0
			continue
		}
		// What was to be read may have been dropped by then.
		gone := errors.Is(err, ErrNotRetained) || errors.Is(err, fs.ErrNotExist)
		if !gone || tries == restoreTries || ctx.Err() != nil {
			if spoilt != nil && (gone || errors.Is(err, ErrCorrupt)) {
				err = spoilt
			}
			break
		}
	}
	if err == nil {
		err = c.verify(dst, index)
	}
	if err == nil {
		return index, nil
	}
	if c.begun && !others(err) {
		err = fmt.Errorf("%w; do not use what is in %s: remove it before you copy again", err, dst)
	}
	return 0, fmt.Errorf("store: copying %s: %w", src, storefile.Bare(err))
}

// A copying is the making of a copy.
type copying struct {
	ctx      context.Context
	in       storefile.Dir
	progress func(done, total int64)
	before   uint64 // the snapshots from this index on are damaged
	unread   string // path of the snapshot that make has begun with, if the disk does not give it back
	begun    bool   // dst is there, and was not before
	size     int64  // of what is read, in bytes
	told     int64
}

// passOver reports whether err is of the snapshot that make has begun with, which is damaged, or
// which the disk does not give back: the one before and more of the log give the same state, as
// they do when the store is opened.
func (c *copying) passOver(err error) bool {
	path := c.unread
	var damage *CorruptError
	if errors.As(err, &damage) {
		path = damage.Path
	}
	if path == "" {
		return false
	}
	l, lerr := c.in.List()
	if lerr != nil {
		return false
	}
	n, _ := slices.BinarySearch(l.Snaps, c.before)
	if n == 0 || path != c.in.Snap(l.Snaps[n-1]) {
		return false
	}
	c.before = l.Snaps[n-1]
	return true
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
	if n, _ := slices.BinarySearch(l.Snaps, c.before); n > 0 {
		state, err := c.in.OpenSnap(l.Snaps[n-1])
		if err != nil {
			c.read(l.Snaps[n-1], err)
			return 0, err
		}
		defer state.Close()
		defer func() { c.read(l.Snaps[n-1], state.Err()) }()
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
	r.cursor = cursor{dir: c.in, next: src.index + 1, store: src.store, known: src.state != nil, once: true}
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
	made, err := makeStore(dst, modesOf(c.in), src, !c.begun)
	c.begun = c.begun || made
	return r.cursor.next - 1, err
}

// read notes what came of reading the snapshot of index.
func (c *copying) read(index uint64, err error) {
	if c.unread = ""; fsys.Unreadable(err) {
		c.unread = c.in.Snap(index)
	}
}

// modesOf returns the permissions that a store has, with those that its owner needs.
func modesOf(in storefile.Dir) *Options {
	o := &Options{}
	// What a link leads to counts.
	if dir, err := in.FS.Stat(in.Path + string(filepath.Separator) + "."); err == nil {
		o.DirMode = dir.Mode.Perm() | 0o700
	}
	if l, err := in.List(); err == nil && len(l.Logs) > 0 {
		if log, err := in.FS.Stat(in.Log(l.Logs[len(l.Logs)-1])); err == nil {
			o.FileMode = log.Mode.Perm() | 0o600
		}
	}
	return o
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
	_, err = r.cursor.read(r.ctx, r.cursor.next, func(got *logged) bool {
		u, ended = *got, false
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

// others reports whether err says that what is in the new directory is somebody else's, made
// or taken just now: nobody is to remove that.
func others(err error) bool { return errors.Is(err, fs.ErrExist) || errors.Is(err, ErrLocked) }

// mayMake returns an error unless a store may be made in dst of the one in src: dst must not
// exist, and not be in src.
func mayMake(doing, src, dst string) error {
	if dst == "" {
		return errNoDir
	}
	dst = filepath.Clean(dst) // a shell puts a slash at the end
	if within(src, dst) {
		return fmt.Errorf("store: %s into %s: it would be within %s, which is not to be changed: name a directory elsewhere", doing, dst, src)
	}
	if why := inAnother(dst); why != "" {
		return fmt.Errorf("store: %s into %s: %s: name a directory elsewhere", doing, dst, why)
	}
	_, err := storefs.For(dst).Stat(dst)
	if err == nil {
		return &storefile.Error{Is: fs.ErrExist, Msg: fmt.Sprintf("%s into %s: %s", doing, dst, inTheWay(src, dst))}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inTheWay says what is at dst, and what to do: only what an attempt has left is to be removed.
func inTheWay(src, dst string) string {
	if l, err := filesIn(dst).List(); err == nil && l.Interrupted(dst) != nil {
		return "a store is being made there, or an attempt to do so that failed or was interrupted has left it: name another directory, or remove this one if nobody is at work there"
	}
	if from, to := followed(src), followed(dst); from == to || sameDir(from, to) {
		return "it is the store itself: name another directory, which does not exist"
	}
	return "it exists already: name a directory that does not"
}

// sameDir reports whether two paths are of one directory.
func sameDir(a, b string) bool {
	x, err := os.Stat(a)
	y, yerr := os.Stat(b)
	return err == nil && yerr == nil && os.SameFile(x, y)
}

// inAnother says what is wrong with a directory that has the name of a store's file, which
// would keep the store around it, now or later, from being opened, or that would be in another store.
func inAnother(dst string) string {
	if storefile.IsFileName(filepath.Base(dst)) {
		return "a store's file is named so"
	}
	parent := filepath.Dir(dst)
	if l, err := filesIn(parent).List(); err == nil && !l.Empty() {
		return fmt.Sprintf("%s holds a store", parent)
	}
	return ""
}

// within reports whether dst would be in the directory src, by whatever names: of links, or
// of another place at which the file system is mounted.
func within(src, dst string) bool {
	if below(src, dst) || below(followed(src), filepath.Join(followed(filepath.Dir(dst)), filepath.Base(dst))) {
		return true
	}
	for at := followed(filepath.Dir(dst)); ; at = filepath.Dir(at) {
		if sameDir(src, at) {
			return true
		}
		if at == filepath.Dir(at) {
			return false
		}
	}
}

// followed returns path without symbolic links, as far as it is there. What can't be found
// out stays as it is.
func followed(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real
	}
	if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
		return filepath.Join(followed(parent), filepath.Base(path))
	}
	return path
}

// below reports whether the path dst leads into src.
func below(src, dst string) bool {
	s, err := filepath.Abs(src)
	d, derr := filepath.Abs(dst)
	if err != nil || derr != nil {
		return false
	}
	rel, err := filepath.Rel(s, d)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}
