package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot travels in chunks, so that each of them can be checked before the
// machine sees it, and the end can be told from a cut.
//
//	chunk = size uint32 | checksum uint32 | data
//
// The checksum is the CRC-32C of size and data. The last chunk has size 0.
const chunkSize = 256 << 10

// errDamagedSnapshot reports a snapshot that can't have been written like this.
var errDamagedSnapshot = errors.New("cluster: the snapshot is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A chunkWriter writes chunks to w. Close writes the last one.
type chunkWriter struct {
	w   io.Writer
	buf []byte // header and data of the next chunk
}

const chunkHeader = 8

func newChunkWriter(w io.Writer) *chunkWriter {
	return &chunkWriter{w: w, buf: make([]byte, chunkHeader, chunkHeader+chunkSize)}
}

// Write implements io.Writer.
func (c *chunkWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		k := min(len(p)-n, cap(c.buf)-len(c.buf))
		c.buf = append(c.buf, p[n:n+k]...)
		n += k
		if len(c.buf) == cap(c.buf) {
			if err := c.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (c *chunkWriter) flush() error {
	binary.LittleEndian.PutUint32(c.buf, uint32(len(c.buf)-chunkHeader))
	binary.LittleEndian.PutUint32(c.buf[4:], chunkSum(c.buf))
	_, err := c.w.Write(c.buf)
	c.buf = c.buf[:chunkHeader]
	return err
}

// Close writes what is left, and the last chunk. It does not close w.
func (c *chunkWriter) Close() error {
	if len(c.buf) > chunkHeader {
		if err := c.flush(); err != nil {
			return err
		}
	}
	return c.flush()
}

func chunkSum(chunk []byte) uint32 {
	return crc32.Update(crc32.Checksum(chunk[:4], castagnoli), castagnoli, chunk[chunkHeader:])
}

// A chunkReader reads what a chunkWriter has written.
type chunkReader struct {
	r    *bufio.Reader
	buf  []byte
	rest []byte // of the chunk in buf
	err  error  // io.EOF after the last chunk
}

func newChunkReader(r io.Reader) *chunkReader {
	return &chunkReader{r: bufio.NewReaderSize(r, 64<<10), buf: make([]byte, chunkHeader+chunkSize)}
}

// Read implements io.Reader.
func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 && c.err == nil {
		c.err = c.next()
	}
	if len(c.rest) == 0 {
		return 0, c.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *chunkReader) next() error {
	if _, err := io.ReadFull(c.r, c.buf[:chunkHeader]); err != nil {
		return cutShort(err)
	}
	n := binary.LittleEndian.Uint32(c.buf)
	if n > chunkSize {
		return fmt.Errorf("%w: a chunk says that it has %d bytes, and none has more than %d", errDamagedSnapshot, n, chunkSize)
	}
	chunk := c.buf[:chunkHeader+n]
	if _, err := io.ReadFull(c.r, chunk[chunkHeader:]); err != nil {
		return cutShort(err)
	}
	if binary.LittleEndian.Uint32(chunk[4:]) != chunkSum(chunk) {
		return fmt.Errorf("%w: the checksum of a chunk does not match", errDamagedSnapshot)
	}
	if n == 0 {
		return io.EOF
	}
	c.rest = chunk[chunkHeader:]
	return nil
}

// drain reads up to the end, and reports whether all is there.
func (c *chunkReader) drain() error {
	_, err := io.Copy(io.Discard, c)
	return err
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", errDamagedSnapshot)
	}
	return fmt.Errorf("cluster: reading a snapshot: %w", err)
}
