package main

import "github.com/stateio/stateio/store"

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
