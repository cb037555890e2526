package engine

import (
	"os"
	"path/filepath"
)

// Bound is what the disk allows: a loop that overwrites a file whose
// space is allocated and written, so that a sync has the data to write and
// nothing else, no size and no extents. With many goroutines each write takes
// an update of all of them, so it has one caller: a group commit that never misses a
// writer.
var Bound = Engine{
	Name: "bound",
	What: "overwriting written space and fdatasync",
	Open: func(dir string, o Options) (DB, error) {
		size := o.Size * max(1, o.Goroutines)
		f, err := CreateWritten(filepath.Join(dir, "bound"), max(boundSize, int64(size)))
		if err != nil {
			return nil, err
		}
		return &boundDB{f: f, buf: make([]byte, size)}, nil
	},
}

// Whole tells whether one write of e stands for one update of every goroutine.
func (e Engine) Whole() bool { return e.Name == Bound.Name }

// boundSize is the size of the file that the bound overwrites, in bytes, again
// from its start when it is at its end.
const boundSize = 64 << 20

// CreateWritten makes a file of size zeros, durably.
func CreateWritten(path string, size int64) (*os.File, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size && err == nil; off += int64(len(zeros)) {
		_, err = f.Write(zeros[:min(int64(len(zeros)), size-off)])
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close() // the first error tells more
		return nil, err
	}
	return f, nil
}

// boundDB has one caller.
type boundDB struct {
	f   *os.File
	off int64
	buf []byte
}

func (w *boundDB) Write(update []byte) error {
	if w.off+int64(len(w.buf)) > boundSize {
		w.off = 0
	}
	copy(w.buf, update)
	if _, err := w.f.WriteAt(w.buf, w.off); err != nil {
		return err
	}
	w.off += int64(len(w.buf))
	return datasync(w.f)
}

func (w *boundDB) Close() error { return w.f.Close() }
