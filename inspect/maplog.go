package inspect

import (
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefile"
)

// A logWalk walks through one log of a store.
type logWalk struct {
	m     *Map
	f     MapFile
	file  fsys.File
	r     *storefile.LogReader
	yield func(Part, error) bool
	last  Part  // the update before
	timed bool  // the time of the current commit is known
	past  int64 // what begins before is known to be broken
	stop  bool  // the loop has ended
}

// walkLog is Parts of a log. The error is one of reading.
func (m *Map) walkLog(f MapFile, from Mark, yield func(Part, error) bool) error {
	file, size, err := storefile.Open(m.dir.FS, f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := &logWalk{m: m, f: f, file: file, yield: yield, timed: true}
	w.r, err = storefile.NewLogReader(file, f.Path, f.Base, size)
	if err != nil {
		return w.headless(err, size)
	}
	defer func() { w.r.Close() }()
	if from.offset > 0 {
		w.r.Skip(storefile.LogTail{Proof: from.offset, Index: from.index, First: from.first})
		if w.timed = !from.time.IsZero(); w.timed {
			w.r.Time = from.time.UnixNano()
		}
	} else {
		w.emit(Part{End: w.r.End, Content: ContentHeader, Time: f.Time})
	}
	return w.run()
}

// emit gives p to the loop.
func (w *logWalk) emit(p Part) { w.stop = w.stop || !w.yield(p, nil) }

// run reads entry by entry up to the end.
func (w *logWalk) run() error {
	for !w.stop {
		update, err := w.r.Next()
		switch {
		case err == nil:
			w.update(update)
		case err == io.EOF:
			w.emit(Part{Offset: w.r.Off, End: w.r.End, Content: ContentEnd})
			return w.rest(w.r.End)
		case errors.Is(err, storefile.ErrStop):
			if more, err := w.halt(); !more || err != nil {
				return err
			}
		default:
			return w.broken(err)
		}
	}
	return nil
}

// update emits the update that was read last.
func (w *logWalk) update(data []byte) {
	r := w.r
	p := Part{Offset: r.Off, End: r.End, Content: ContentUpdate, Index: r.Index, State: r.State, Size: int64(len(data)), Prefix: prefix(data), data: data}
	if p.Offset == w.last.Offset {
		p.Nth, p.first = w.last.Nth+1, w.last.first
	} else {
		p.Begins, p.first = r.Back == 0, r.Index-uint64(r.Back)
	}
	if w.timed = w.timed || p.Begins; w.timed {
		p.Time = moment(r.Time)
	}
	w.last = p
	w.emit(p)
}

// halt is for where no entry is: at the end of the log, or at damage. It reports whether
// the walk goes on.
func (w *logWalk) halt() (more bool, err error) {
	r := w.r
	end := r.End
	last, err := w.unused()
	if err != nil {
		return false, err
	}
	tail, err := r.ReadTail()
	if err != nil {
		return false, err
	}
	// The log may have been written while it was read: look again.
	size, err := storefile.Size(w.file)
	if err != nil {
		return false, err
	}
	if grown, gerr := w.grown(size); gerr != nil || grown {
		return grown, gerr
	}
	before := w.before()
	if tail.Proof < 0 && last && before == 0 {
		if tail.Torn > 0 {
			w.emit(Part{Offset: end, End: end + tail.Torn, Content: ContentTorn, Place: TornTail, Reason: "what a commit has left that a crash cut short, or one that is being made now"})
		}
		return false, w.rest(end + tail.Torn)
	}
	lost, reason := r.Index+1, fmt.Sprintf("%s, where update %d should be", r.Reason, r.Index+1)
	// What begins where the reader has stopped is what it could not read.
	w.past = record.Aligned(max(end, w.past)) + 1
	found, err := r.Salvage(w.past)
	if err != nil {
		return false, err
	}
	if !found {
		w.damage(end, end+tail.Torn, reason+", and later logs are in use", lost, before)
		return false, w.rest(end + tail.Torn)
	}
	w.timed = false
	w.damage(end, r.End, reason, lost, r.Index)
	return true, nil
}

// grown continues with the next entry if it is there now, and was not when the log was
// read: a writer goes on meanwhile.
func (w *logWalk) grown(size int64) (bool, error) {
	r := w.r
	at := r.End
	r.Resume(size)
	update, err := r.Next()
	switch {
	case err == nil:
		w.update(update)
		return true, nil
	case err == io.EOF:
		w.emit(Part{Offset: r.Off, End: r.End, Content: ContentEnd})
		err = w.rest(r.End)
		w.stop = true
		return true, err
	case errors.Is(err, storefile.ErrStop):
		r.End = at
		return false, nil
	}
	return true, w.broken(err)
}

// broken emits the damage in err, after which the log can't be read on, and ends the
// walk. Another error it returns.
func (w *logWalk) broken(err error) error {
	first, last := w.r.Index+1, w.before()
	defer func() { w.stop = true }()
	return broken(w.file, w.r.Limit, err, func(p Part, _ error) bool {
		if p.Content == ContentDamage && last >= first {
			p.LostFirst, p.LostLast = first, last
		}
		p.Time = w.last.Time
		w.emit(p)
		return !w.stop
	})
}

// damage emits damage in [from, to), which cost the updates from first to last.
func (w *logWalk) damage(from, to int64, reason string, first, last uint64) {
	if last < first {
		first, last = 0, 0
	}
	w.emit(Part{
		Offset: from, End: to, Content: ContentDamage, Place: Current, Reason: reason,
		LostFirst: first, LostLast: last, Time: w.last.Time,
	})
}

// before returns the index of the last update that must be in this log, by those that
// follow it: 0 if none shows any more than was read.
func (w *logWalk) before() uint64 {
	if n := len(w.f.later); n > 0 && w.f.later[n-1] > w.r.Index {
		return w.f.later[0]
	}
	return 0
}

// rest emits what follows the last entry: zeros.
func (w *logWalk) rest(from int64) error {
	size, err := storefile.Size(w.file)
	if err == nil && size > from && !w.stop {
		w.emit(Part{Offset: from, End: size, Content: ContentFree})
	}
	return err
}

// unused reports whether nothing was written to any later log but its header.
func (w *logWalk) unused() (bool, error) {
	for _, base := range w.f.later {
		void, err := w.m.dir.VoidOrGone(base)
		switch {
		case errors.Is(err, storefile.ErrCorrupt): // its own walk tells
		case err != nil:
			return false, err
		case !void:
			return false, nil
		}
	}
	return true, nil
}

// headless emits a log whose header can't be read. Without it nothing after it can be
// checked.
func (w *logWalk) headless(err error, size int64) error {
	var damage *storefile.CorruptError
	p := Part{Content: ContentDamage, Place: Current, LostFirst: w.f.Base + 1}
	switch {
	case errors.As(err, &damage):
		p.Reason = damage.Err.Error()
	case errors.Is(err, storefile.ErrVersion):
		w.emit(Part{End: size, Content: ContentStranded, Reason: err.Error()})
		return nil
	default:
		return err
	}
	if len(w.f.later) > 0 {
		p.LostLast = w.f.later[0]
	}
	p.End = min(size, int64(storefile.HeaderSize))
	w.emit(p)
	if !w.stop && size > p.End {
		w.emit(Part{Offset: p.End, End: size, Content: ContentStranded, Reason: "the header is needed to read it"})
	}
	return nil
}
