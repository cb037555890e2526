package disk

import (
	"slices"
	"sync"
)

// A Recorder is a disk whose writes go to a volatile cache until they are
// flushed, and which remembers every one of them. It may be used by any number
// of goroutines at once.
type Recorder struct {
	base *Image // the content at first; never changed

	mu     sync.Mutex // guards all below
	now    *Image
	events []event
}

// An event is a write, a flush, or a mark.
type event struct {
	off  int64
	data []byte // of a write; nil of others
	mark any    // of a mark; nil of others
}

func (e *event) isFlush() bool { return e.data == nil && e.mark == nil }

// NewRecorder returns a disk with the content of im, which must not be changed
// any more.
func NewRecorder(im *Image) *Recorder { return &Recorder{base: im, now: im.Clone()} }

// Size returns the size in bytes.
func (r *Recorder) Size() int64 { return r.base.Size() }

// ReadAt implements io.ReaderAt: it shows what was written last.
func (r *Recorder) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now.ReadAt(p, off)
}

// WriteAt implements io.WriterAt. It does not keep p.
func (r *Recorder) WriteAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.now.WriteAt(p, off)
	if err == nil {
		r.events = append(r.events, event{off: off, data: slices.Clone(p)})
	}
	return n, err
}

// Flush makes durable what was written before.
func (r *Recorder) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{})
}

// Mark puts a mark, which is not nil, between what was written before and what
// will be after.
func (r *Recorder) Mark(mark any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{mark: mark})
}

// Record returns what was recorded so far.
func (r *Recorder) Record() *Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Record{events: r.events[:len(r.events):len(r.events)], durable: r.base.Clone()}
}
