package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

// read returns the entries of b as they are wanted, and the damage.
func read(t testing.TB, r io.ReaderAt, limit int64) (entries []want, damage []inspect.Damage) {
	t.Helper()
	for e, err := range inspect.Entries(r, limit) {
		var d *inspect.Damage
		switch {
		case errors.As(err, &d):
			damage = append(damage, *d)
			continue
		case err != nil:
			t.Fatal(err)
		}
		b, err := io.ReadAll(iotest.OneByteReader(e.Payload()))
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Prefix) != min(len(b), inspect.PrefixSize) || !bytes.HasPrefix(b, e.Prefix) {
			t.Fatalf("the entry at %d has prefix %q, want a part of %q", e.Offset, e.Prefix, b)
		}
		entries = append(entries, want{e.Offset, e.Kind == inspect.Snapshot, e.Epoch, b})
	}
	return entries, damage
}

// same fails t unless got are the entries want.
func same(t testing.TB, got, want []want) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i].offset != want[i].offset || got[i].epoch != want[i].epoch ||
			got[i].snapshot != want[i].snapshot || !bytes.Equal(got[i].payload, want[i].payload) {
			t.Fatalf("entry %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
}

func TestEntriesAreThoseWritten(t *testing.T) {
	for _, l := range logs(t) {
		got, damage := read(t, bytes.NewReader(l.Bytes()), int64(l.Len()))
		same(t, got, l.entries)
		if len(damage) > 0 {
			t.Fatal(damage)
		}
	}
}

func TestEntriesGoesOnBehindDamage(t *testing.T) {
	for _, l := range logs(t) {
		for lost, e := range l.entries[:max(0, len(l.entries)-1)] {
			b := bytes.Clone(l.Bytes())
			b[e.offset+15]++ // the entry's kind
			got, damage := read(t, bytes.NewReader(b), int64(len(b)))
			rest := append(l.entries[:lost:lost], l.entries[lost+1:]...)
			same(t, got, rest)
			if len(damage) != 1 || damage[0].Offset != e.offset || damage[0].End() > l.entries[lost+1].offset {
				t.Fatalf("the entry at %d is damaged: %+v", e.offset, damage)
			}
			place := inspect.Current
			if l.epoch > uint64(e.offset) {
				place = inspect.Obsolete
			}
			if damage[0].Place != place {
				t.Fatalf("%+v, want the place %v", damage[0], place)
			}
		}
	}
}

func TestTornTailIsTheLastThatComes(t *testing.T) {
	l := newLog(t, 1, 10, 20, 30)
	b := l.Bytes()[:l.Len()-1]
	last := l.entries[2].offset
	got, damage := read(t, bytes.NewReader(b), int64(len(b)))
	same(t, got, l.entries[:2])
	if len(damage) != 1 || damage[0].Place != inspect.TornTail || damage[0].Offset != last || damage[0].End() != int64(len(b)) {
		t.Fatalf("got %+v", damage)
	}
	if errors.Is(&damage[0], stateio.ErrCorrupt) || !strings.Contains(damage[0].Error(), "torn tail") {
		t.Fatalf("a torn tail is no corruption: %v", &damage[0])
	}
}

func TestZerosAtBothEndsAreNoDamage(t *testing.T) {
	l := newLog(t, 1, 40000, 100000, 70, -200, 8, -50000, 9)
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, l.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := stateio.Truncate(t.Context(), file, nil); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no holes here: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	size := int64(l.Len()) + 100<<20
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	rep, err := inspect.Verify(t.Context(), file, size, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Sound() || rep.Damaged != 0 || rep.Updates != 3 || rep.Snapshots != 2 || rep.Current != 1 {
		t.Fatalf("got %+v", rep)
	}
	if want := l.entries[2].offset; rep.Freed != want {
		t.Fatalf("%d bytes were given back, want %d", rep.Freed, want)
	}
	got, _ := read(t, file, size)
	same(t, got, l.entries[2:])
}

func TestVerifyCounts(t *testing.T) {
	l := newLog(t, 1, 10, 20, -31, 40, -1, 50, 60000)
	found := 0
	b := bytes.Clone(l.Bytes())
	b[20] ^= 1
	off := int64(0)
	rep, err := inspect.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &inspect.Options{
		Found:    func(inspect.Damage) { found++ },
		Progress: func(to int64) { off = to },
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Updates != 4 || rep.Snapshots != 2 || rep.Epochs != 3 || rep.Current != 2 || rep.Payload != 20+30+40+50+60000 ||
		rep.Size != int64(len(b)) || rep.End != int64(len(b)) || rep.Epoch != l.epoch {
		t.Fatalf("got %+v", rep)
	}
	if rep.Damaged != 1 || found != 1 || rep.Sound() || rep.Err() != nil || off != rep.End {
		t.Fatalf("got %+v, %d found, %d read", rep, found, off)
	}
}

func TestVerifyTellsOfAWrongWayBack(t *testing.T) {
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	if err := errors.Join(w.Update([]byte("one")), w.Snapshot([]byte("state"))); err != nil {
		t.Fatal(err)
	}
	w = stateio.NewWriter(&b, int64(b.Len()), 0) // a wrong epoch
	if err := w.Snapshot([]byte("newer")); err != nil {
		t.Fatal(err)
	}
	rep, err := inspect.Verify(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Err() != nil || rep.Damaged != 1 || rep.Damage[0].Place != inspect.Obsolete || rep.Snapshots != 2 {
		t.Fatalf("got %+v", rep)
	}
}

func TestVerifyStops(t *testing.T) {
	l := newLog(t, 1, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inspect.Verify(ctx, bytes.NewReader(l.Bytes()), int64(l.Len()), nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := inspect.Verify(t.Context(), bytes.NewReader(nil), -1, nil); err == nil {
		t.Fatal("a negative limit is accepted")
	}
}

// A brokenReader fails to read what lies after from.
type brokenReader struct {
	io.ReaderAt
	from int64
}

var errDisk = errors.New("disk on fire")

func (r brokenReader) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > r.from {
		return 0, errDisk
	}
	return r.ReaderAt.ReadAt(b, off)
}

func TestAReadErrorIsNoDamage(t *testing.T) {
	l := newLog(t, 1, 300000, 10, 300000)
	for from := int64(0); from < int64(l.Len()); from += 10000 {
		r := brokenReader{bytes.NewReader(l.Bytes()), from}
		if _, err := inspect.Verify(t.Context(), r, int64(l.Len()), nil); !errors.Is(err, errDisk) {
			t.Fatalf("broken from %d on: %v", from, err)
		}
		var last error
		for _, err := range inspect.Entries(r, int64(l.Len())) {
			last = err
		}
		if !errors.Is(last, errDisk) {
			t.Fatalf("broken from %d on: %v", from, last)
		}
	}
}

func TestPayloadChecksAgain(t *testing.T) {
	l := newLog(t, 1, 100)
	b := l.Bytes()
	for e, err := range inspect.Entries(bytes.NewReader(b), int64(len(b))) {
		if err != nil {
			t.Fatal(err)
		}
		b[50] ^= 1
		if _, err := io.ReadAll(e.Payload()); !errors.Is(err, stateio.ErrCorrupt) {
			t.Fatal(err)
		}
	}
}
