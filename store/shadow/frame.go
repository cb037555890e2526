package shadow

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"runtime/debug"
)

// What the two processes tell each other is frames: a kind, the length of the data as a
// varint, and the data. The store's side asks, and each question has one answer, but for
// two: askApply has none, so that many updates are on their way at once, and the answer to
// askWrite comes after the pieces of the state.
const (
	askApply    = 'a' // time and index, 8 bytes each, and the update
	askSettle   = 't' // whether all updates were applied; a refusal begins with an index
	askRestore  = 'r' // pieces follow, and an end
	askSnapshot = 's' // captures the state
	askWrite    = 'w' // the captured state
	askClose    = 'c' // gives the captured state back
	askDigest   = 'd' // answered with 8 bytes

	piece    = 'p' // of a state
	end      = 'e' // of the pieces
	half     = 'h' // the end, because the rest of the state can't be had
	answer   = 'y'
	refusal  = 'n' // an error, as text
	greeting = 'g' // the first frame of Serve: version, whether the machine has digests, build
)

// version is that of the frames. Both processes are one program, unless it was replaced.
const version = 1

// build returns what tells one build of the program from another, as far as the go command
// has recorded it: the versions of all modules, and the commit.
func build() []byte {
	h := fnv.New64a()
	if info, ok := debug.ReadBuildInfo(); ok {
		_, _ = io.WriteString(h, info.String()) // which never fails
	}
	return h.Sum(nil)
}

// pieceSize is how much of a state is in one frame, in bytes.
const pieceSize = 64 << 10

// Sizes of the largest frames that are read, in bytes: by Serve, that of an update, and by
// the store's side.
const (
	mostAsked    = 1<<30 + 16
	mostAnswered = 1 << 20
)

// A line is one end of the two pipes between the processes.
type line struct {
	r    *bufio.Reader
	w    *bufio.Writer
	most uint64 // bytes in a frame that is read
	buf  []byte // of the frame read last
}

func newLine(r io.Reader, w io.Writer, most uint64) *line {
	return &line{r: bufio.NewReaderSize(r, pieceSize), w: bufio.NewWriterSize(w, pieceSize), most: most}
}

// put writes a frame, whose data is the parts. It leaves it in the buffer.
func (l *line) put(kind byte, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	head := binary.AppendUvarint([]byte{kind}, uint64(n))
	_, err := l.w.Write(head)
	for _, p := range parts {
		if err == nil {
			_, err = l.w.Write(p)
		}
	}
	return err
}

// send writes a frame and what is in the buffer.
func (l *line) send(kind byte, parts ...[]byte) error {
	return errors.Join(l.put(kind, parts...), l.w.Flush())
}

// get reads a frame. The data is valid until the next call. The error is io.EOF if there
// is none.
func (l *line) get() (kind byte, data []byte, err error) {
	if kind, err = l.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(l.r)
	if err == nil && n > l.most {
		err = fmt.Errorf("a frame of %d bytes, which Serve does not send: does it print to standard output?", n)
	}
	if err != nil {
		return 0, nil, err
	}
	if uint64(cap(l.buf)) < n {
		l.buf = make([]byte, n)
	}
	l.buf = l.buf[:n]
	_, err = io.ReadFull(l.r, l.buf)
	return kind, l.buf, err
}

// A pieces reads the pieces of a state up to their end.
type pieces struct {
	l     *line
	left  []byte
	ended bool
	half  bool // some of the state is missing
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	for len(p.left) == 0 {
		if p.half {
			return 0, io.ErrUnexpectedEOF
		}
		if p.ended {
			return 0, io.EOF
		}
		kind, data, err := p.l.get()
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case kind == end:
			p.ended = true
		case kind == half:
			p.ended, p.half = true, true
		case kind != piece:
			return 0, fmt.Errorf("a frame %q within a state", kind)
		}
		p.left = data
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

// A pieceWriter writes the pieces of a state.
type pieceWriter struct{ l *line }

// Write implements io.Writer.
func (w pieceWriter) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		k := min(len(b)-n, pieceSize)
		if err = w.l.put(piece, b[n:n+k]); err == nil {
			n += k
		}
	}
	return n, err
}
