//go:build unix

package stateio_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio"
)

// limitFiles keeps this process from making files longer than size, until the test ends or
// the function that it returns is called.
func limitFiles(t *testing.T, size int) (lift func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Skip(err)
	}
	limit := old
	set(&limit.Cur, size)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Skip(err)
	}
	lift = func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(lift)
	return lift
}

// set sets a number whose type depends on the system.
func set[T int64 | uint64](to *T, n int) { *to = T(n) }

// What a write that failed has left is cut off, and the error says that nothing was kept:
// wherever the disk is full, in one write or many.
func TestAFullDiskKeepsNothingOfWhatFailed(t *testing.T) {
	long := bytes.Repeat([]byte("012345678"), 1_000_000)
	for name, batch := range map[string][][]byte{
		"an update":      {bytesOf(2, 100_000)},
		"a batch":        {bytesOf(2, 100_000), bytesOf(3, 10), bytesOf(4, 100_000)},
		"a long update":  {long},
		"a long batch":   {bytesOf(5, 900_000), bytesOf(6, 900_000), bytesOf(7, 900_000)},
		"long and short": {bytesOf(8, 10), long, bytesOf(9, 10)},
	} {
		for _, left := range []int{0, 1, 50_000} {
			m := &model{}
			f := tempFile(t, nil)
			w := reopen(t, f, m)
			must(t, w, m, []byte("acknowledged"))
			lift := limitFiles(t, len(m.file)+left)
			err := w.Updates(batch...)
			lift()
			var failed *stateio.AppendError
			if !errors.Is(err, unix.EFBIG) || !errors.As(err, &failed) {
				t.Fatalf("%s, %d bytes left: %v", name, left, err)
			}
			if failed.Unknown || failed.Path != f.Name() || failed.Offset != int64(len(m.file)) || !strings.Contains(err.Error(), "nothing of it was kept") {
				t.Errorf("%s, %d bytes left: %+v", name, left, failed)
			}
			if again := w.Update(nil); again != err {
				t.Errorf("the call after that: %v", again)
			}
			if !bytes.Equal(content(t, f), m.file) {
				t.Errorf("%s, %d bytes left: the file has other bytes than those of what was acknowledged", name, left)
			}
			must(t, reopen(t, f, m), m, []byte("after"))
		}
	}
}

// Bytes that somebody else appends while a write fails are not cut off with it.
func TestAWriteThatFailedCutsOffNothingElse(t *testing.T) {
	m := &model{}
	f := namedFile(t)
	w := reopen(t, f, m)
	must(t, w, m, []byte("acknowledged"))
	foreign := openAgain(t, f.Name())
	if _, err := foreign.WriteAt([]byte("x"), int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
	limitFiles(t, len(m.file)+100)
	err := w.Update(bytesOf(1, 1000))
	var failed *stateio.AppendError
	if !errors.Is(err, stateio.ErrTaken) || !errors.As(err, &failed) || !failed.Unknown {
		t.Errorf("got %v", err)
	}
	if got := content(t, f); !bytes.Equal(got, append(bytes.Clone(m.file), 'x')) {
		t.Errorf("the file has %d bytes, want %d and one more", len(got), len(m.file))
	}
}
