package stateio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// compactTo compacts the file of a model to a new one, and has tamper called when all is
// written, before it is read back.
func compactTo(t *testing.T, m *model, tamper func(dst *os.File)) (dst *os.File, n int64, err error) {
	t.Helper()
	src, dst := tempFile(t, m.file), tempFile(t, nil)
	n, err = stateio.CompactFile(t.Context(), dst, src, &stateio.CompactOptions{Progress: func(done, total int64) {
		if 2*done == total && tamper != nil {
			tamper(dst)
			tamper = nil
		}
	}})
	return dst, n, err
}

// CompactFile writes what Compact does, and leaves the positions of both files alone.
func TestCompactFileWritesWhatCompactDoes(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789"), 900_000)
	for name, m := range map[string]*model{
		"empty":                  {},
		"updates":                (&model{}).update(nil).update(bytesOf(1, 70_000)).update(bytesOf(2, 10)),
		"a snapshot":             (&model{}).update(bytesOf(1, 10)).snapshot(bytesOf(2, 1_000_000)),
		"an empty snapshot":      (&model{}).update(bytesOf(1, 10)).snapshot(nil).update(nil),
		"ten epochs":             longModel(),
		"a long snapshot":        (&model{}).update(nil).snapshot(long).update(bytesOf(1, 10)),
		"long updates":           (&model{}).update(nil).snapshot(bytesOf(1, 10)).update(long).update(long).update(nil),
		"a long update, at last": (&model{}).update(nil).update(long),
	} {
		src := append(bytes.Clone(m.file), make([]byte, 100)...)
		var want bytes.Buffer
		if _, err := stateio.Compact(&want, bytes.NewReader(src), int64(len(src))); err != nil {
			t.Fatal(err)
		}
		from, to := tempFile(t, src), tempFile(t, nil)
		if _, err := from.Seek(7, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		n, err := stateio.CompactFile(t.Context(), to, from, nil)
		if err != nil || n != int64(want.Len()) || !bytes.Equal(content(t, to), want.Bytes()) {
			t.Errorf("%s: %d bytes, %v, want %d", name, n, err, want.Len())
		}
		at, err := from.Seek(0, io.SeekCurrent)
		at2, err2 := to.Seek(0, io.SeekCurrent)
		if at != 7 || at2 != 0 || err != nil || err2 != nil {
			t.Errorf("%s: the files are at %d and %d, %v, %v", name, at, at2, err, err2)
		}
		if !bytes.Equal(content(t, from), src) {
			t.Errorf("%s: the source was changed", name)
		}
	}
}

// entries is a model of a snapshot for each payload that begins with "=", and an update for
// each other one.
func entries(payloads ...string) *model {
	m := &model{}
	for _, p := range payloads {
		m.entry(p[0] == '=', []byte(p))
	}
	return m
}

// What is read back is compared with what it was made from, to the last byte.
func TestCompactFileComparesWhatItWrote(t *testing.T) {
	long := strings.Repeat("0123456789", 850_000) // compared in pieces
	state := strings.Repeat("0123456789", 20_000)
	for _, c := range []struct {
		src   []string
		wrong map[string]*model // what could be there instead
	}{
		{[]string{"old", "=state", "one", "two"}, map[string]*model{
			"another state":       entries("=stale", "one", "two"),
			"another update":      entries("=state", "one", "too"),
			"one update less":     entries("=state", "one"),
			"one update more":     entries("=state", "one", "two", "three"),
			"split otherwise":     entries("=state", "onet", "wo"),
			"no state":            entries("one", "two"),
			"updates only":        entries("u", "=state", "one", "two"),
			"more than one epoch": entries("=old", "=state", "one", "two"),
			"nothing":             {},
			"zeros":               {file: make([]byte, len(entries("=state", "one", "two").file))},
		}},
		{[]string{"=" + state, "last"}, map[string]*model{
			"another last byte of the state": entries("="+state[1:]+"x", "last"),
			"a byte less of the state":       entries("="+state[1:], "last"),
			"a byte moved":                   entries("="+state+"l", "ast"),
			"an update, no snapshot":         entries("u"+state, "last"),
		}},
		{[]string{"=state", "u" + long, "last"}, map[string]*model{
			"another last byte":   entries("=state", "u"+long[1:]+"x", "last"),
			"another first byte":  entries("=state", "v"+long, "last"),
			"a byte less":         entries("=state", long, "last"),
			"a long one missing":  entries("=state", "last"),
			"a short one missing": entries("=state", "u"+long),
			"short for long":      entries("=state", "u", "last"),
		}},
	} {
		right := entries(c.src...)
		if _, _, err := compactTo(t, right, func(*os.File) {}); err != nil {
			t.Fatal(err)
		}
		for name, m := range c.wrong {
			_, _, err := compactTo(t, right, func(dst *os.File) { fill(t, dst, m.file) })
			if err == nil || errors.Is(err, stateio.ErrCorrupt) || !strings.HasPrefix(err.Error(), "stateio: comparing ") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// Of the same length, and so for what reads it to tell.
	m := entries("=state", "one", "two", strings.Repeat("u", 3*block))
	for at := 0; at < len(m.file); at += 1 + len(m.file)/(3*count(100)) {
		_, _, err := compactTo(t, m, func(dst *os.File) {
			if _, err := dst.WriteAt([]byte{m.file[at] ^ 1}, int64(at)); err != nil {
				t.Error(err)
			}
		})
		if err == nil || errors.Is(err, stateio.ErrCorrupt) {
			t.Errorf("byte %d wrong: %v", at, err)
		}
	}
	for _, extra := range []int64{-1, 1, 100_000} {
		_, _, err := compactTo(t, m, func(dst *os.File) {
			if err := dst.Truncate(int64(len(m.file)) + extra); err != nil {
				t.Error(err)
			}
		})
		if err == nil {
			t.Errorf("%d bytes more are not noticed", extra)
		}
	}
}

// A snapshot passes through in pieces, and is compared in pieces.
func TestCompactFileNeedsLittleMemory(t *testing.T) {
	m := (&model{}).update(nil).snapshot(make([]byte, 32<<20))
	src, dst := tempFile(t, m.file), tempFile(t, nil)
	inUse := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before, most := inUse(), int64(0)
	_, err := stateio.CompactFile(t.Context(), dst, src, &stateio.CompactOptions{Progress: func(int64, int64) {
		most = max(most, inUse())
	}})
	if err != nil || most == 0 || most-before > 12<<20 {
		t.Errorf("compacting a state of 32 MiB took %d KiB of memory, %v", (most-before)>>10, err)
	}
	runtime.KeepAlive(m) // it is in use all the time
}

// The progress goes from front to back of what is written, and of what is compared.
func TestCompactFileTellsHowFarItIs(t *testing.T) {
	m := longModel()
	m.snapshot(bytesOf(1, 4<<20))
	for i := range 100 {
		m.update(bytesOf(uint64(i), 40_000))
	}
	src, dst := tempFile(t, m.file), tempFile(t, nil)
	var told, total int64
	calls := 0
	n, err := stateio.CompactFile(t.Context(), dst, src, &stateio.CompactOptions{Progress: func(done, of int64) {
		if done < told || done > of || of < 15<<20 {
			t.Errorf("%d bytes of %d after %d", done, of, told)
		}
		told, total = done, of
		calls++
	}})
	if err != nil || told != 2*n || total != 2*n || calls < int(2*n/(2<<20)) {
		t.Errorf("%d of %d are told, in %d calls; %d bytes, %v", told, total, calls, n, err)
	}
}

// It ends with its context, while it writes and while it compares.
func TestCompactFileEndsWithItsContext(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 4<<20))
	for i := range 100 {
		m.update(bytesOf(uint64(i), 40_000))
	}
	for _, part := range []float64{0, 0.2, 0.7} {
		src, dst := tempFile(t, m.file), tempFile(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		if part == 0 {
			cancel()
		}
		written := false
		_, err := stateio.CompactFile(ctx, dst, src, &stateio.CompactOptions{Progress: func(done, total int64) {
			if float64(done) > part*float64(total) {
				cancel()
			}
			written = written || 2*done == total
		}})
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "stateio: ") || written != (part > 0.5) {
			t.Errorf("interrupted at %v, all was written: %v, %v", part, written, err)
		}
		cancel()
	}
}

func TestCompactFileRefusesWhatItCannotDo(t *testing.T) {
	m := longModel()
	last := m.current()
	damaged := bytes.Clone(m.file)
	damaged[last[0].start+30] ^= 1
	src, dst := tempFile(t, m.file), tempFile(t, nil)
	closed := tempFile(t, nil)
	closed.Close()
	r, w := newPipe(t)
	readOnly, err := os.Open(dst.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { readOnly.Close() })
	for name, c := range map[string]struct {
		dst, src *os.File
		corrupt  bool
	}{
		"damage":         {dst, tempFile(t, damaged), true},
		"not empty":      {tempFile(t, []byte("x")), src, false},
		"the same":       {src, src, false},
		"dst closed":     {closed, src, false},
		"src closed":     {dst, closed, false},
		"dst a pipe":     {w, src, false},
		"src a pipe":     {dst, r, false},
		"dst not opened": {readOnly, src, false},
	} {
		n, err := stateio.CompactFile(t.Context(), c.dst, c.src, nil)
		if n != 0 || err == nil || isCorrupt(err) != c.corrupt || !strings.HasPrefix(err.Error(), "stateio: ") {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if !bytes.Equal(content(t, src), m.file) {
		t.Error("the source was changed")
	}
}

// What is begun later than CompactFile is not in dst, and of what is being written then there are
// whole entries.
func TestCompactFileTakesWhatWasThereWhenItBegan(t *testing.T) {
	state := bytesOf(2, 300_000)
	m := (&model{}).update(bytesOf(1, 10)).snapshot(state).update(bytesOf(3, 10))
	batch := (&model{ops: m.ops, file: bytes.Clone(m.file)}).update(bytesOf(4, 100)).update(bytesOf(5, 100))
	for size := len(m.file); size <= len(batch.file); size += 20 {
		src, dst := tempFile(t, batch.file[:size]), tempFile(t, nil)
		later := false
		n, err := stateio.CompactFile(t.Context(), dst, src, &stateio.CompactOptions{Progress: func(int64, int64) {
			if !later {
				later = true
				if _, err := src.WriteAt(batch.file[size:], int64(size)); err != nil {
					t.Error(err)
				}
			}
		}})
		want := (&model{}).snapshot(state)
		for _, o := range batch.ops[2:batch.whole(int64(size))] {
			want.update(o.data)
		}
		if err != nil || !later || !bytes.Equal(content(t, dst), want.file) {
			t.Errorf("with %d bytes of a batch: %d bytes, %v, want %d", size-len(m.file), n, err, len(want.file))
		}
	}
}

// A file that can only be appended to is not compacted to.
func TestCompactFileRefusesToAppend(t *testing.T) {
	src := tempFile(t, (&model{}).update(nil).file)
	dst, err := os.OpenFile(tempFile(t, nil).Name(), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dst.Close() })
	if _, err := stateio.CompactFile(t.Context(), dst, src, nil); err == nil || !strings.Contains(err.Error(), "O_APPEND") {
		t.Errorf("got %v", err)
	}
}
