package store

import (
	"testing"

	"github.com/stateio/stateio/internal/record"
)

// sparse is zeros with one entry at off.
type sparse struct {
	off int64
	b   []byte
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for i, c := range s.b {
		if k := s.off + int64(i) - off; k >= 0 && k < int64(len(p)) {
			p[k] = c
		}
	}
	return len(p), nil
}

// Offsets do not fit an int everywhere: this is for GOARCH=386.
func TestSegmentsBeyond2GiB(t *testing.T) {
	for _, off := range []int64{1 << 30, 3 << 30, 5 << 30} {
		b := record.AppendEntry(nil, off, nil, []byte("hello"))
		s := &segment{buf: make([]byte, segmentSize), off: off}
		s.load(sparse{off, b}, 0)
		if s.err != nil || s.sound[0] != len(b) {
			t.Errorf("at %d: records end at %d, want %d; %v", off, s.sound[0], len(b), s.err)
		}
	}
}
