// Package ahead reads a log ahead of its consumer: pieces of some blocks are
// read and verified by other goroutines, while the ones before are used. A
// record never crosses a block, so blocks can be verified in any order.
//
// That spreads checksums and the copies of system calls over the processors,
// and keeps a disk busy while updates are applied.
package ahead

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/stateio/stateio/internal/record"
)

const (
	segmentBlocks = 8
	// SegmentSize is how much is read at once, in bytes.
	SegmentSize = segmentBlocks * record.BlockSize
	depth       = 8 // segments ahead of the consumer: 2 MiB
	pause       = 2 // segments that are not read ahead, after a large entry
)

// A Reader reads a part of a log. It is not safe for concurrent use. It need not
// be closed: what reads ahead ends by itself, after at most 2 MiB.
type Reader struct {
	src   io.ReaderAt
	start int64 // where reading began
	limit int64 // where it ends
	join  bool  // entries are to be put together

	cur   *Segment   // the one returned last
	queue []*Segment // those after it, in order
	next  int64      // the offset of the segment to queue next
	block int        // of cur, to be returned next
	calm  int        // so many segments are not read ahead
	rest  []byte     // of the block that Read has begun
}

// New returns a reader of src from offset start, where a record begins or the
// padding before one, to offset limit.
func New(src io.ReaderAt, start, limit int64) *Reader {
	return &Reader{src: src, start: start, limit: limit, next: start - start%record.BlockSize, calm: 1}
}

// NewJoined returns a reader like [New], whose segments have their entries put
// together where they can be: see [Segment.Joined]. It is for [Reader.Next] only.
func NewJoined(src io.ReaderAt, start, limit int64) *Reader {
	r := New(src, start, limit)
	r.join = true
	return r
}

// Next returns the next segment, which is valid until the next call. The error
// is io.EOF at the limit, or one of reading: the next call tries that again.
func (r *Reader) Next() (*Segment, error) {
	switch {
	case r.cur != nil && r.cur.err != nil:
		r.load(r.cur)
	case r.next >= r.limit && len(r.queue) == 0:
		r.cur.release()
		r.cur = nil
		return nil, io.EOF
	default:
		s := r.dequeue()
		r.cur.release()
		r.cur = s
	}
	r.block = 0
	return r.cur, r.cur.err
}

// dequeue returns the segment after the current one, loaded.
func (r *Reader) dequeue() *Segment {
	if r.calm > 0 || r.limit-r.start <= 2*SegmentSize {
		r.calm = max(r.calm-1, 0)
		s := r.segment()
		after := r.next
		r.next = s.Off // if src panics, it is not passed over
		r.load(s)
		r.next = after
		return s
	}
	for len(r.queue) < depth && r.next < r.limit {
		s, t := r.segment(), newTask()
		s.task = t
		r.queue = append(r.queue, s)
		go t.ahead(func() { r.load(s) })
	}
	s := r.queue[0]
	if t := s.task; t.own || t.take() { // waiting for somebody to begin with it would take longer
		t.own = true
		r.load(s)
	} else {
		t.wait()
	}
	r.queue = append(r.queue[:0], r.queue[1:]...)
	return s
}

// A task is done by the goroutine that comes first.
type task struct {
	taken atomic.Bool
	own   bool // by the consumer, which may have to begin again

	done  chan struct{} // closed when another goroutine has done it, or src has ended that
	ended bool          // src has; set before done is closed
	threw any           // with what it has panicked; likewise
}

func newTask() *task { return &task{done: make(chan struct{})} }

// take reports whether nobody has taken the task before.
func (t *task) take() bool { return t.taken.CompareAndSwap(false, true) }

// ahead does the task in a goroutine of its own, unless the consumer has taken it. What ends
// the goroutine is left to wait.
func (t *task) ahead(do func()) {
	if !t.take() {
		return
	}
	defer close(t.done)
	defer func() { t.threw = recover() }()
	t.ended = true
	do()
	t.ended = false
}

// wait waits until another goroutine has done the task. What has ended that ends this one,
// where somebody can recover it.
func (t *task) wait() {
	<-t.done
	switch {
	case t.threw != nil:
		panic(t.threw)
	case t.ended:
		runtime.Goexit()
	}
}

// segment returns the segment at r.next, not loaded.
func (r *Reader) segment() *Segment {
	s := segments.Get().(*Segment)
	s.Off, s.Bytes = r.next, s.Bytes[:min(SegmentSize, r.limit-r.next)]
	r.next += SegmentSize
	return s
}

// Block returns the next block, or what of it lies after the start and before
// the limit, and how many bytes of it are valid records. It is valid until the
// next call. The errors are those of [Reader.Next], which must not be called
// besides.
func (r *Reader) Block() (b []byte, sound int, err error) {
	for r.cur == nil || r.cur.err != nil || r.block*record.BlockSize >= len(r.cur.Bytes) {
		if _, err := r.Next(); err != nil {
			return nil, 0, err
		}
	}
	s, i := r.cur, r.block
	r.block++
	from, to := s.bounds(i, r.start)
	return s.Bytes[from:to:to], s.Sound[i] - from, nil
}

// Read implements io.Reader, which is what a log is read from: it copies what
// Block returns.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		b, _, err := r.Block()
		if err != nil {
			return 0, err
		}
		r.rest = b
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// ReadPast reads what is after the last block that Block returned into p, not
// verified, and goes on after that. It returns how many bytes there were: whole
// blocks, unless the log ends. What goes wrong is left to the next call of Block.
//
// It is for large entries, which are better read to where they belong. What was
// read ahead is given up, and reading ahead pauses for the time.
func (r *Reader) ReadPast(p []byte) int {
	off := r.next
	switch {
	case r.cur != nil && (r.cur.err != nil || r.block*record.BlockSize < len(r.cur.Bytes)):
		off = r.cur.Off + int64(r.block)*record.BlockSize
	case len(r.queue) > 0:
		off = r.queue[0].Off
	}
	b, err := record.ReadAt(r.src, p, off, r.limit)
	if err != nil {
		return 0
	}
	r.giveUp()
	r.next, r.calm = off+int64(len(b)), pause
	if len(b) < len(p) {
		r.next = r.limit
	}
	return len(b)
}

// giveUp forgets all segments.
func (r *Reader) giveUp() {
	for _, s := range r.queue {
		if s.task.take() {
			s.release()
		}
	}
	r.cur.release()
	r.queue, r.cur = r.queue[:0], nil
}

// Close waits for what reads ahead. Segments and blocks returned before are no
// longer valid.
func (r *Reader) Close() {
	for _, s := range r.queue {
		if !s.task.own && !s.task.take() {
			<-s.task.done
		}
		s.release()
	}
	r.cur.release()
	r.queue, r.cur = nil, nil
}

// A Segment is a part of a log, read and verified.
type Segment struct {
	Off   int64 // of Bytes in the log; a block starts there
	Bytes []byte
	// Sound[i] is where the valid records of block i, which follow one another
	// from its start, or the start of reading, end in Bytes.
	Sound [segmentBlocks]int
	// Joined[i], if it has a type, is the header of the first record of block i,
	// which belongs to an entry that began in a block before. The data of that
	// entry stands together, after the header of its first record, and has taken
	// the place of this one: records of a segment are read in order.
	Joined [segmentBlocks]record.Header

	err  error // why it could not be read
	task *task // loads it, where it is read ahead
}

// segments are used again, and given back with all their memory.
var segments = sync.Pool{New: func() any { return &Segment{Bytes: make([]byte, SegmentSize)} }}

// release makes the memory of s available to others.
func (s *Segment) release() {
	if s != nil {
		segments.Put(s)
	}
}

// load reads the segment and verifies its records from where reading began on.
func (r *Reader) load(s *Segment) {
	b, err := record.ReadAt(r.src, s.Bytes, s.Off, s.Off+int64(len(s.Bytes)))
	if s.err = err; err != nil {
		return
	}
	s.Bytes, s.Joined = b, [segmentBlocks]record.Header{}
	var last [segmentBlocks]int
	for i := range s.Sound {
		from, to := s.bounds(i, r.start)
		sound, at := record.Sound(b[from:to])
		s.Sound[i], last[i] = from+sound, from+at
	}
	if r.join {
		s.join(last)
	}
}

// bounds returns where block i lies in s.Bytes, from offset start of the log on.
func (s *Segment) bounds(i int, start int64) (from, to int) {
	to = min((i+1)*record.BlockSize, len(s.Bytes))
	from = min(max(i*record.BlockSize, int(min(max(start-s.Off, 0), SegmentSize))), to)
	return from, to
}
