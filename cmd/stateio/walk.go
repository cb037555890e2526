package main

import (
	"io"

	"github.com/stateio/stateio/store"
)

// updateHead is how many bytes a log has for an update beside what is in it, about.
const updateHead = 44

// A walk measures how much of the logs of a store was read, by the updates that come of
// them.
type walk struct {
	logs  []store.File // the first is the one that is read
	past  int64        // bytes of those before
	in    int64        // bytes that were read of the first
	total int64        // bytes of all
}

// newWalk returns a walk from update first to update last, or to the end before that.
func newWalk(files []store.File, first, last uint64) *walk {
	w := &walk{}
	for _, f := range files {
		if f.Snapshot || f.First > last || f.Last > 0 && f.Last < first {
			continue
		}
		if f.First < first {
			w.in = share(f, first-1)
		}
		if last < f.Last {
			f.Size = share(f, last)
		}
		w.logs = append(w.logs, f)
		w.total += f.Size
	}
	return w
}

// share returns how many bytes of a log there are up to an update of it, about: none if it
// is not known where the log ends.
func share(f store.File, index uint64) int64 {
	if f.Last < f.First {
		return 0
	}
	return int64(float64(f.Size) * float64(index-f.First+1) / float64(f.Last-f.First+1))
}

// read tells of an update of size bytes that was read, and returns how many bytes of the
// logs were.
func (w *walk) read(index uint64, size int) int64 {
	for len(w.logs) > 1 && index >= w.logs[1].First {
		w.past += w.logs[0].Size
		w.logs, w.in = w.logs[1:], 0
	}
	w.in += int64(size) + updateHead
	if len(w.logs) == 0 {
		return w.past
	}
	return w.past + min(w.in, w.logs[0].Size)
}

// A replaying shows how far the replaying of a store is, in two passes: the first makes
// sure that all of it can be read.
type replaying struct {
	bar   *progress
	files []store.File
	at    uint64
	begun int64 // bytes of the passes before
}

// newReplaying returns the progress of restoring the store in dir up to update at, whose
// state is written or not.
func newReplaying(w io.Writer, dir string, at uint64, state bool) (*replaying, error) {
	files, err := store.Files(dir)
	if err != nil {
		return nil, err
	}
	r := &replaying{files: files, at: at}
	index, size, _ := r.snapshot()
	total := 2 * (size + newWalk(files, index+1, at).total)
	if state {
		total += size
	}
	r.bar = newProgress(w, "restore "+dir, total)
	return r, nil
}

// snapshot returns the index and the size of the snapshot that is restored, if there is
// one.
func (r *replaying) snapshot() (index uint64, size int64, ok bool) {
	for _, f := range r.files {
		if f.Snapshot && f.Last <= r.at {
			index, size, ok = f.Last, f.Size, true
		}
	}
	return index, size, ok
}

// pass returns m, and shows how far its restoring is, which reads the snapshot once before
// m gets it. A nil replaying shows nothing.
func (r *replaying) pass(m *replayMachine) *replayMachine {
	if r == nil {
		return m
	}
	index, done, first := r.snapshot()
	w := newWalk(r.files, index+1, r.at)
	done += r.begun
	r.begun = done + w.total
	return &replayMachine{
		state: func(state io.Reader) error {
			if !first { // an update that replaces the state
				index++
				r.bar.at(done + w.read(index, 0))
				return m.state(state)
			}
			first = false
			in := &barReader{r: state, bar: r.bar, off: done}
			in.bar.at(done)
			err := m.state(in)
			r.begun += in.off - done
			done = in.off
			return err
		},
		update: func(update []byte) error {
			first = false
			index++
			r.bar.at(done + w.read(index, len(update)))
			return m.update(update)
		},
	}
}

// A barReader shows in a progress how much was read.
type barReader struct {
	r   io.Reader
	bar *progress
	off int64
}

func (b *barReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.off += int64(n)
	b.bar.at(b.off)
	return n, err
}
