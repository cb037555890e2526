package main

import (
	"os"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// An epochWalk shows how far an epoch of a state file was read.
type epochWalk struct {
	bar   *progress
	begin int64 // of the epoch, in bytes of the file
	off   int64 // where the next entry is
	size  int64 // of the epoch
}

// newEpochWalk returns the walk through an epoch of a file after its state, which is nil if
// it has none.
func newEpochWalk(bar *progress, file *os.File, size int64, epoch uint64, state []byte) *epochWalk {
	w := &epochWalk{bar: bar, begin: int64(epoch), off: int64(epoch)}
	for e := range stateio.Epochs(file, size) { // that there is damage the walk shows
		if e.Offset == epoch && e.End > w.begin {
			w.size = e.End - w.begin
			break
		}
	}
	if state != nil {
		w.read(state)
	}
	return w
}

// read tells that the payload of the next entry was read.
func (w *epochWalk) read(payload []byte) {
	w.off += record.EntrySize(w.off, int64(len(payload))+entry.HeadSize)
	if w.size > 0 {
		w.bar.of(w.off-w.begin, w.size)
	}
}
