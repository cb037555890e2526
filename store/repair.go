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

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/meter"
	"github.com/stateio/stateio/internal/storefile"
)

// RepairOptions change what [Repair] does. The zero value keeps the newest exact state.
type RepairOptions struct {
	// Salvage keeps every update that can be read, also those after others that are lost.
	// The machine may refuse some of them, or make another state of them than it had.
	Salvage bool
	// Drop leaves out updates of these indexes, such as one that the machine refuses in a
	// replay: a [*ReplayError] names it.
	Drop []uint64
	// Progress is called with how many bytes of the work are done, of how many, about every
	// 256 KiB and at the end: src is read and checked, what can be had is read twice more,
	// and dst is checked. total may become less while it shows how much that is; done never
	// goes back, and is total in the end if the error is nil. Repair calls it from one
	// goroutine at a time, and goes on when it returns.
	Progress func(done, total int64)
}

// A RepairReport says what [Repair] has made.
type RepairReport struct {
	Snapshot uint64 // index of the snapshot that the new store begins with; 0: it has none
	Updates  uint64 // after that
	Index    uint64 // of the last update in the new store
	// Exact says that indexes and identity are those of the old store: its state was this
	// one after update Index. Else some update before the last was left out; those after it
	// have other indexes now, and the new store an identity of its own.
	Exact bool
	// StateLost says that what the updates were made on can't be read, so that the new store
	// begins with no state: only RepairOptions.Salvage does that.
	StateLost bool
	Lost      []Loss          // updates of the old store that could not be read, or not be kept
	Dropped   []uint64        // of RepairOptions.Drop, those that were there
	Damage    []*CorruptError // what is wrong in the old store
}

// A Loss is a range of updates that are not in the repaired store.
type Loss struct {
	// First and Last are indexes in the old store. Last is 0 where a log is missing that may
	// have held any number of them.
	First, Last uint64
	// Known says that they can be read: RepairOptions.Salvage keeps them.
	Known bool
	// After is the time of the last update before them that is kept, and Before that of
	// the first one after them that can be read: the zero time where there is none.
	After, Before time.Time
}

// Repair makes a new store in directory dst of what can be had of the damaged one in src.
// That is the newest state which is exactly one that the store had, as [LastIntact] tells
// it, with the updates that lead there from the oldest snapshot that they begin with; or
// what the options say. It changes nothing in src, and needs no machine. dst must not
// exist; what is made there gets the permissions of src, less the umask. The program that has src open should be stopped before.
//
// When Repair returns nil, the new store is durable, and [Check] has found nothing wrong
// with it. Open refuses one whose making failed or was interrupted; one whose check was
// interrupted is complete, and Open takes it, so call Check before you use that. The report
// is also returned with an error that came after reading. Errors are fs.ErrExist, if there
// is something at dst; fs.ErrNotExist, if there is no store in src; [ErrLocked], if src is
// open; [ErrCorrupt], if no exact state can be had; that of ctx, and of reading and writing.
func Repair(ctx context.Context, src, dst string, opts *RepairOptions) (RepairReport, error) {
	r := &repair{ctx: ctx, src: src}
	if opts != nil {
		r.opts = *opts
	}
	if err := mayMake("repairing", src, dst); err != nil {
		return r.report, err
	}
	unlock, err := r.lock()
	if err != nil {
		return r.report, err
	}
	defer unlock()
	if err := r.look(); err != nil {
		return r.report, err
	}
	made, err := r.make(dst)
	switch {
	case err == nil:
		err = r.verify(dst)
	case made && !others(err):
		err = fmt.Errorf("%w; there is no store in %s: remove it before you repair again", err, dst)
	}
	if err == nil && r.opts.Progress != nil {
		r.opts.Progress(r.work.begun, r.work.begun)
	}
	return r.report, err
}

// lock makes sure that no process has the old store open, by the lock of its newest log,
// and keeps others out until unlock is called. It makes no file.
func (r *repair) lock() (unlock func(), err error) {
	unlock = func() {}
	in := filesIn(r.src)
	l, err := in.List()
	if err != nil || len(l.Logs) == 0 {
		return unlock, err
	}
	f, _, err := storefile.Open(in.FS, in.Log(l.Logs[len(l.Logs)-1]))
	if err != nil {
		return unlock, nil // reading it says why
	}
	switch err := f.Lock(); {
	case errors.Is(err, fsys.ErrLocked):
		return unlock, errors.Join(&storefile.Error{Is: ErrLocked, Msg: fmt.Sprintf("repairing %s: a program has it open: stop that, or repair a copy", r.src)}, f.Close())
	case err != nil: // no locks here, or not of a file that is only read
		_ = f.Close()
		return unlock, nil
	}
	return func() { _ = f.Close() }, nil
}

// A repair reads the old store.
type repair struct {
	ctx    context.Context
	src    string
	opts   RepairOptions
	report RepairReport

	target uint64   // the newest exact state
	id     [16]byte // of the old store
	logs   []uint64 // that are read
	newest uint64   // the highest index that the name of a file tells
	// endless says that updates after that may have been there, in a log that is missing.
	endless bool
	work    workload
}

// look reads all of the old store, and finds out what can be had.
func (r *repair) look() error {
	if err := r.expect(); err != nil {
		return err
	}
	reports, err := Check(r.ctx, r.src, &CheckOptions{Progress: r.stage(r.work.all, 3*r.work.all)})
	if r.ctx.Err() != nil {
		return fmt.Errorf("store: repairing %s: %w", r.src, r.ctx.Err())
	}
	if err != nil {
		return err
	}
	for _, f := range reports {
		r.report.Damage = append(r.report.Damage, f.Damage...)
		if f.Index > r.newest {
			r.newest, r.endless = f.Index, false
		}
		// A log that should be the newest and is not there, or has lost its header, leaves open
		// how far it went.
		lost := strings.HasSuffix(f.Path, storefile.LogSuffix) && f.Updates == 0 && len(f.Damage) > 0 && f.Damage[0].Offset == 0
		r.endless = r.endless || lost && f.Index == r.newest
	}
	first, last, ok := intact(reports)
	if !ok && !r.opts.Salvage {
		return &storefile.Error{Is: ErrCorrupt, Msg: fmt.Sprintf("repairing %s: no state can be had exactly: no snapshot is whole, and the logs do not begin with the first update; RepairOptions.Salvage keeps what can be read", r.src)}
	}
	r.report.Snapshot, r.target, r.report.StateLost = first, last, !ok
	if err := r.chooseLogs(); err != nil {
		return err
	}
	all := r.reader(&r.report, meter.New(r.stage(r.work.updates, 2*(r.work.state+r.work.updates)), r.work.logs))
	defer all.old.close()
	for err == nil {
		_, err = all.next()
	}
	if err != io.EOF {
		return err
	}
	if !r.opts.Salvage && len(all.told.Dropped) == 0 && all.index != r.target {
		return storefile.Corrupt(r.src, 0, "update %d should be the last that can be read exactly, and update %d is: make a copy of the directory, and look at that", r.target, all.index)
	}
	r.report.Index = all.index
	r.report.Updates = all.index - first
	r.report.Exact = all.exact && ok
	return nil
}

// identify takes the identity of the store from what the new one begins with: the
// snapshot, or the first log that can be read.
func (r *repair) identify(l *storefile.Listing) {
	in := filesIn(r.src)
	if slices.Contains(l.Snaps, r.report.Snapshot) {
		if h, _, err := in.SnapHeader(r.report.Snapshot); err == nil {
			r.id = h.Store
			return
		}
	}
	for _, base := range l.Logs {
		if base < r.report.Snapshot {
			continue
		}
		if h, _, err := in.LogHeader(base); err == nil {
			r.id = h.Store
			return
		}
	}
}

// chooseLogs sets the logs that hold updates after the first state.
func (r *repair) chooseLogs() error {
	l, err := filesIn(r.src).List()
	if err != nil {
		return err
	}
	for _, base := range l.Logs {
		if base <= r.report.Snapshot {
			r.logs = nil // what was before is not needed
		}
		r.logs = append(r.logs, base)
	}
	r.identify(l)
	r.choose()
	return nil
}

// source returns what the new store is made of, and what is to be closed after that.
func (r *repair) source() (*source, io.Closer, error) {
	kept := r.work.state + r.work.updates
	m := meter.New(r.stage(kept, kept), append([]int64{r.work.state}, r.work.logs...))
	m.Next()
	reader := r.reader(new(RepairReport), m)
	src := &source{index: r.report.Snapshot, next: reader.next}
	opened := closers{reader.old}
	if r.report.StateLost {
		return src, opened, nil
	}
	state, err := filesIn(r.src).OpenSnap(src.index)
	switch {
	case errors.Is(err, fs.ErrNotExist) && src.index == 0:
	case err != nil:
		return nil, nil, err
	default:
		opened = append(opened, closerOf(state.Close))
		src.state, src.time = &readState{r.ctx, state, m}, state.Header.Time
		reader.at = src.time
	}
	if r.report.Exact {
		src.store = r.id
	}
	return src, opened, nil
}

// make makes the new store, and reports whether dst is there now.
func (r *repair) make(dst string) (made bool, err error) {
	source, opened, err := r.source()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }() // also when Progress panics
	return makeStore(dst, modesOf(filesIn(r.src)), source, true)
}

// verify makes sure that the new store is what the report says.
func (r *repair) verify(dst string) error {
	reports, err := Check(r.ctx, dst, &CheckOptions{Progress: r.stage(r.work.state+r.work.updates, 0)})
	if r.ctx.Err() != nil {
		return fmt.Errorf("store: checking %s, which was made of %s: %w", dst, r.src, r.ctx.Err())
	}
	if err != nil {
		return err
	}
	for _, f := range reports {
		for _, damage := range f.Damage {
			return fmt.Errorf("store: the repaired store reads differently: %w", storefile.Bare(damage))
		}
	}
	if _, last, ok := intact(reports); !ok || last != r.report.Index {
		return storefile.Corrupt(dst, 0, "the repaired store leads to index %d, and not to %d", last, r.report.Index)
	}
	return nil
}

// A repairReader returns the updates that are kept.
type repairReader struct {
	*repair
	old      *salvager
	told     *RepairReport // gets what is lost and dropped
	expected uint64        // index of the next update in the old store
	index    uint64        // of the last update kept, in the new store
	at       int64         // its time
	exact    bool          // that is its index in the old store, too
	ended    bool          // it was told that what came last is missing
}

func (r *repair) reader(told *RepairReport, m *meter.Meter) *repairReader {
	first := r.report.Snapshot
	return &repairReader{
		repair: r, told: told, expected: first + 1, index: first, exact: true,
		old: &salvager{ctx: r.ctx, dir: filesIn(r.src), id: r.id, logs: slices.Clone(r.logs), next: first + 1, meter: m},
	}
}

// next is that of a source.
func (r *repairReader) next() (logged, error) {
	for {
		u, err := r.old.read()
		if err == io.EOF && r.expected <= r.newest {
			r.lose(r.expected, r.newest, false, 0)
			r.expected = r.newest + 1
		}
		if err == io.EOF && r.endless && !r.ended {
			r.ended = true
			r.told.Lost = append(r.told.Lost, Loss{First: r.expected, After: moment(r.at)})
		}
		if err != nil {
			return logged{}, err
		}
		if u.index > r.expected {
			r.lose(r.expected, u.index-1, false, u.at)
		}
		r.expected = u.index + 1
		switch {
		case !r.opts.Salvage && u.index > r.target:
			r.lose(u.index, u.index, true, u.at)
			continue
		case slices.Contains(r.opts.Drop, u.index):
			r.told.Dropped = append(r.told.Dropped, u.index)
			continue
		}
		r.index++
		r.exact = r.exact && r.index == u.index
		r.at = max(r.at, u.at) // the time of what follows damage may not be known
		u.at = r.at
		return u, nil
	}
}

// lose notes that updates of the old store are not kept. at is the time of what follows
// them, in nanoseconds since 1970, or 0.
func (r *repairReader) lose(first, last uint64, known bool, at int64) {
	if n := len(r.told.Lost); n > 0 && r.told.Lost[n-1].Last+1 == first && r.told.Lost[n-1].Known == known {
		r.told.Lost[n-1].Last = last
		return
	}
	loss := Loss{First: first, Last: last, Known: known, After: moment(r.at)}
	if !known {
		loss.Before = moment(at)
	}
	r.told.Lost = append(r.told.Lost, loss)
}

// closers are closed together.
type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var err error
	for _, one := range c {
		err = errors.Join(err, one.Close())
	}
	return err
}

// closerOf is a function that closes and can't fail.
type closerOf func()

// Close implements io.Closer.
func (c closerOf) Close() error {
	c()
	return nil
}

// A workload is what a repair has to read, in bytes.
type workload struct {
	begun   int64   // of the stages so far, the current one included
	all     int64   // the old store
	state   int64   // the snapshot that the new store begins with
	logs    []int64 // each log that is read
	updates int64   // all of those
}

// expect finds out how much there is to read.
func (r *repair) expect() error {
	if r.opts.Progress == nil {
		return nil
	}
	in := filesIn(r.src)
	l, err := in.Find()
	if err != nil {
		return err
	}
	logs, _ := in.LogSizes(l.Logs) // reading a file says what is wrong with it
	snaps, _ := in.SnapSizes(l.Snaps)
	for _, size := range slices.Concat(logs, snaps) {
		r.work.all += size
	}
	return nil
}

// choose finds out how much of that is what can be had.
func (r *repair) choose() {
	if r.opts.Progress == nil {
		return
	}
	in := filesIn(r.src)
	state, _ := in.SnapSizes([]uint64{r.report.Snapshot})
	r.work.state = state[0]
	r.work.logs, _ = in.LogSizes(r.logs)
	for _, size := range r.work.logs {
		r.work.updates += size
	}
}

// stage begins a stage of the work that reads size bytes, and after which rest more are
// read. It returns what to tell of the stage, in any measure.
func (r *repair) stage(size, rest int64) func(done, total int64) {
	before := r.work.begun
	r.work.begun += size
	if r.opts.Progress == nil {
		return nil
	}
	return func(done, total int64) {
		if total > 0 {
			done = int64(float64(size) * float64(done) / float64(total))
		}
		r.opts.Progress(before+done, before+size+rest)
	}
}

// A readState is the state of a snapshot. It is read until the context ends.
type readState struct {
	ctx   context.Context
	state *storefile.SnapReader
	meter *meter.Meter
}

// WriteTo implements io.WriterTo.
func (s *readState) WriteTo(w io.Writer) (int64, error) {
	return s.state.WriteTo(&meter.Writer{W: contextWriter{s.ctx, w}, M: s.meter})
}

// A salvager reads all updates in the logs of a store that can be read, by index, also
// after damage.
type salvager struct {
	ctx  context.Context
	dir  storefile.Dir
	id   [16]byte
	logs []uint64 // that are still to be opened
	next uint64   // index of the first update that is wanted

	r    *storefile.LogReader // nil: the next log is to be opened
	from int64                // where to look after damage

	damage []*CorruptError // that is in the way
	meter  *meter.Meter    // of the logs
}

// read returns the next update, whose data is valid until the next call. The error is
// io.EOF at the end, or one of reading.
func (s *salvager) read() (logged, error) {
	for {
		if err := s.ctx.Err(); err != nil {
			return logged{}, fmt.Errorf("store: reading %s: %w", s.dir.Path, err)
		}
		if s.r == nil {
			if err := s.open(); err != nil {
				return logged{}, err
			}
			continue
		}
		update, err := s.r.Next()
		var damage *CorruptError
		switch {
		case err == nil:
			s.meter.At(s.r.End)
			if s.r.Index >= s.next {
				s.next = s.r.Index + 1
				return logged{index: s.r.Index, unitEnd: s.r.UnitEnd, at: s.r.Time, data: update, state: s.r.State}, nil
			}
		case err == io.EOF:
			s.close()
		case errors.Is(err, storefile.ErrStop) || errors.As(err, &damage):
			if err := s.skip(damage); err != nil {
				return logged{}, err
			}
		default:
			return logged{}, err
		}
	}
}

// open opens the next log. One that is gone, or whose header can't be read, is passed
// over: without the salt in there nothing can be told from chance.
func (s *salvager) open() error {
	if len(s.logs) == 0 {
		return io.EOF
	}
	base := s.logs[0]
	s.logs = s.logs[1:]
	s.meter.Next()
	r, err := s.dir.OpenLog(base, nil)
	var damage *CorruptError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.As(err, &damage):
		s.damage = append(s.damage, damage)
		return nil
	case err != nil:
		return err
	case r.Header.Store != s.id:
		r.Close()
		return nil
	}
	s.r, s.from = r, 0
	return nil
}

// skip goes on after damage.
func (s *salvager) skip(damage *CorruptError) error {
	if damage != nil {
		s.damage = append(s.damage, damage)
	}
	// What begins where the reader stopped is what it could not read.
	s.from = max(s.from, s.r.End) + 1
	found, err := s.r.Salvage(s.from)
	if err == nil && !found {
		s.close()
	}
	return err
}

// Close ends reading.
func (s *salvager) Close() error {
	s.close()
	return nil
}

// close ends the use of the current log.
func (s *salvager) close() {
	if s.r != nil {
		s.r.Close()
	}
	s.r = nil
}
