// Package meter tells how far the reading of some files has come, in bytes of all of them.
//
//	m := meter.New(tell, sizes) // of the files, in the order in which they are read
//	for _, file := range files {
//		m.Next()
//		... m.At(offset) ... // now and then
//	}
//	m.End()
//
// What is told never goes back.
package meter

import "io"

// A Meter tells how far the reading of some files has come. The zero value, and one without a
// function to tell, tell nobody. It is for one goroutine.
type Meter struct {
	tell  func(done, total int64)
	total int64 // bytes of all files
	sizes []int64

	before int64 // bytes of the files before the current one
	size   int64 // of the current one
	told   int64
}

// piece is how much is read between two calls of tell, in bytes.
const piece = 256 << 10

// New returns a meter for files of these sizes, which are read in this order. tell may be
// nil.
func New(tell func(done, total int64), sizes []int64) *Meter {
	m := &Meter{tell: tell}
	m.Expect(sizes)
	return m
}

// Tells reports whether there is somebody to tell: else nobody need find out how much there
// is to read.
func (m *Meter) Tells() bool { return m.tell != nil }

// Next begins with the next file: the one before is done.
func (m *Meter) Next() {
	m.before += m.size
	m.size = 0
	if len(m.sizes) > 0 {
		m.size, m.sizes = m.sizes[0], m.sizes[1:]
	}
	m.At(0) // what of it the file before was short of
}

// Expect has the meter go on with other files than were left, of these sizes.
func (m *Meter) Expect(sizes []int64) {
	m.before, m.size = m.told, 0
	m.total = m.told
	for _, size := range sizes {
		m.total += size
	}
	m.sizes = sizes
}

// End tells that all files are done.
func (m *Meter) End() {
	if m.tell != nil {
		m.tell(m.total, m.total)
	}
}

// At tells that the current file is read up to an offset, if that is a piece more than
// was told, and reports whether it is; it is not where nobody is told. A file may be
// longer by now than it was.
func (m *Meter) At(off int64) bool {
	done := m.before + min(off, m.size)
	if m.tell == nil || done-m.told < piece {
		return false
	}
	m.told = done
	m.tell(done, m.total)
	return true
}

// A Writer passes on what is written, and tells a meter how much that is.
type Writer struct {
	W   io.Writer
	M   *Meter
	Off int64 // in the current file, of what comes next
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.W.Write(p)
	w.Off += int64(n)
	w.M.At(w.Off)
	return n, err
}
