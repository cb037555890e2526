package stateio

import (
	"context"
	"os"
	"sync"
)

// watchPiece is how much is read between two calls of tell, in bytes.
const watchPiece = 256 << 10

// A watchedFile is read until a context ends, and tells how far that is.
type watchedFile struct {
	*os.File
	ctx   context.Context
	tell  func(done, total int64) // nil: nobody is told
	from  int64                   // where the reading begins
	total int64                   // bytes to read

	mu   sync.Mutex // guards tell and told: what is read ahead is read by other goroutines
	told int64
}

// ReadAt implements io.ReaderAt.
func (f *watchedFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(p, off)
	f.at(off + int64(n))
	return n, err
}

// end has nobody told any more: what is read ahead may still be read.
func (f *watchedFile) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell = nil
}

// at tells that the file is read up to an offset, if that is a piece more than was told, or
// the end.
func (f *watchedFile) at(off int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := min(off-f.from, f.total)
	if f.tell == nil || done-f.told < watchPiece && (done < f.total || f.told == f.total) {
		return
	}
	f.told = done
	f.tell(done, f.total)
}
