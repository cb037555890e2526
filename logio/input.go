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

// An input reads a log block by block, in pieces of many blocks.
type input struct {
	src  io.Reader
	pos  int64  // log offset of block[0]
	buf  []byte // buf[next:end] is read, and belongs to the blocks after this one
	next int
	end  int
	eof  bool  // src has ended
	bad  error // the log can't be read at all
	went bool  // the first block was loaded

	// block is what is left of the current block. It is shorter than that
	// only at the log's end, and empty where the next block must be loaded.
	block []byte
}

// reset makes src, which is at offset off of the log, the source.
func (in *input) reset(src io.Reader, off int64) {
	*in = input{src: src, pos: off, buf: in.buf}
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
	if err := in.fill(); err != nil || in.went {
		return err
	}
	in.went = true
	if n := record.Aligned(in.pos) - in.pos; n > 0 {
		in.advance(min(int(n), len(in.block)))
		if len(in.block) == 0 {
			return in.fill()
		}
	}
	return nil
}

// fill makes the rest of the block at pos the current one.
func (in *input) fill() error {
	left := int(record.BlockSize - in.pos%record.BlockSize)
	for idle := 0; in.end-in.next < left && !in.eof; idle++ {
		in.makeRoom(left)
		room := len(in.buf) - in.next - left
		n, err := in.src.Read(in.buf[in.end : len(in.buf)-room%record.BlockSize])
		if n < 0 || n > len(in.buf)-in.end {
			return fmt.Errorf("logio: the reader returned the impossible count %d", n)
		}
		in.end += n
		if n > 0 {
			idle = 0
		}
		switch {
		case err == io.EOF:
			in.eof = true
		case err != nil:
			return fmt.Errorf("logio: reading at offset %d: %w", in.pos+int64(in.end-in.next), err)
		case idle >= 100:
			return fmt.Errorf("logio: reading at offset %d: %w", in.pos+int64(in.end-in.next), io.ErrNoProgress)
		}
	}
	n := min(left, in.end-in.next)
	if n == 0 {
		return io.EOF
	}
	in.block = in.buf[in.next : in.next+n]
	in.next += n
	return nil
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

// advance consumes n bytes of the block, and the padding, if that is next.
func (in *input) advance(n int) {
	in.pos += int64(n)
	in.block = in.block[n:]
	if len(in.block) <= record.HeaderSize {
		if left := record.BlockSize - in.pos%record.BlockSize; left <= record.HeaderSize {
			in.pos += left
			in.block = nil
		}
	}
}
