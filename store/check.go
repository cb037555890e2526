package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/stateio/stateio/internal/meter"
	"github.com/stateio/stateio/internal/storefile"
)

// A FileReport is what [Check] found out about one file of a store.
type FileReport struct {
	Path  string
	Index uint64 // in the file's name: of the last update before the log, or in the snapshot
	Size  int64  // bytes; 0 for a file that is missing

	// Updates is the number of updates in a log that can be read.
	Updates uint64
	// Reaches is the index of the last update to which a log can be read without a gap,
	// and that of a snapshot which is whole. It is 0 for one that is not.
	Reaches uint64
	// Sealed says that a log is complete, and another follows.
	Sealed bool
	// Torn is the number of bytes at the end of the newest log that the next Open
	// will cut off: the remainder of a commit, or one that is being made now.
	Torn int64

	// Damage is what is wrong with the file, by offset; empty if nothing is.
	Damage []*CorruptError

	begins bool // it is a log after a state that a log leads to, or the initial one
}

// Check reads every byte of the store in directory dir and reports on each of
// its files, the logs first, by index. Whatever makes Open refuse the store, or
// fall back to an older snapshot, is in some report's Damage, and so is damage
// in files that Open would not read. A missing file has a report of its own.
//
// Check takes no lock and changes nothing, and works while the store is
// open. Damage is no error; errors are those of ctx and of reading, and fs.ErrNotExist
// if there is no store in dir.
func Check(ctx context.Context, dir string, opts *CheckOptions) ([]FileReport, error) {
	c := &checker{ctx: ctx, dir: filesIn(dir)}
	if opts != nil {
		c.opts = *opts
	}
	before, err := c.dir.Find()
	if err != nil {
		return nil, err
	}
	c.meter = c.measure(before)
	if err := c.identify(before.Logs); err != nil {
		return nil, err
	}
	for i, index := range before.Logs {
		if err := c.file(index, c.dir.Log(index), func(r *FileReport) error { return c.log(r, before.Logs[i+1:]) }); err != nil {
			return c.reports, err
		}
	}
	for _, index := range before.Snaps {
		if err := c.file(index, c.dir.Snap(index), c.snapshot); err != nil {
			return c.reports, err
		}
	}
	after, err := c.dir.List()
	if err != nil {
		return c.reports, err
	}
	c.chain(after)
	c.meter.End()
	return c.reports, nil
}

// LastIntact returns the index of the newest state that [RestoreAt] can give back,
// by the reports that [Check] has made: that of a snapshot which is whole, or of an
// update to which logs lead from there without a gap. It reports false if there is
// none.
func LastIntact(reports []FileReport) (index uint64, ok bool) {
	_, index, ok = intact(reports)
	return index, ok
}

// intact returns the newest state that can be had, and the oldest from which logs lead
// there without a gap.
func intact(reports []FileReport) (first, last uint64, ok bool) {
	logs := map[uint64]FileReport{}
	var starts []uint64 // states to begin with
	for _, r := range reports {
		isLog := strings.HasSuffix(r.Path, storefile.LogSuffix)
		switch {
		case isLog && r.Size > 0:
			logs[r.Index] = r
		case !isLog && len(r.Damage) == 0:
			starts = append(starts, r.Index)
		}
	}
	if zero, there := logs[0]; there && zero.begins {
		starts = append(starts, 0)
	}
	slices.Sort(starts)
	for _, start := range starts {
		at := start
		for {
			r, there := logs[at]
			if !there || r.Reaches <= at {
				break
			}
			at = r.Reaches
			if !r.Sealed {
				break
			}
		}
		if !ok || at > last {
			first, last, ok = start, at, true
		}
	}
	return first, last, ok
}

// A checker checks the files of one store.
type checker struct {
	ctx     context.Context
	dir     storefile.Dir
	opts    CheckOptions
	meter   *meter.Meter
	reports []FileReport
	store   [16]byte
	known   bool // store is that of the first file

	imported bool   // the first log is after an imported state
	sealed   uint64 // the last update in a log that was read to its seal
}

// file checks one file and keeps the report. A file that is gone was dropped
// by the store that is open.
func (c *checker) file(index uint64, path string, check func(*FileReport) error) error {
	r := FileReport{Path: path, Index: index}
	c.meter.Next()
	info, err := c.dir.FS.Stat(path)
	if err != nil {
		err = fmt.Errorf("store: %w", err)
	} else {
		r.Size = info.Size
		err = check(&r)
	}
	var damage *CorruptError
	switch {
	case errors.As(err, &damage):
		r.Damage = append(r.Damage, damage)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	c.report(r)
	return c.ctx.Err()
}

// identify takes the identity of the store from the newest log that something was
// written to, as Open does, which needs none of the files before. If there is none,
// the first file has it.
func (c *checker) identify(logs []uint64) error {
	for _, index := range slices.Backward(logs) {
		h, used, err := c.dir.LogUse(index)
		switch {
		case used:
			return c.sameStore(h, "")
		case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

func (c *checker) sameStore(h storefile.Header, path string) error {
	if c.known && c.store != h.Store {
		return storefile.Corrupt(path, 0, "it belongs to another store than the newest log in use, or the files before")
	}
	c.store, c.known = h.Store, true
	return nil
}

func (c *checker) snapshot(rep *FileReport) error {
	r, err := c.dir.OpenSnap(rep.Index)
	if err != nil {
		return err
	}
	defer r.Close()
	rep.Size = r.Size()
	if err := c.sameStore(r.Header, rep.Path); err != nil {
		return err
	}
	if _, err = r.WriteTo(contextWriter{c.ctx, &meter.Writer{W: io.Discard, M: c.meter}}); err == nil {
		rep.Reaches = rep.Index
	}
	return err
}

// log checks a log. It may end without a seal if none of the later logs is in
// use.
func (c *checker) log(rep *FileReport, later []uint64) error {
	r, err := c.dir.OpenLog(rep.Index, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	rep.Size = r.Limit
	if err := c.sameStore(r.Header, rep.Path); err != nil {
		return err
	}
	rep.Reaches, rep.begins = rep.Index, r.Header.Kind != storefile.ImportKind
	c.imported = c.imported || r.Header.Kind == storefile.ImportKind
	var passed *CorruptError
	if err := c.dir.Unpassed([]uint64{rep.Index}, c.sealed); errors.As(err, &passed) {
		rep.Damage = append(rep.Damage, passed)
	} else if err != nil {
		return err
	}
	timed := true // the time of the current commit is known
	for seen, tail, last := int64(-1), (storefile.LogTail{}), true; ; {
		update, err := r.Next()
		switch {
		case err == nil:
			if rep.Updates++; !r.Skipped {
				rep.Reaches = r.Index
			}
			timed = timed || r.Back == 0
			c.update(r, update, timed)
			if c.meter.At(r.End) || rep.Updates%1024 == 0 {
				if err := c.ctx.Err(); err != nil {
					return err
				}
			}
		case err == io.EOF:
			if rep.Sealed = true; r.Index == rep.Index {
				return storefile.SealedEmpty(rep.Path)
			}
			c.sealed = max(c.sealed, r.Index)
			return nil
		case !errors.Is(err, storefile.ErrStop):
			return err
		case seen != r.End:
			// The log may have been written while it was read: look again.
			seen = r.End
			if last, err = c.unused(later); err != nil {
				return err
			}
			if tail, err = r.ReadTail(); err != nil {
				return err
			}
			if rep.Size, err = r.Allowed(storefile.Size); err != nil {
				return err
			}
			r.Resume(rep.Size)
		case tail.Proof >= 0:
			rep.Damage = append(rep.Damage, r.Damage("entry %d at offset %d shows that it was durable", tail.Index, tail.Proof))
			r.Skip(tail)
			timed = false
			seen = -1 // tail was of the entries before; the one skipped to may be broken, too
		default:
			if !last && rep.Updates+uint64(tail.Torn) > 0 {
				return r.Damage("later logs are in use, so this one had a seal")
			}
			if n := len(later); n > 0 && later[n-1] > r.Index {
				return r.Damage("the log after update %d shows that it was durable", later[n-1])
			}
			rep.Torn = tail.Torn
			return nil
		}
	}
}

// unused reports whether all of these logs are empty.
func (c *checker) unused(logs []uint64) (bool, error) {
	for _, index := range logs {
		void, err := c.dir.VoidOrGone(index)
		switch {
		case err != nil && !errors.Is(err, ErrCorrupt):
			return false, err
		case !void:
			return false, nil
		}
	}
	return true, nil
}

// chain looks for files that are missing from after, a listing made once all
// files were checked. What has gone by then, and is in no report, was dropped
// before, and so was what needs it.
func (c *checker) chain(after *storefile.Listing) {
	report := func(index uint64, err error) {
		var damage *CorruptError
		errors.As(err, &damage)
		c.report(FileReport{Path: damage.Path, Index: index, Damage: []*CorruptError{damage}})
	}
	missing := func(index uint64) {
		path := c.dir.Log(index)
		if slices.Contains(after.Logs, index) || slices.ContainsFunc(c.reports, func(r FileReport) bool { return r.Path == path }) {
			return
		}
		report(index, c.dir.MissingLog(index))
	}
	var first uint64 // where the updates that are retained begin
	for i, index := range after.Snaps {
		if i == 0 {
			first = index
		}
		missing(index)
	}
	if len(after.Snaps) == 0 {
		missing(0)
		if c.imported && slices.Contains(after.Logs, 0) {
			report(0, c.dir.MissingImport())
		}
	}
	for _, r := range slices.Clone(c.reports) {
		if end := r.Index + r.Updates; r.Sealed && len(r.Damage) == 0 && end >= first && slices.Contains(after.Logs, r.Index) {
			missing(end)
		}
	}
}

// CheckOptions have [Check] tell what it does and finds while it reads. Nil and zero tell
// nothing. Check calls the functions itself, one at a time, and goes on when they return.
type CheckOptions struct {
	// Progress is called with how many bytes were checked, and how many there are, about
	// every 256 KiB and at the end. total stays what it was when Check began, whatever the
	// store writes meanwhile; done never goes back, and is total in the end if the error
	// is nil.
	Progress func(done, total int64)
	// Report is called with each report that Check returns, in that order, as soon as it
	// is made. It must not change what the report refers to.
	Report func(FileReport)
	// Update is called with every update in a log that can be read, log by log, also after
	// damage. Its Time is the zero time where that is not known, as at first after damage,
	// and its Data is valid until the function returns.
	Update func(Update)
}

// measure returns the meter of the files in l.
func (c *checker) measure(l *storefile.Listing) *meter.Meter {
	if c.opts.Progress == nil {
		return new(meter.Meter)
	}
	logs, _ := c.dir.LogSizes(l.Logs) // reading a file says what is wrong with it
	snaps, _ := c.dir.SnapSizes(l.Snaps)
	return meter.New(c.opts.Progress, append(logs, snaps...))
}

// report keeps a report.
func (c *checker) report(r FileReport) {
	c.reports = append(c.reports, r)
	if c.opts.Report != nil {
		c.opts.Report(r)
	}
}

// update tells of an update that was read.
func (c *checker) update(r *storefile.LogReader, data []byte, timed bool) {
	if c.opts.Update == nil {
		return
	}
	u := Update{Index: r.Index, Data: data, State: r.State, More: r.Index < r.UnitEnd}
	if timed {
		u.Time = moment(r.Time)
	}
	c.opts.Update(u)
}

// A File is one that a store keeps: a log or a snapshot.
type File struct {
	Path     string
	Snapshot bool  // else it is a log
	Size     int64 // bytes, with the space set aside at the end of the newest log

	// First and Last are the indexes of the updates in a log: Last is 0 for the newest,
	// which goes on, and less than First for one without updates. In a snapshot both are
	// that of the last update in the state.
	First, Last uint64

	// From is the time of the last update before a log, or in a snapshot, and Until that
	// of the last update in a log: the zero time where that is not known, as in a log that
	// goes on, or where there was no update.
	From, Until time.Time

	// Err is why the header can't be read: then the times are not known.
	Err error
}

// Files returns the logs and then the snapshots of the store in directory dir, each by
// index: one at least. It reads names and headers, takes no lock and changes nothing; [Check]
// reads the rest. Files that are dropped meanwhile are left out. Errors are those of reading
// the directory, and fs.ErrNotExist if there is no store in it, or none any more.
func Files(dir string) ([]File, error) {
	in, before := filesIn(dir), &storefile.Listing{}
	for tries := 1; ; tries++ {
		l, err := in.Find()
		if err != nil {
			return nil, err
		}
		files, gone := describeAll(in, l)
		switch {
		case len(files) > 0 && (gone == nil || tries >= restoreTries || l.Same(before)):
			return files, nil
		case l.Same(before):
			return nil, gone
		}
		before = l // some of it was dropped, or all moved away, before it was read
	}
}

// describeAll describes those files of l that are there. gone is the error of one that is not.
func describeAll(in storefile.Dir, l *storefile.Listing) (files []File, gone error) {
	for i, base := range l.Logs {
		f, err := describe(in.Log(base), base, in.LogHeader)
		if err != nil {
			gone = err
			continue
		}
		f.First = base + 1
		if i > 0 && len(files) > 0 {
			files[len(files)-1].Until = f.From
		}
		if i+1 < len(l.Logs) {
			f.Last = l.Logs[i+1]
		}
		files = append(files, f)
	}
	for _, index := range l.Snaps {
		f, err := describe(in.Snap(index), index, in.SnapHeader)
		if err != nil {
			gone = err
			continue
		}
		f.Snapshot, f.First, f.Last, f.Until = true, index, index, f.From
		files = append(files, f)
	}
	return files, gone
}

// describe reads the header of one file. The error says that it is not there.
func describe(path string, index uint64, header func(uint64) (storefile.Header, int64, error)) (File, error) {
	h, size, err := header(index)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, err
	}
	return File{Path: path, Size: size, From: moment(h.Time), Err: err}, nil
}
