package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// batches are some of every kind, with entries that end near a block's end.
func batches() [][][]byte {
	return [][][]byte{
		{nil},
		{bytesOf(1, 10), nil, bytesOf(2, 70_000), bytesOf(3, block-24), bytesOf(4, 5)},
		{bytesOf(5, 3*block), bytesOf(6, 1)},
	}
}

// A batch is in the file as its updates one by one would be, and is one write and one sync.
func TestABatchIsOneWriteOfItsUpdates(t *testing.T) {
	d := newDisk()
	w := stateio.NewWriter(d, 0, 0)
	m := &model{}
	for i, batch := range batches() {
		if err := w.Updates(batch...); err != nil {
			t.Fatal(err)
		}
		for _, update := range batch {
			m.update(update)
		}
		if d.synced != len(m.file) || !bytes.Equal(d.Bytes(), m.file) {
			t.Fatalf("batch %d: %d bytes are durable, want %d", i, d.synced, len(m.file))
		}
		if err := w.Snapshot([]byte("state")); err != nil {
			t.Fatal(err)
		}
		m.snapshot([]byte("state"))
	}
	if err := w.Updates(); err != nil {
		t.Fatal(err)
	}
	million := bytesOf(7, 1<<20)
	if err := w.Updates(million, million, million); err != nil { // more than a file gets at once
		t.Fatal(err)
	}
	if got := strings.Join(d.calls, " "); got != strings.Repeat("write sync ", 6)+"write sync" {
		t.Errorf("the calls were %s", got)
	}
}

// What a file gets in pieces is what it would get at once.
func TestABatchOfAFileIsThatOfItsUpdates(t *testing.T) {
	f, m := tempFile(t, nil), &model{}
	w := reopen(t, f, m)
	long := bytes.Repeat([]byte("012345678"), 1_000_000) // more than is written at once
	many := make([][]byte, 40)
	for i := range many {
		many[i] = bytesOf(uint64(i), 100_000)
	}
	for _, batch := range append(batches(), many, [][]byte{bytesOf(8, 10), long, bytesOf(9, 10), long}, [][]byte{long}) {
		if err := w.Updates(batch...); err != nil {
			t.Fatal(err)
		}
		for _, update := range batch {
			m.update(update)
		}
		if !bytes.Equal(content(t, f), m.file) {
			t.Fatalf("after a batch of %d the file is not that of its entries", len(batch))
		}
	}
	if err := errors.Join(w.Snapshot(long), w.Update([]byte("after"))); err != nil {
		t.Fatal(err)
	}
	m.snapshot(long).update([]byte("after"))
	if !bytes.Equal(content(t, f), m.file) {
		t.Fatal("the file is not that of its entries")
	}
}

// A long entry of a file takes little more memory than it has, and so does a long batch.
func TestLongEntriesOfAFileTakeLittleMemory(t *testing.T) {
	long := make([]byte, 32<<20)
	short := make([][]byte, 320)
	for i := range short {
		short[i] = long[:100_000]
	}
	for name, write := range map[string]func(w *stateio.Writer) error{
		"an update":  func(w *stateio.Writer) error { return w.Update(long) },
		"a snapshot": func(w *stateio.Writer) error { return w.Snapshot(long) },
		"a batch":    func(w *stateio.Writer) error { return w.Updates(short...) },
	} {
		w := reopen(t, tempFile(t, nil), &model{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := write(w)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err != nil || n > 6<<20 {
			t.Errorf("%s of 32 MB allocated %d KiB, %v", name, n>>10, err)
		}
	}
}

// A process that dies while it writes a batch leaves a prefix of it.
func TestEveryCutOfABatchIsAPrefixOfIt(t *testing.T) {
	m := (&model{}).snapshot([]byte("state")).update([]byte("acknowledged"))
	f := tempFile(t, m.file)
	acked := int64(len(m.file))
	batch := [][]byte{bytesOf(1, 10), nil, bytesOf(2, 700), bytesOf(3, 300), bytesOf(4, 40)}
	if err := reopen(t, f, m).Updates(batch...); err != nil {
		t.Fatal(err)
	}
	for _, update := range batch {
		m.update(update)
	}
	file := content(t, f)
	f.Close()
	for cut := acked; cut <= int64(len(file)); cut += 1 + int64(17/count(20)) {
		g := tempFile(t, file[:cut])
		left := m.prefix(m.whole(cut))
		must(t, reopen(t, g, left), left, []byte("after"))
		if err := left.compare(g, int64(len(left.file))); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		g.Close()
		_ = os.Remove(g.Name())
	}
}

// A power failure that loses a part of a batch and keeps a later one loses nothing that was
// acknowledged: the file is restored, or refused, and then its epoch gives back what is before
// the gap.
func TestAGapInABatchLosesNothingAcknowledged(t *testing.T) {
	const sector = 512
	m := (&model{}).update(nil).snapshot([]byte("state")).update([]byte("acknowledged"))
	acked := len(m.file)
	for i := range 40 {
		m.update(bytesOf(uint64(i), 300))
	}
	refused := 0
	for at := acked; at < len(m.file); at += sector - at%sector {
		file := bytes.Clone(m.file)
		clear(file[at:min(len(file), at+sector-at%sector)])
		left := m.whole(int64(at))
		r, size := bytes.NewReader(file), int64(len(file))
		err := m.prefix(left).compare(r, size)
		if !isCorrupt(err) {
			if err != nil {
				t.Errorf("a gap at %d: %v", at, err)
			}
			continue
		}
		refused++
		state, updates, err := stateio.RestoreEpoch(r, size, m.epoch())
		if err != nil || string(state) != "state" {
			t.Fatalf("a gap at %d: the state is %q, %v", at, state, err)
		}
		want := m.prefix(left).current()[1:]
		for update, err := range updates.All() {
			if err == nil && len(want) > 0 && bytes.Equal(update, want[0].data) {
				want = want[1:]
			} else if !isCorrupt(err) {
				t.Errorf("a gap at %d: an update of %d bytes, %v", at, len(update), err)
			}
		}
		if len(want) > 0 {
			t.Errorf("a gap at %d: %d of %d updates before it are not there", at, len(want), left)
		}
	}
	if refused == 0 {
		t.Error("no gap was refused: the test shows nothing")
	}
}

// The error of a batch is final, and says that what became of it is not known: of a write to
// what is no file, of a sync, and where the file was taken away.
func TestABatchThatFailsIsUnknown(t *testing.T) {
	full, broken := newDisk(), newDisk()
	full.room, broken.syncs = 100, 1
	taken := namedFile(t)
	gone := reopen(t, taken, &model{})
	if err := os.Remove(taken.Name()); err != nil {
		t.Skip(err) // on Windows
	}
	for name, c := range map[string]struct {
		w    *stateio.Writer
		want error
	}{
		"write": {stateio.NewWriter(full, 0, 0), errDisk},
		"sync":  {stateio.NewWriter(broken, 0, 0), errDisk},
		"taken": {gone, stateio.ErrTaken},
	} {
		err := c.w.Updates(bytesOf(1, 60), bytesOf(2, 60))
		var failed *stateio.AppendError
		if !errors.Is(err, c.want) || !errors.As(err, &failed) || !failed.Unknown || failed.Offset != 0 {
			t.Errorf("%s: %v", name, err)
		}
		if again := c.w.Updates([]byte("x")); again != err {
			t.Errorf("%s: the call after that: %v", name, again)
		}
		if again := c.w.Updates(); again != err {
			t.Errorf("%s: no updates after that: %v", name, again)
		}
	}
}

// brokenSync is a disk that can't make anything durable.
type brokenSync struct{}

func (brokenSync) Sync() error { return errDisk }

// After a sync that failed nothing is cut off: it may be durable.
func TestASyncThatFailedIsUnknownAndCutsOffNothing(t *testing.T) {
	f, m := tempFile(t, nil), &model{}
	w := reopen(t, f, m)
	must(t, w, m, []byte("acknowledged"))
	w.SetSync(brokenSync{})
	err := w.Updates([]byte("one"), []byte("two"))
	var failed *stateio.AppendError
	if !errors.Is(err, errDisk) || !errors.As(err, &failed) || !failed.Unknown {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(content(t, f), m.update([]byte("one")).update([]byte("two")).file) {
		t.Error("the file is not that of all entries")
	}
}

func TestAnAppendErrorSaysWhatBecameOfTheEntries(t *testing.T) {
	for want, err := range map[string]*stateio.AppendError{
		"stateio: appending at offset 7: it is wrong; nothing of it was kept; this writer is finished: restore the state and open the file anew": {
			Offset: 7, Err: errors.New("it is wrong"),
		},
		"stateio: appending at offset 7 of a/b: EOF; this writer is finished: restore the state and open the file anew": {
			Path: "a/b", Offset: 7, Unknown: true, Err: io.EOF,
		},
	} {
		if got := err.Error(); got != want || !errors.Is(err, err.Err) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	d := newDisk()
	d.room = 0
	for want, do := range map[string]func(w *stateio.Writer) error{
		"appending the update at offset 0: ":   func(w *stateio.Writer) error { return w.Update(nil) },
		"appending the snapshot at offset 0: ": func(w *stateio.Writer) error { return w.Snapshot(nil) },
		"appending 2 updates at offset 0: ":    func(w *stateio.Writer) error { return w.Updates(nil, nil) },
	} {
		if err := do(stateio.NewWriter(d, 0, 0)); err == nil || !strings.HasPrefix(err.Error(), "stateio: "+want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
