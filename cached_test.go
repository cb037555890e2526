package stateio_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stateio/stateio"
)

// page is what a cache holds or lacks as a whole.
const page = 4096

// hidden is a file of a model of which the disk lacks a page, what the page cache hides until
// the file is to be read from the disk.
func hidden(t *testing.T, m *model, hole int) *os.File {
	t.Helper()
	f := tempFile(t, m.file)
	stateio.SetForget(t, func(osf *os.File, off int64) {
		if osf != f || off > int64(hole) {
			return
		}
		if _, err := f.WriteAt(make([]byte, min(page, len(m.file)-hole)), int64(hole)); err != nil {
			t.Fatal(err)
		}
	})
	return f
}

// failedBatch is a model that ends with a batch which was not acknowledged, and how many of its
// bytes were.
func failedBatch() (m *model, acked int) {
	m = (&model{}).update([]byte("old")).snapshot([]byte("state")).update([]byte("acknowledged"))
	acked = len(m.file)
	for i := range 20 {
		m.update(bytesOf(uint64(i), 8<<10))
	}
	return m, acked
}

// After the sync of a batch has failed, any part of it may be in the cache and not on the disk.
// Nothing is built on that.
func TestWhatOnlyTheCacheHoldsOfABatchIsNotBuiltOn(t *testing.T) {
	m, acked := failedBatch()
	last := m.ops[len(m.ops)-1].start
	refused := 0
	for hole := acked + page - acked%page; hole < len(m.file); hole += page {
		left := m.prefix(m.whole(int64(hole)))
		f := hidden(t, m, hole)
		w, err := stateio.NewFileWriter(f)
		if int64(hole) < last-page {
			refused++
			if !isCorrupt(err) || len(content(t, f)) != len(m.file) {
				t.Fatalf("a hole at %d: %v, and a file of %d bytes", hole, err, len(content(t, f)))
			}
			continue
		}
		if isCorrupt(err) {
			continue
		}
		if err != nil {
			t.Fatalf("a hole at %d: %v", hole, err)
		}
		must(t, w, left, []byte("after"))
		if err := left.compare(f, int64(len(left.file))); err != nil {
			t.Fatalf("a hole at %d: %v", hole, err)
		}
	}
	if refused < 30 {
		t.Errorf("%d holes were before the last entry", refused)
	}
}

// RestoreFile and Truncate look at the disk as well.
func TestWhatOnlyTheCacheHoldsIsNotRestored(t *testing.T) {
	m, acked := failedBatch()
	hole := acked + 10*page - acked%page
	f := hidden(t, m, hole)
	state, epoch, updates, err := stateio.RestoreFile(f)
	if err != nil || string(state) != "state" || epoch != m.epoch() {
		t.Fatalf("RestoreFile: %q, %d, %v", state, epoch, err)
	}
	for update, err := range updates.All() {
		if err == nil && updates.Offset() >= int64(hole) {
			t.Errorf("RestoreFile gives an update of %d bytes after the hole", len(update))
		}
		if err != nil && !isCorrupt(err) {
			t.Error(err)
		}
	}
	if _, err := updates.Read(); !isCorrupt(err) {
		t.Errorf("RestoreFile: the updates end with %v", err)
	}
	f = hidden(t, m, hole)
	if _, err := stateio.Truncate(t.Context(), f, nil); !isCorrupt(err) {
		t.Errorf("Truncate: %v", err)
	}
}

// What CompactFile has written is compared as the disk holds it.
func TestWhatOnlyTheCacheHoldsIsNoCompactedFile(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 3*block)).update([]byte("one"))
	src, dst := tempFile(t, m.file), tempFile(t, nil)
	stateio.SetForget(t, func(osf *os.File, off int64) {
		if osf == dst && off == 0 {
			fill(t, dst, make([]byte, len(m.file)))
		}
	})
	if _, err := stateio.CompactFile(t.Context(), dst, src, nil); err == nil || errors.Is(err, stateio.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
