package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
)

// A FileReport is what [Check] found out about one file of a store.
type FileReport struct {
	Path  string
	Index uint64 // in the file's name: of the last update before the log, or in the snapshot
	Size  int64  // bytes; 0 for a file that is missing

	// Updates is the number of updates in a log that can be read.
	Updates uint64
	// Sealed says that a log is complete, and another follows.
	Sealed bool
	// Torn is the number of bytes at the end of the newest log that the next Open
	// will cut off: the remainder of a commit, or one that is being made now.
	Torn int64

	// Damage is what is wrong with the file, by offset; empty if nothing is.
	Damage []*CorruptError
}

// Check reads every byte of the store in directory dir and reports on each of
// its files, the logs first, by index. Whatever makes Open refuse the store, or
// fall back to an older snapshot, is in some report's Damage, and so is damage
// in files that Open would not read. A missing file has a report of its own.
//
// Check takes no lock and changes nothing, and works beside a store that is
// open. Damage is no error; errors are those of ctx and of reading.
func Check(ctx context.Context, dir string) ([]FileReport, error) {
	c := &checker{ctx: ctx, fs: storefs.For(dir), dir: dir}
	before, err := list(c.fs, dir)
	if err != nil {
		return nil, err
	}
	if before.empty() {
		return nil, fmt.Errorf("store: there is no store in %s", dir)
	}
	if err := c.identify(before.logs); err != nil {
		return nil, err
	}
	for i, index := range before.logs {
		if err := c.file(index, logSuffix, func(r *FileReport) error { return c.log(r, before.logs[i+1:]) }); err != nil {
			return c.reports, err
		}
	}
	for _, index := range before.snaps {
		if err := c.file(index, snapSuffix, c.snapshot); err != nil {
			return c.reports, err
		}
	}
	after, err := list(c.fs, dir)
	if err != nil {
		return c.reports, err
	}
	c.chain(after)
	return c.reports, nil
}

// A checker checks the files of one store.
type checker struct {
	ctx     context.Context
	fs      fsys.FS
	dir     string
	reports []FileReport
	store   [16]byte
	known   bool // store is that of the first file

	imported bool // the first log is behind an imported state
}

// file checks one file and keeps the report. A file that is gone was dropped
// by the store that is open.
func (c *checker) file(index uint64, suffix string, check func(*FileReport) error) error {
	r := FileReport{Path: filepath.Join(c.dir, fileName(index, suffix)), Index: index}
	err := check(&r)
	var damage *CorruptError
	switch {
	case errors.As(err, &damage):
		r.Damage = append(r.Damage, damage)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	c.reports = append(c.reports, r)
	return c.ctx.Err()
}

// identify takes the identity of the store from the newest log that something was
// written to, as Open does, which needs none of the files before. If there is none,
// the first file has it.
func (c *checker) identify(logs []uint64) error {
	for _, index := range slices.Backward(logs) {
		h, used, err := logUse(c.fs, filepath.Join(c.dir, fileName(index, logSuffix)), index)
		switch {
		case used:
			return c.sameStore(h, "")
		case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

func (c *checker) sameStore(h header, path string) error {
	if c.known && c.store != h.store {
		return corrupt(path, 0, "it belongs to another store than the newest log in use, or the files before")
	}
	c.store, c.known = h.store, true
	return nil
}

func (c *checker) snapshot(rep *FileReport) error {
	f, size, err := openFile(c.fs, rep.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	rep.Size = size
	r, err := newSnapReader(f, rep.Path, rep.Index, size)
	if err != nil {
		return err
	}
	defer r.close()
	if err := c.sameStore(r.hdr, rep.Path); err != nil {
		return err
	}
	_, err = r.WriteTo(contextWriter{c.ctx, io.Discard})
	return err
}

// log checks a log. It may end without a seal if none of the later logs is in
// use.
func (c *checker) log(rep *FileReport, later []uint64) error {
	f, size, err := openFile(c.fs, rep.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	rep.Size = size
	r, err := newLogReader(f, rep.Path, rep.Index, size)
	if err != nil {
		return err
	}
	defer func() { r.close() }()
	if err := c.sameStore(r.hdr, rep.Path); err != nil {
		return err
	}
	c.imported = c.imported || r.hdr.kind == importKind
	for seen, tail, last := int64(-1), (logTail{}), true; ; {
		_, err := r.next()
		switch {
		case err == nil:
			rep.Updates++
			if rep.Updates%1024 == 0 && c.ctx.Err() != nil {
				return c.ctx.Err()
			}
		case err == io.EOF:
			if rep.Sealed = true; r.index == rep.Index {
				return sealedEmpty(rep.Path)
			}
			return nil
		case !errors.Is(err, errStop):
			return err
		case seen != r.end:
			// The log may have been written while it was read: look again.
			seen = r.end
			if last, err = c.unused(later); err != nil {
				return err
			}
			if tail, err = r.readTail(); err != nil {
				return err
			}
			if rep.Size, err = wholeFile(f); err != nil {
				return err
			}
			r.resume(rep.Size)
		case tail.proof >= 0:
			rep.Damage = append(rep.Damage, r.damage("entry %d at offset %d shows that it was durable", tail.index, tail.proof))
			r.skip(tail)
			seen = -1 // tail was of the entries before; the one skipped to may be broken, too
		default:
			if !last && rep.Updates+uint64(tail.torn) > 0 {
				return r.damage("later logs are in use, so this one had a seal")
			}
			if n := len(later); n > 0 && later[n-1] > r.index {
				return r.damage("the log behind update %d shows that it was durable", later[n-1])
			}
			rep.Torn = tail.torn
			return nil
		}
	}
}

// unused reports whether all of these logs are empty.
func (c *checker) unused(logs []uint64) (bool, error) {
	for _, index := range logs {
		void, err := isVoid(c.fs, filepath.Join(c.dir, fileName(index, logSuffix)), index)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was given up before it came into use
		case err != nil && !errors.Is(err, ErrCorrupt):
			return false, err
		case !void:
			return false, nil
		}
	}
	return true, nil
}

// damage returns the error that says that the log can't be read on.
func (r *logReader) damage(format string, args ...any) *CorruptError {
	return &CorruptError{Path: r.path, Offset: r.bad, Err: fmt.Errorf("%s, where update %d should be: %s", r.reason, r.index+1, fmt.Sprintf(format, args...))}
}

// chain looks for files that are missing from after, a listing made once all
// files were checked. What has gone by then, and is in no report, was dropped
// before, and so was what needs it.
func (c *checker) chain(after *listing) {
	report := func(index uint64, err error) {
		var damage *CorruptError
		errors.As(err, &damage)
		c.reports = append(c.reports, FileReport{Path: damage.Path, Index: index, Damage: []*CorruptError{damage}})
	}
	missing := func(index uint64) {
		path := filepath.Join(c.dir, fileName(index, logSuffix))
		if slices.Contains(after.logs, index) || slices.ContainsFunc(c.reports, func(r FileReport) bool { return r.Path == path }) {
			return
		}
		report(index, missingLog(path, index))
	}
	var first uint64 // where the updates that are retained begin
	for i, index := range after.snaps {
		if i == 0 {
			first = index
		}
		missing(index)
	}
	if len(after.snaps) == 0 {
		missing(0)
		if c.imported && slices.Contains(after.logs, 0) {
			report(0, missingImport(c.dir))
		}
	}
	for _, r := range slices.Clone(c.reports) {
		if end := r.Index + r.Updates; r.Sealed && len(r.Damage) == 0 && end >= first && slices.Contains(after.logs, r.Index) {
			missing(end)
		}
	}
}
