package store

import (
	"context"
	"io"
	"slices"

	"github.com/stateio/stateio/internal/storefile"
)

// A workload is what a repair has to read, in bytes.
type workload struct {
	begun   int64   // of the stages so far, the current one included
	all     int64   // the old store
	state   int64   // the snapshot that the new store begins with
	logs    []int64 // each log that is read
	updates int64   // all of those
}

// expect finds out how much there is to read.
func (r *repair) expect() error {
	if r.opts.Progress == nil {
		return nil
	}
	in := filesIn(r.src)
	l, err := in.Find()
	if err != nil {
		return err
	}
	for _, size := range slices.Concat(sizesOf(in.FS, in.Log, l.Logs), sizesOf(in.FS, in.Snap, l.Snaps)) {
		r.work.all += size
	}
	return nil
}

// choose finds out how much of that is what can be had.
func (r *repair) choose() {
	if r.opts.Progress == nil {
		return
	}
	in := filesIn(r.src)
	r.work.state = sizesOf(in.FS, in.Snap, []uint64{r.report.Snapshot})[0]
	r.work.logs = sizesOf(in.FS, in.Log, r.logs)
	for _, size := range r.work.logs {
		r.work.updates += size
	}
}

// stage begins a stage of the work that reads size bytes, and after which rest more are
// read. It returns what to tell of the stage, in any measure.
func (r *repair) stage(size, rest int64) func(done, total int64) {
	before := r.work.begun
	r.work.begun += size
	if r.opts.Progress == nil {
		return nil
	}
	return func(done, total int64) {
		if total > 0 {
			done = int64(float64(size) * float64(done) / float64(total))
		}
		r.opts.Progress(before+done, before+size+rest)
	}
}

// A readState is the state of a snapshot. It is read until the context ends.
type readState struct {
	ctx   context.Context
	state *storefile.SnapReader
	meter *meter
}

// WriteTo implements io.WriterTo.
func (s *readState) WriteTo(w io.Writer) (int64, error) {
	return s.state.WriteTo(&meteredWriter{w: contextWriter{s.ctx, w}, m: s.meter})
}
