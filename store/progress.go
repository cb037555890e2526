package store

import (
	"io"

	"github.com/stateio/stateio/internal/fsys"
)

// A meter tells how far the reading of some files has come. The zero value tells nobody.
type meter struct {
	tell  func(done, total int64)
	total int64 // bytes of all files
	sizes []int64

	before int64 // bytes of the files before the current one
	size   int64 // of the current one
	told   int64
}

// meterPiece is how much is read between two calls of tell, in bytes.
const meterPiece = 256 << 10

// newMeter returns a meter for files of these sizes, which are read in this order.
func newMeter(tell func(done, total int64), sizes []int64) *meter {
	m := &meter{tell: tell}
	m.expect(sizes)
	return m
}

// sizesOf returns how large these files of a store are, in bytes. One that is gone, or can't
// be looked at, has no size: reading it says why.
func sizesOf(fsy fsys.FS, path func(index uint64) string, indexes []uint64) (sizes []int64) {
	for _, index := range indexes {
		size := int64(0)
		if info, err := fsy.Stat(path(index)); err == nil {
			size = info.Size
		}
		sizes = append(sizes, size)
	}
	return sizes
}

// next begins with the next file: the one before is done.
func (m *meter) next() {
	m.before += m.size
	m.size = 0
	if len(m.sizes) > 0 {
		m.size, m.sizes = m.sizes[0], m.sizes[1:]
	}
	m.at(0) // what of it the file before was short of
}

// expect has the meter go on with other files than were left, of these sizes.
func (m *meter) expect(sizes []int64) {
	m.before, m.size = m.told, 0
	m.total = m.told
	for _, size := range sizes {
		m.total += size
	}
	m.sizes = sizes
}

// end tells that all files are done.
func (m *meter) end() {
	if m.tell != nil {
		m.tell(m.total, m.total)
	}
}

// at tells that the current file is read up to an offset, if that is a piece more than was
// told, and reports whether it is. A file may be longer by now than it was.
func (m *meter) at(off int64) bool {
	done := m.before + min(off, m.size)
	if done-m.told < meterPiece {
		return false
	}
	m.told = done
	m.tell(done, m.total)
	return true
}

// A meteredWriter tells a meter how much was written.
type meteredWriter struct {
	w   io.Writer
	m   *meter
	off int64
}

func (w *meteredWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.off += int64(n)
	w.m.at(w.off)
	return n, err
}
