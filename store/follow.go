package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"path/filepath"
	"slices"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
)

// An Update is one that was made, as [Store.Updates] returns it.
type Update struct {
	Index uint64 // the first update ever has index 1
	Data  []byte // the caller's
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
// more updates and all durable ones were returned; or one of reading the log.
//
// The sequence can be used again, from any goroutine, and starts anew. What it
// returns is read from the log files, so it costs nothing while it is not read.
func (s *Store) Updates(ctx context.Context, from uint64) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		c := &cursor{fs: s.fs, dir: s.dir, next: max(from, 1), readable: s.readable}
		defer c.close()
		for ctx.Err() == nil {
			durable, changed, err := s.progress(c.next)
			if c.next <= durable {
				if ok, err := c.read(ctx, durable, yield); err != nil {
					yield(Update{}, err)
					return
				} else if !ok {
					return
				}
				continue
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
// so it works beside a store that is open, whose last updates it may or may not
// see, durable or not. Errors are those of [Store.Updates], and *CorruptError
// for damage.
func ReadUpdates(ctx context.Context, dir string, from uint64) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		c := &cursor{fs: storefs.For(dir), dir: dir, next: max(from, 1)}
		defer c.close()
		if _, err := c.read(ctx, math.MaxUint64, yield); err != nil && !errors.Is(err, errEnd) {
			yield(Update{}, err)
		} else if err := ctx.Err(); err != nil {
			yield(Update{}, err)
		}
	}
}

// progress returns the index of the last durable update. If that is before
// next, it also returns why there will be no more, or what to wait for.
func (s *Store) progress(next uint64) (durable uint64, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next > s.durable {
		if s.flight == nil && s.fill.updates == 0 {
			err = s.err // else more are on their way, also while the store is closed
		}
		changed = s.changedLocked(err == nil)
	}
	return s.durable, changed, err
}

// readable returns how far the log behind base, open in f, may be read.
func (s *Store) readable(base uint64, f fsys.File) (int64, error) {
	s.mu.Lock()
	live := s.log != nil && s.log.hdr.base == base
	var end int64
	if live {
		end = s.log.durable
	}
	s.mu.Unlock()
	if live {
		return end, nil
	}
	return wholeFile(f)
}

func wholeFile(f fsys.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return info.Size, nil
}

// A cursor reads updates over log files.
type cursor struct {
	fs   fsys.FS
	dir  string
	next uint64 // index of the next update
	// readable tells how far a log may be read. If it is nil, logs are read up
	// to where they end, which is for the cursor to find out.
	readable func(base uint64, f fsys.File) (int64, error)

	f fsys.File
	r *logReader // nil: the log with the next update is to be opened

	sealed uint64 // index of the last update in the log that was read to its seal

	stoppedAt int64 // where r stopped last, or -1
	lost      bool  // something shows that more than what is before it was durable
}

// errEnd is what cursor.read returns at the end of all logs.
var errEnd = errors.New("the end of the last log")

// read passes updates to yield, up to index last. It reports false when yield
// has had enough.
func (c *cursor) read(ctx context.Context, last uint64, yield func(Update, error) bool) (bool, error) {
	for c.next <= last && ctx.Err() == nil {
		if c.r == nil {
			if err := c.open(); err != nil {
				return false, err
			}
		}
		update, err := c.r.next()
		switch {
		case err == io.EOF:
			if c.r.index == c.r.hdr.base {
				return false, sealedEmpty(c.r.path)
			}
			c.sealed = c.r.index
			c.close()
		case errors.Is(err, errStop):
			if err := c.stopped(); err != nil {
				return false, err
			}
		case err != nil:
			return false, err
		case c.r.index == c.next:
			c.next++
			if !yield(Update{Index: c.r.index, Data: bytes.Clone(update)}, nil) {
				return false, nil
			}
		}
	}
	return true, nil
}

// open opens the log with the next update. It looks again if logs came or went
// meanwhile; one may even have gone and come back.
func (c *cursor) open() error {
	for tries := 0; ; tries++ {
		l, err := list(c.fs, c.dir)
		if err != nil {
			return err
		}
		err = c.openOf(l)
		gone := errors.Is(err, fs.ErrNotExist)
		if !gone && !errors.Is(err, ErrNotRetained) {
			return err
		}
		now, lerr := list(c.fs, c.dir)
		if lerr != nil || slices.Equal(now.logs, l.logs) && (!gone || tries > 0) {
			return err
		}
	}
}

// openOf opens the log of l with the next update.
func (c *cursor) openOf(l *listing) error {
	i, err := c.find(l)
	if err != nil {
		return err
	}
	if i < 0 {
		return c.notRetained()
	}
	if l.logs[i] < c.sealed {
		return c.gap(l)
	}
	path := filepath.Join(c.dir, fileName(l.logs[i], logSuffix))
	f, err := c.fs.Open(path, fsys.ReadOnly, 0)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	c.stoppedAt = -1
	limit, err := c.limit(l.logs[i], f)
	if err == nil {
		c.r, err = newLogReader(f, path, l.logs[i], limit)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	c.f = f
	return nil
}

// find returns the position of the log with the next update, or -1.
func (c *cursor) find(l *listing) (int, error) {
	for i, base := range slices.Backward(l.logs) {
		if base == c.next-1 {
			return i, nil
		}
		if base < c.next {
			// One that is empty never came into use.
			void, err := isVoid(c.fs, filepath.Join(c.dir, fileName(base, logSuffix)), base)
			if !void {
				return i, err
			}
		}
	}
	return -1, nil
}

func (c *cursor) limit(base uint64, f fsys.File) (int64, error) {
	if c.readable != nil {
		return c.readable(base, f)
	}
	return wholeFile(f)
}

// gap says why no log that goes on behind c.sealed has the next update.
func (c *cursor) gap(l *listing) error {
	_, there := slices.BinarySearch(l.logs, c.sealed)
	if there || len(l.snaps) > 0 && c.sealed < l.snaps[0] {
		return c.notRetained() // it was never made, or dropped
	}
	return corrupt(filepath.Join(c.dir, fileName(c.sealed, logSuffix)), 0, "the file is missing, with the updates behind %d", c.sealed)
}

func (c *cursor) notRetained() error {
	return &opError{is: ErrNotRetained, msg: fmt.Sprintf("update %d is not in %s", c.next, c.dir)}
}

// stopped is called where the log has no next entry. It returns nil if the
// reader is to try again.
//
// The log may be written while it is read. So what shows that an entry was
// durable is looked for before the entry is read once more: if it is still
// missing then, it is not on its way.
func (c *cursor) stopped() error {
	limit, err := c.limit(c.r.hdr.base, c.f)
	if err != nil {
		return err
	}
	grown := limit > c.r.limit
	switch {
	case grown:
		c.stoppedAt = -1
	case c.stoppedAt != c.r.end:
		c.stoppedAt = c.r.end
		if c.lost, err = c.outlived(); err != nil {
			return err
		}
	case c.lost:
		return c.broken()
	case c.r.index+1 < c.next:
		return c.notRetained()
	default:
		return errEnd
	}
	c.r.resume(limit)
	return nil
}

// broken is called when an entry that was durable is not there. It returns nil if
// that is because the log was given up or dropped meanwhile, and closes it.
func (c *cursor) broken() error {
	if info, err := c.f.Stat(); err == nil && info.Links == 0 {
		c.close()
		return nil
	}
	return corrupt(c.r.path, c.r.bad, "%s, where update %d should be", c.r.reason, c.r.index+1)
}

// outlived reports whether something shows that more than what was read of the
// log was once durable: an entry behind it, or a later log.
func (c *cursor) outlived() (bool, error) {
	if c.readable != nil {
		return true, nil // the store knows
	}
	t, err := c.r.readTail()
	if err != nil || t.proof >= 0 {
		return true, err
	}
	l, err := list(c.fs, c.dir)
	if err != nil || len(l.logs) == 0 {
		return false, err
	}
	last := l.logs[len(l.logs)-1]
	if last <= c.r.hdr.base {
		return false, nil
	}
	if last > c.r.index {
		return true, nil
	}
	void, err := isVoid(c.fs, filepath.Join(c.dir, fileName(last, logSuffix)), last)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it was given up before it came into use
	}
	return !void, err
}

// close ends the use of the current log.
func (c *cursor) close() {
	if c.r != nil {
		c.r.close()
		_ = c.f.Close() // opened for reading
	}
	c.r, c.f = nil, nil
}
