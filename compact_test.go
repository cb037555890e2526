package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/stateio/stateio"
)

// Compact writes the bytes that the last epoch would have in a new file.
func TestCompactWritesTheLastEpochAsANewFile(t *testing.T) {
	models := map[string]*model{
		"empty":             {},
		"updates":           (&model{}).update(nil).update(bytesOf(1, 70_000)).update(bytesOf(2, 10)),
		"a snapshot":        (&model{}).update(bytesOf(1, 10)).snapshot(bytesOf(2, 1_000_000)),
		"an empty snapshot": (&model{}).update(bytesOf(1, 10)).snapshot(nil).update(nil),
		"ten epochs":        longModel(),
	}
	for _, v := range vectors(t) {
		m := &model{}
		for i, e := range v.Entries {
			m.entry(e.Op == "snapshot", v.payload(i))
		}
		models[v.Name] = m
	}
	for name, m := range models {
		want := &model{}
		for _, o := range m.current() {
			want.entry(o.snapshot, o.data)
		}
		for _, tail := range [][]byte{nil, make([]byte, 100), []byte("torn")} {
			if len(m.ops) == 0 && len(tail) == 4 {
				continue
			}
			src := append(bytes.Clone(m.file), tail...)
			var got bytes.Buffer
			n, err := stateio.Compact(&got, bytes.NewReader(src), int64(len(src)))
			if err != nil || n != int64(got.Len()) || !bytes.Equal(got.Bytes(), want.file) {
				t.Errorf("%s: %d bytes of %d, %v, want %d", name, got.Len(), n, err, len(want.file))
			}
		}
	}
}

// The state passes through in pieces.
func TestCompactNeedsLittleMemory(t *testing.T) {
	m := (&model{}).update(nil).snapshot(make([]byte, 32<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := stateio.Compact(io.Discard, bytes.NewReader(m.file), int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("compacting a state of 32 MiB allocated %d KiB", n>>10)
	}
}

// fullWriter takes n bytes.
type fullWriter struct{ n int }

func (w *fullWriter) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errDisk
	}
	return len(b), nil
}

func TestCompactReportsTheErrorsOfBothSides(t *testing.T) {
	m := longModel()
	size := 0
	if n, err := stateio.Compact(io.Discard, bytes.NewReader(m.file), int64(len(m.file))); err != nil {
		t.Fatal(err)
	} else {
		size = int(n)
	}
	for n := 0; n < size; n += 10_000 {
		if _, err := stateio.Compact(&fullWriter{n}, bytes.NewReader(m.file), int64(len(m.file))); !errors.Is(err, errDisk) || errors.Is(err, stateio.ErrCorrupt) {
			t.Fatalf("dst full after %d bytes: %v", n, err)
		}
	}
	last := m.current()
	for _, o := range last {
		file := bytes.Clone(m.file)
		file[o.start+30] ^= 1
		_, err := stateio.Compact(io.Discard, bytes.NewReader(file), int64(len(file)))
		if o.end != int64(len(file)) && !isCorrupt(err) {
			t.Errorf("damage at offset %d: %v", o.start+30, err)
		}
	}
}
