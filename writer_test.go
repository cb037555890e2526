package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// disk is a writer that can sync, and fail at either.
type disk struct {
	bytes.Buffer
	calls  []string
	room   int // bytes until writes fail
	short  bool
	syncs  int // until Sync fails once
	synced int // bytes that a crash leaves
}

var errDisk = errors.New("the disk is broken")

func (d *disk) Write(b []byte) (int, error) {
	d.calls = append(d.calls, "write")
	n := min(len(b), d.room)
	d.room -= n
	d.Buffer.Write(b[:n])
	if n < len(b) && !d.short {
		return n, errDisk
	}
	return n, nil
}

func (d *disk) Sync() error {
	d.calls = append(d.calls, "sync")
	if d.syncs--; d.syncs == 0 {
		return errDisk
	}
	d.synced = d.Len()
	return nil
}

func newDisk() *disk { return &disk{room: 1 << 30, syncs: 1 << 30} }

// Every entry is one write, and one sync before it is acknowledged.
func TestEntriesAreWrittenAtOnceAndSynced(t *testing.T) {
	d := newDisk()
	w := stateio.NewWriter(d, 0, 0)
	m := &model{}
	for i, size := range []int{0, 1, 100, 3 * block, 10} {
		m.entry(i%2 == 1, bytesOf(uint64(i), size))
		write := w.Update
		if i%2 == 1 {
			write = w.Snapshot
		}
		if err := write(m.ops[i].data); err != nil {
			t.Fatal(err)
		}
		if d.synced != len(m.file) || !bytes.Equal(d.Bytes(), m.file) {
			t.Fatalf("entry %d: %d bytes are durable, want %d", i, d.synced, len(m.file))
		}
	}
	if got := strings.Join(d.calls, " "); got != strings.Repeat("write sync ", 4)+"write sync" {
		t.Fatalf("the calls were %s", got)
	}
}

// Random logs, written and restored, are the plain model's.
func TestRandomFilesAreThoseOfTheModel(t *testing.T) {
	for seed := range uint64(count(150)) {
		m := randomModel(rand.New(rand.NewPCG(seed, 1)), 30)
		var got bytes.Buffer
		w := stateio.NewWriter(&got, 0, 0)
		for i, o := range m.ops {
			write := w.Update
			if o.snapshot {
				write = w.Snapshot
			}
			if err := write(o.data); err != nil {
				t.Fatal(err)
			}
			if i%7 == 0 { // go on as after a restart
				_, epoch, _, err := stateio.Restore(bytes.NewReader(got.Bytes()), int64(got.Len()))
				if err != nil {
					t.Fatal(err)
				}
				w = stateio.NewWriter(&got, int64(got.Len()), epoch)
			}
		}
		if !bytes.Equal(got.Bytes(), m.file) {
			t.Fatalf("seed %d: the file is not the format's", seed)
		}
		if err := m.compare(bytes.NewReader(m.file), int64(len(m.file))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The first failed write is final, also a short one without an error: G8.
func TestTheFirstFailedWriteIsFinal(t *testing.T) {
	for _, short := range []bool{false, true} {
		for room := range 50 {
			d := newDisk()
			w := stateio.NewWriter(d, 0, 0)
			if err := w.Update([]byte("one")); err != nil {
				t.Fatal(err)
			}
			d.room, d.short = room, short
			want := errDisk
			if short {
				want = io.ErrShortWrite
			}
			err := w.Update(bytesOf(1, 30))
			if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "stateio: ") {
				t.Fatalf("got %v, want %v", err, want)
			}
			d.room = 1 << 30
			calls := len(d.calls)
			if err := w.Update([]byte("three-retry")); !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			if err := w.Snapshot([]byte("four")); !errors.Is(err, want) || len(d.calls) != calls {
				t.Fatalf("got %v, want %v, and nothing written", err, want)
			}
			m := (&model{}).update([]byte("one"))
			if err := m.compare(bytes.NewReader(d.Bytes()), int64(d.Len())); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The first failed Sync is final: G9. The entry may be there afterwards or not,
// and its error says so, so that nothing was acknowledged that is lost: G9b.
func TestTheFirstFailedSyncIsFinal(t *testing.T) {
	d := newDisk()
	d.syncs = 3
	w := stateio.NewWriter(d, 0, 0)
	acked := 0
	for i := range 10 {
		err := w.Update([]byte{byte(i)})
		if err == nil {
			acked++
		} else if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "restore the state") {
			t.Fatalf("got %v", err)
		}
	}
	if acked != 2 || len(d.calls) != 6 {
		t.Fatalf("%d updates were acknowledged in %d calls, want 2 in 6", acked, len(d.calls))
	}
	for _, durable := range []int{d.synced, d.Len()} {
		m := (&model{}).update([]byte{0}).update([]byte{1})
		if durable == d.Len() {
			m.update([]byte{2})
		}
		if err := m.compare(bytes.NewReader(d.Bytes()), int64(durable)); err != nil {
			t.Fatal(err)
		}
	}
}

// Torn headers of 1 to 14 bytes at a block's start, where nothing was cut: the
// writer and its epoch agree with the readers: G4.
func TestAWriterBehindStrayBytesAgreesWithReaders(t *testing.T) {
	for stray := range 15 {
		m := (&model{}).update(bytesOf(1, block-24))
		file := append(bytes.Clone(m.file), bytesOf(2, stray)...)
		out := bytes.NewBuffer(file)
		w := stateio.NewWriter(out, int64(out.Len()), 0)
		if err := w.Snapshot([]byte("state")); err != nil {
			t.Fatal(err)
		}
		if err := w.Update([]byte("update")); err != nil {
			t.Fatal(err)
		}
		state, _, updates, err := stateio.Restore(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil || string(state) != "state" {
			t.Fatalf("%d stray bytes: %q, %v", stray, state, err)
		}
		if u, err := updates.Read(); err != nil || string(u) != "update" {
			t.Fatalf("%d stray bytes: %q, %v", stray, u, err)
		}
	}
}

// Appending and reading allocate nothing in the steady state.
func TestUpdateAndReadDoNotAllocate(t *testing.T) {
	w := stateio.NewWriter(io.Discard, 0, 0)
	update := bytesOf(1, 300)
	if n := testing.AllocsPerRun(1000, func() { _ = w.Update(update) }); n != 0 {
		t.Errorf("Update allocates %v times", n)
	}
	m := (&model{}).snapshot(update)
	for range 2000 {
		m.update(update)
	}
	_, _, updates, err := stateio.Restore(bytes.NewReader(m.file), int64(len(m.file)))
	if err != nil {
		t.Fatal(err)
	}
	for range 800 {
		if _, err := updates.Read(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = updates.Read() }); n != 0 {
		t.Errorf("Read allocates %v times", n)
	}
}

func TestAWriterKeepsNoLargeBuffer(t *testing.T) {
	w := stateio.NewWriter(io.Discard, 0, 0)
	large := make([]byte, 9<<20)
	if n := testing.AllocsPerRun(1, func() { _ = w.Update(large) }); n == 0 {
		t.Error("a buffer of over 9 MiB is kept")
	}
}

// A Writer keeps no slice that it was given, and none beyond 8 MiB of its own.
func TestAWriterKeepsNoSlice(t *testing.T) {
	var got bytes.Buffer
	w := stateio.NewWriter(&got, 0, 0)
	b := bytesOf(1, 100)
	m := (&model{}).update(bytes.Clone(b))
	if err := w.Update(b); err != nil {
		t.Fatal(err)
	}
	clear(b)
	big := bytesOf(2, 10<<20)
	m.snapshot(big).update([]byte("small"))
	if err := w.Snapshot(big); err != nil {
		t.Fatal(err)
	}
	if err := w.Update([]byte("small")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), m.file) {
		t.Fatal("the file is not that of its entries")
	}
}

func TestANegativeOffsetIsAnError(t *testing.T) {
	w := stateio.NewWriter(&bytes.Buffer{}, -1, 0)
	if err := w.Update(nil); err == nil || !strings.Contains(err.Error(), "negative") {
		t.Errorf("got %v", err)
	}
	if _, _, _, err := stateio.Restore(bytes.NewReader(nil), -1); err == nil || errors.Is(err, stateio.ErrCorrupt) {
		t.Errorf("Restore with limit -1: %v", err)
	}
}

// A writer at a negative offset writes nothing, and says so as any other that is finished.
func TestAWriterAtANegativeOffsetWritesNothing(t *testing.T) {
	d := newDisk()
	w := stateio.NewWriter(d, -1, 0)
	err := w.Update([]byte("x"))
	var failed *stateio.AppendError
	if !errors.As(err, &failed) || failed.Offset != -1 || failed.Unknown || !strings.Contains(err.Error(), "at offset -1: the offset is negative") {
		t.Errorf("got %v", err)
	}
	if again := w.Snapshot(nil); again != err || len(d.calls) > 0 {
		t.Errorf("the call after that: %v, and the calls of the disk were %v", again, d.calls)
	}
}
