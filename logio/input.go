package logio

import (
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/record"
)

// The size in bytes of the buffer of an input: at first, and when the log is
// longer.
const (
	minInput = Blocksz
	maxInput = 8 * Blocksz
)

// A verifier is a source whose blocks are read and verified before they are
// asked for. See package internal/ahead.
type verifier interface {
	// Block returns the next block, or the part of it that is left of the log,
	// and how many bytes of that are valid records. It is valid until the next
	// call. After an error of reading, the next call tries again.
	Block() (b []byte, sound int, err error)
	// ReadPast reads what is after the last block into p, not verified, and
	// goes on after that. It returns how many bytes there were. What goes wrong
	// Block tells next.
	ReadPast(p []byte) int
}

// An input reads a log block by block, in pieces of many blocks.
type input struct {
	src  io.Reader
	ver  verifier // src, if it is one: buf is not used
	pos  int64    // log offset of block[0]
	buf  []byte   // buf[next:end] is read, and belongs to the blocks after this one
	next int
	end  int
	back []byte // was given back, and belongs before buf[next:end]; see unread
	eof  bool   // src has ended

	fault error // of src, which fill is to return
	bad   error // the log can't be read at all

	// block is what is left of the current block. It is shorter than that
	// only at the log's end, and empty where the next block must be loaded.
	block []byte
	sound int // so many bytes of block, from its start, are valid records
}

// reset makes src, which is at offset off of the log, the source.
func (in *input) reset(src io.Reader, off int64) {
	*in = input{src: src, pos: off, buf: in.buf}
	in.ver, _ = src.(verifier)
	if off < 0 {
		in.bad = fmt.Errorf("logio: reading at offset %d: %w", off, errNegative)
	}
}

// load makes the next block the current one, whose bytes are all consumed.
// The errors are io.EOF, for good, and those of the source, after which load
// can be called again.
func (in *input) load() error {
	if in.bad != nil {
		return in.bad
	}
	if err := in.fill(); err != nil {
		return err
	}
	// The first block may be what is left of one, with no room for a record.
	n := record.Aligned(in.pos) - in.pos
	in.advance(min(int(n), len(in.block)))
	return nil
}

// fill makes the rest of the block at pos the current one.
func (in *input) fill() error {
	left := int(record.BlockSize - in.pos%record.BlockSize)
	if in.giveBack(left) {
		return nil
	}
	if in.ver != nil {
		b, sound, err := in.ver.Block()
		in.block, in.sound = b, sound
		if err != nil && err != io.EOF {
			err = fmt.Errorf("logio: %w", err)
		}
		return err
	}
	for idle := 0; in.end-in.next < left && !in.eof; idle++ {
		in.makeRoom(left)
		room := len(in.buf) - in.next - left
		n, err := 0, in.fault
		if in.fault = nil; err == nil {
			n, err = in.read(in.buf[in.end : len(in.buf)-room%record.BlockSize])
		}
		in.end += n
		if n > 0 {
			idle = 0
		}
		if err == nil && idle >= 100 {
			err = io.ErrNoProgress
		}
		if in.eof = err == io.EOF; err != nil && !in.eof {
			return fmt.Errorf("logio: reading at offset %d: %w", in.pos+int64(in.end-in.next), err)
		}
	}
	n := min(left, in.end-in.next)
	if n == 0 {
		return io.EOF
	}
	in.block = in.buf[in.next : in.next+n]
	in.sound, _ = record.Sound(in.block)
	in.next += n
	return nil
}

// read reads from the source.
func (in *input) read(b []byte) (int, error) {
	n, err := in.src.Read(b)
	if n < 0 || n > len(b) {
		return 0, fmt.Errorf("the reader returned the impossible count %d", n)
	}
	return n, err
}

// makeRoom makes room in the buffer for a block of left bytes from next on.
// A log that goes on gets a larger buffer.
func (in *input) makeRoom(left int) {
	if len(in.buf)-in.next >= left {
		return
	}
	buf := in.buf
	switch len(buf) {
	case 0:
		buf = make([]byte, minInput)
	case minInput:
		buf = make([]byte, maxInput)
	}
	in.end = copy(buf, in.buf[in.next:in.end])
	in.buf, in.next = buf, 0
}

// record returns the record at pos, if it is known to be valid.
func (in *input) record() (h record.Header, data []byte, ok bool) {
	if in.sound == 0 {
		return h, nil, false
	}
	h = record.Decode(in.block)
	return h, in.block[record.HeaderSize:h.Size():h.Size()], true
}

// advance consumes n bytes of the block, and the padding, if that is next.
func (in *input) advance(n int) {
	in.pos += int64(n)
	in.block = in.block[n:]
	in.sound = max(0, in.sound-n)
	if len(in.block) <= record.HeaderSize {
		if left := record.BlockSize - in.pos%record.BlockSize; left <= record.HeaderSize {
			in.pos += left
			in.block = nil
		}
	}
}
