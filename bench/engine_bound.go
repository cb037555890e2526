package main

import (
	"os"
	"path/filepath"
)

// boundEngine is what the disk allows: a loop that overwrites a file whose
// space is allocated and written, so that a sync has the data to write and
// nothing else, no size and no extents. With many goroutines each write takes
// an update of all of them: a group commit that never misses a writer.
var boundEngine = engine{
	name:       "bound",
	what:       "overwriting written space and fdatasync",
	concurrent: true,
	whole:      true,
	open: func(dir string, goroutines int) (writer, error) {
		f, err := createWritten(filepath.Join(dir, "bound"), boundSize)
		if err != nil {
			return nil, err
		}
		return &boundWriter{f: f, buf: make([]byte, goroutines*updateSize)}, nil
	},
}

// boundSize is the size of the file that the bound overwrites, in bytes, again
// from its start when it is at its end.
const boundSize = 64 << 20

// createWritten makes a file of size zeros, durably.
func createWritten(path string, size int64) (*os.File, error) {
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

// boundWriter has one caller.
type boundWriter struct {
	f   *os.File
	off int64
	buf []byte
}

func (w *boundWriter) Write(update []byte) error {
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

func (w *boundWriter) Close() error { return w.f.Close() }
