package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// An Update is one that was made, as [Store.Updates] returns it.
type Update struct {
	Index uint64 // the first update ever has index 1
	// Time is that of the commit that has made the update durable, in UTC, by the clock
	// of the machine on which it was made. It never goes back from one update to the next.
	Time time.Time
	Data []byte // the caller's
	// State says that Data is a whole state, which has replaced the one before: that of
	// [Store.Replace], for Machine.Restore in place of Apply.
	State bool
	// More says that the next update is of the same [Store.Change]: there was no state
	// between the two, so a reader that keeps one applies both before it shows it.
	More bool
}

// passTo returns a function that passes updates on to yield, as they are told.
func passTo(yield func(Update, error) bool) func(*logged) bool {
	return func(u *logged) bool { return yield(u.update(), nil) }
}

// Updates returns the durable updates from index from on, in order, and then
// those that become durable, as they do, until ctx ends: then the sequence
// ends, without an error. A from of 0 means 1; one that is not reached yet is
// waited for. Updates that were made in earlier uses of the store are returned
// too, as far back as they are retained.
//
// An error ends the sequence: ErrNotRetained if the next update is no longer
// there, because from is too old or the caller was slower than
// Options.KeepSnapshots allows; ErrClosed or ErrFailed when the store takes no
// more updates and all durable ones were returned; ErrReentrant where it would wait for
// itself, in the machine or View, after all durable ones; or one of reading the log.
//
// The updates of a [Store.Change] come one by one: Update.More tells that they are one unit.
// A sequence may begin or end among them, by from and by ctx.
//
// The sequence can be used again, from any goroutine, and starts anew. What it
// returns is read from the log files, so it costs nothing while it is not read.
func (s *Store) Updates(ctx context.Context, from uint64) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		s.followers.Add(1)
		defer s.followers.Add(-1)
		// After Close, another store may be where this one was.
		c := &cursor{dir: s.dir.Dir, next: max(from, 1), readable: s.readable, store: s.dir.ID, known: true}
		defer c.close()
		for ctx.Err() == nil {
			durable, changed, err := s.progress(c.next)
			if c.next <= durable {
				if ok, err := c.read(ctx, durable, passTo(yield)); err != nil {
					yield(Update{}, err)
					return
				} else if !ok {
					return
				}
				continue
			}
			if err == nil && (s.within(inApply, inCapture, inHeldWrite) || c.next > s.index.Load() && s.within(inView)) {
				err = errReentrant
			}
			if err != nil {
				yield(Update{}, err)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// ReadUpdates returns the updates in the store in directory dir from index
// from on, up to the end of what is there. It takes no lock and changes nothing,
// so it works while the store is open, whose last updates it may or may not
// see, durable or not. Errors are those of [Store.Updates], *CorruptError
// for damage, and fs.ErrNotExist if there is no store in dir.
func ReadUpdates(ctx context.Context, dir string, from uint64) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		c := &cursor{dir: filesIn(dir), next: max(from, 1), once: true}
		defer c.close()
		if err := c.readAll(ctx, passTo(yield)); err != nil {
			yield(Update{}, err)
		}
	}
}

// TailUpdates is [ReadUpdates], and goes on at the end with the updates that come later,
// a moment after another process has made them, until ctx ends: then the sequence ends,
// without an error. Where the store was set back to an earlier state, it ends as [Follow] does.
func TailUpdates(ctx context.Context, dir string, from uint64) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		timer := time.NewTimer(defaultPoll)
		defer timer.Stop()
		tail(ctx, dir, from, yield, func(ctx context.Context) {
			timer.Reset(defaultPoll)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		})
	}
}

// TailUpdatesOn is [TailUpdates] for a caller that can tell when to look for more, such as
// one that the file system notifies of changes in dir. TailUpdates looks every 10 ms.
//
// At the end of what is there the sequence calls wait, from the goroutine that it is used
// in, and looks again when wait returns. What wait returns too early for costs a look; what
// it returns too late for comes late, but is never left out. It should return when ctx ends.
// Nil stands for the wait of TailUpdates.
func TailUpdatesOn(ctx context.Context, dir string, from uint64, wait func(context.Context)) iter.Seq2[Update, error] {
	if wait == nil {
		return TailUpdates(ctx, dir, from)
	}
	return func(yield func(Update, error) bool) {
		tail(ctx, dir, from, yield, wait)
	}
}

// tail passes updates to yield until ctx ends, and calls wait where there are no more.
func tail(ctx context.Context, dir string, from uint64, yield func(Update, error) bool, wait func(context.Context)) {
	c := &cursor{dir: filesOf(dir), next: max(from, 1)}
	defer c.close()
	for ctx.Err() == nil {
		before := list(c.dir)
		more, err := c.read(ctx, math.MaxUint64, passTo(yield))
		switch {
		case errors.Is(err, errEnd):
		case err != nil && c.known && before.outdates(err):
			c.doubted = true
		case err != nil:
			yield(Update{}, err)
			return
		case !more:
			return
		}
		for idle := true; idle && err != nil && ctx.Err() == nil; {
			if wait(ctx); ctx.Err() != nil {
				return
			}
			var ierr error
			if idle, ierr = c.idle(); ierr != nil {
				yield(Update{}, ierr)
				return
			}
		}
	}
}

// defaultPoll is how long to wait before looking for updates again.
const defaultPoll = 10 * time.Millisecond

// progress returns the index of the last durable update. If that is before
// next, it also returns why there will be no more, or what to wait for.
func (s *Store) progress(next uint64) (durable uint64, changed <-chan struct{}, err error) {
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if next > s.durable {
		applying := s.applying.Load() // looked at before index, which is higher by then if it is over
		pending := s.flight != nil || s.fill.updates > 0 || (applying || s.index.Load() > s.durable) && s.failureLocked() == nil
		if !pending {
			err = s.err // else more are on their way, also while the store is closed
		}
		changed = s.changedLocked(err == nil)
	}
	return s.durable, changed, err
}

// readable returns how far the log after base, open in f, may be read.
func (s *Store) readable(base uint64, f fsys.File) (int64, error) {
	s.batchMu.Lock()
	s.mu.Lock()
	live := s.log != nil && s.log.Header.Base == base
	var end int64
	if live {
		end = s.log.durable
	}
	s.mu.Unlock()
	s.batchMu.Unlock()
	if live {
		return end, nil
	}
	return storefile.Size(f)
}

// A cursor reads updates over log files.
type cursor struct {
	dir  storefile.Dir
	next uint64 // index of the next update
	// readable tells how far a log may be read. If it is nil, logs are read up
	// to where they end, which is for the cursor to find out.
	readable func(base uint64, f fsys.File) (int64, error)

	// once says that what comes after reading has begun is not wanted: the first end will do.
	once bool

	r *storefile.LogReader // nil: the log with the next update is to be opened
	u logged               // read last

	sealed uint64 // index of the last update in the log that was read to its seal

	store [16]byte // identity of the store, if known
	known bool

	// mark is the update before next, as of when a reader last stopped there or was closed:
	// what is read then must go on after it.
	mark  storefile.Mark
	moved bool // r has returned updates
	again bool // r has stopped after mark, and has returned nothing since

	stoppedAt int64  // where r stopped last, or -1
	replaced  uint64 // the update that was next when a log was seen to be replaced
	lost      bool   // something shows that more than what is before it was durable
	doubted   bool   // an error was passed over: the next look reads again, whatever it sees
}

// errEnd is what cursor.read returns at the end of all logs.
var errEnd = errors.New("the end of the last log")

// readAll passes updates to yield, up to the end of what is there, or until yield has had
// enough.
func (c *cursor) readAll(ctx context.Context, yield func(*logged) bool) error {
	more, err := c.read(ctx, math.MaxUint64, yield)
	if err != nil && !errors.Is(err, errEnd) {
		return err
	}
	if err := ctx.Err(); err != nil && more {
		return fmt.Errorf("store: reading the updates in %s, from update %d on: %w", c.dir.Path, c.next, err)
	}
	return nil
}

// read passes updates to yield, up to index last. It reports false when yield
// has had enough. What yield gets is valid until it returns, or calls rest.
func (c *cursor) read(ctx context.Context, last uint64, yield func(*logged) bool) (bool, error) {
	for c.next <= last && ctx.Err() == nil {
		if c.r == nil {
			if err := c.open(); err != nil {
				return false, err
			}
		}
		update, err := c.r.Next()
		if c.again && err == nil {
			if stands, err := c.stands(); err != nil {
				return false, err
			} else if !stands {
				continue
			}
		}
		switch {
		case err == io.EOF:
			if c.r.Index == c.r.Header.Base {
				return false, storefile.SealedEmpty(c.r.Path)
			}
			if c.r.Index < c.mark.Index {
				return false, c.setBack()
			}
			c.sealed = c.r.Index
			c.close()
		case errors.Is(err, storefile.ErrStop):
			if err := c.stopped(); err != nil {
				return false, err
			}
		case err != nil:
			return false, err
		case c.r.Index == c.next:
			c.moved, c.again = true, false
			if !yield(c.take(update)) {
				return false, nil
			}
		case c.r.Index == c.mark.Index && !c.r.Holds(c.mark):
			return false, c.setBack()
		}
	}
	return true, nil
}

// take returns the update that was read last, which is not next any more.
func (c *cursor) take(update []byte) *logged {
	c.next++
	c.u = logged{index: c.r.Index, unitEnd: c.r.UnitEnd, at: c.r.Time, data: update, state: c.r.State}
	return &c.u
}

// rest returns the next update of the unit that the last one is of, or nil if that was its
// end. It is for who wants units, within yield of read.
func (c *cursor) rest() *logged {
	if c.u.index == c.u.unitEnd {
		return nil
	}
	update, _ := c.r.Next() // which has all of the unit
	return c.take(update)
}

// stands reports whether the log still holds what was read of it. If not, it is closed, and
// read from its beginning when it is opened again.
func (c *cursor) stands() (bool, error) {
	stands, err := c.r.Stands(c.mark)
	if err == nil && !stands {
		c.shut()
	}
	return stands, err
}

// open opens the log with the next update. It looks again if logs came or went
// meanwhile; one may even have gone and come back.
func (c *cursor) open() error {
	for tries := 0; ; tries++ {
		l, err := c.dir.List()
		if err != nil {
			return err
		}
		if err := l.Interrupted(c.dir.Path); err != nil {
			return err
		}
		if err = c.dir.NoStore(); !l.Empty() {
			err = c.openOf(l)
		}
		gone := errors.Is(err, fs.ErrNotExist)
		if !gone && !errors.Is(err, ErrNotRetained) && !errors.Is(err, ErrCorrupt) {
			return err
		}
		now, lerr := c.dir.List()
		if lerr != nil && errors.Is(err, ErrCorrupt) {
			return lerr // whether files have come is not known
		}
		if lerr != nil || slices.Equal(now.Logs, l.Logs) && (!gone || tries > 0) {
			return err
		}
	}
}

// openOf opens the log of l with the next update.
func (c *cursor) openOf(l *storefile.Listing) error {
	i, err := c.find(l)
	if err != nil {
		return err
	}
	if i < 0 || l.Logs[i] < c.sealed {
		return c.gap(l, i)
	}
	c.stoppedAt, c.moved, c.again = -1, false, false
	r, err := c.dir.OpenLog(l.Logs[i], c.limit(l.Logs[i]))
	if err != nil {
		return err
	}
	r.Track(c.mark)
	c.r = r
	if err := c.sameStore(r.Header, r.Path); err != nil {
		c.shut()
		return err
	}
	same, err := c.dir.Continues(l, r, c.mark)
	switch {
	case err != nil:
		c.shut()
	case !same:
		return c.setBack()
	default:
		c.store, c.known = r.Header.Store, true
	}
	return err
}

// sameStore returns an error if the file with header h belongs to another store than what
// was read before.
func (c *cursor) sameStore(h storefile.Header, path string) error {
	if !c.known || h.Store == c.store {
		return nil
	}
	return storefile.Corrupt(path, 0, "it belongs to another store than the one that was read before: somebody has put it in its place")
}

// setBack says that the store does not hold the update before next any more, and ends the
// use of its log.
func (c *cursor) setBack() error {
	path, off := c.dir.Path, int64(0)
	if c.r != nil {
		path, off = c.r.Path, c.r.End
		c.shut()
	}
	return storefile.Corrupt(path, off, "update %d, which was read before, is not in the store any more, or is another one there: the store was set back to an earlier state or made anew, by a backup, a copy or a repair, or has lost it with the disk; begin anew, with the state that it has now", c.mark.Index)
}

// find returns the position of the log with the next update, or -1.
func (c *cursor) find(l *storefile.Listing) (int, error) {
	for i, base := range slices.Backward(l.Logs) {
		if base == c.next-1 {
			return i, nil
		}
		if base < c.next {
			// One that is empty never came into use.
			void, err := c.dir.Void(base)
			if !void {
				return i, err
			}
		}
	}
	return -1, nil
}

// limit returns what tells how far the log after base, open in f, may be read.
func (c *cursor) limit(base uint64) func(f fsys.File) (int64, error) {
	if c.readable == nil {
		return storefile.Size
	}
	return func(f fsys.File) (int64, error) { return c.readable(base, f) }
}

// gap says why no log has the next update; the i-th of l, if i is not -1, ends before.
func (c *cursor) gap(l *storefile.Listing, i int) error {
	if n := len(l.Logs); n > 0 && c.known {
		h, _, err := c.dir.LogHeader(l.Logs[n-1])
		if err == nil {
			err = c.sameStore(h, c.dir.Log(l.Logs[n-1]))
		}
		if err != nil {
			return err
		}
	}
	dropped := len(l.Snaps) > 0 && c.next <= l.Snaps[0]
	if c.mark.Index > 0 && !dropped && (i >= 0 || !l.Passes(c.mark.Index)) {
		held, sealed, err := c.dir.HasMarked(l, c.mark)
		switch {
		case err != nil:
			return err
		case !held:
			return c.setBack()
		case !sealed && i >= 0:
			c.sealed = 0 // it is a copy, made before the seal
			return c.openOf(l)
		}
	}
	_, there := slices.BinarySearch(l.Logs, c.sealed)
	if i < 0 || there || len(l.Snaps) > 0 && c.sealed < l.Snaps[0] {
		return c.notRetained() // it was never made, or dropped
	}
	return c.dir.MissingLog(c.sealed)
}

func (c *cursor) notRetained() error {
	return &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf("update %d is not in %s", c.next, c.dir.Path)}
}

// stopped is called where the log has no next entry. It returns nil if the
// reader is to try again.
//
// The log may be written while it is read. So what shows that an entry was
// durable is looked for before the entry is read once more: if it is still
// missing then, it is not on its way.
func (c *cursor) stopped() error {
	limit, err := c.r.Allowed(c.limit(c.r.Header.Base))
	if err != nil {
		return err
	}
	grown := limit > c.r.Limit
	switch {
	case c.stoppedAt != c.r.End && (c.once || !grown):
		c.stoppedAt = c.r.End
		if c.lost, err = c.outlived(); err != nil {
			return err
		}
		if c.once && !c.lost {
			return c.ended() // all that was durable when reading began is before that
		}
	case grown:
		c.stoppedAt = -1
	case c.lost:
		return c.broken()
	default:
		return c.ended()
	}
	c.note()
	c.r.Resume(limit)
	c.again = true
	return nil
}

// ended says how reading ends where the newest log does.
func (c *cursor) ended() error {
	switch {
	case c.r.Index < c.mark.Index:
		return c.setBack()
	case c.r.Index+1 < c.next:
		return c.notRetained()
	}
	return errEnd
}

// broken is called when an entry that was durable is not there. It returns nil if
// that is because the log was given up, dropped or replaced by a copy meanwhile, and
// closes it.
func (c *cursor) broken() error {
	info, err := c.r.Stat()
	if err == nil && info.Links > 0 && c.replaced < c.next {
		// One that was dropped may have a name elsewhere, in a copy made of links.
		now, serr := c.dir.FS.Stat(c.r.Path)
		if errors.Is(serr, fs.ErrNotExist) || serr == nil && now.ID != info.ID {
			c.replaced, info.Links = c.next, 0
		}
	}
	if err == nil && info.Links == 0 {
		c.close()
		return nil
	}
	return storefile.Corrupt(c.r.Path, c.r.Bad, "%s, where update %d should be", c.r.Reason, c.r.Index+1)
}

// outlived reports whether something shows that more than what was read of the
// log was once durable: an entry after it, or a later log. The error says so as well, if a
// snapshot does.
func (c *cursor) outlived() (bool, error) {
	if c.readable != nil {
		return true, nil // the store knows
	}
	t, err := c.r.ReadTail()
	if err != nil || t.Proof >= 0 {
		return true, err
	}
	l, err := c.dir.List()
	if err != nil || len(l.Logs) == 0 {
		return false, err
	}
	if err := c.dir.Chained(l, math.MaxUint64); err != nil {
		return false, err
	}
	last := l.Logs[len(l.Logs)-1]
	if last <= c.r.Header.Base {
		return false, nil
	}
	if last > c.r.Index {
		return true, nil
	}
	void, err := c.dir.VoidOrGone(last)
	return !void, err
}

// note marks the update before next, if the current log has returned it.
func (c *cursor) note() {
	if c.moved && c.r.Index == c.next-1 {
		c.mark = c.r.Mark()
	}
}

// close ends the use of the current log.
func (c *cursor) close() {
	if c.r != nil {
		c.note()
		c.shut()
	}
}

// shut is close where the log may not be the one that was read.
func (c *cursor) shut() {
	c.r.Close()
	c.r = nil
}

// idle reports whether a cursor that has come to the end would find nothing more now. If
// not, it is ready to look.
func (c *cursor) idle() (bool, error) {
	if c.r == nil {
		return false, nil
	}
	info, err := c.r.Stat()
	if err != nil {
		return false, err
	}
	now, err := c.dir.FS.Stat(c.r.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("store: %w", err)
	}
	if info.Links == 0 || err != nil || now.ID != info.ID {
		c.close() // another has its name, or a later log is there
		return false, nil
	}
	c.note()
	if stands, err := c.stands(); !stands {
		return false, err
	}
	waits, err := c.r.Waits()
	if c.doubted {
		c.doubted, waits = false, false
	}
	if !waits {
		c.stoppedAt = -1
	}
	return waits, err
}
