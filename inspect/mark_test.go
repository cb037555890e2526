package inspect

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stateio/stateio"
)

// A countingReader counts the bytes that are read.
type countingReader struct {
	io.ReaderAt
	n int
}

func (c *countingReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, off)
	c.n += n
	return n, err
}

// A walk from a mark on does not read the state that the current epoch begins with, which an
// earlier walk has read.
func TestAWalkFromAMarkDoesNotReadTheStateBefore(t *testing.T) {
	const size = 4 << 20
	var file bytes.Buffer
	w := stateio.NewWriter(&file, 0, 0)
	if err := errors.Join(w.Update([]byte("old")), w.Snapshot(make([]byte, size)), w.Update([]byte("new"))); err != nil {
		t.Fatal(err)
	}
	mark := int64(file.Len())
	if err := w.Update([]byte("newer")); err != nil {
		t.Fatal(err)
	}
	for _, from := range []int64{0, mark} {
		r := &countingReader{ReaderAt: bytes.NewReader(file.Bytes())}
		s, err := newScan(r, int64(file.Len()), from)
		if err != nil || !s.known || s.epoch == 0 {
			t.Fatalf("from %d: %v, the epoch is %d", from, err, s.epoch)
		}
		if from == 0 && r.n < size || from > 0 && r.n > size/4 {
			t.Errorf("from %d: %d bytes were read of %d", from, r.n, file.Len())
		}
	}
}
