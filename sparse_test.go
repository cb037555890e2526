package stateio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// sparseFile returns a file of holes with the model's last epochs written, where
// the disk can have it, so that they begin at offset at.
func sparseFile(t *testing.T, at, size int64) (f *os.File, state, update []byte, epoch int64) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("files are not known to have holes but on Linux")
	}
	f = holeFile(t, nil)
	if err := f.Truncate(size); err != nil {
		t.Skip("the file system can't have such a file: ", err)
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	w := stateio.NewWriter(f, at, 0)
	if err := w.Update([]byte("old")); err != nil {
		t.Fatal(err)
	}
	pos, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	state, update = bytesOf(1, 50_000), bytesOf(2, 100)
	if err := errors.Join(w.Snapshot(state), w.Update(update)); err != nil {
		t.Fatal(err)
	}
	return f, state, update, pos
}

// counted counts the bytes that are read, whatever file it is.
type counted struct {
	io.ReaderAt
	n int64
}

func (c *counted) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, off)
	c.n += int64(n)
	return n, err
}

// restores fails the test unless r restores to the state and one update.
func restores(t *testing.T, r io.ReaderAt, limit int64, state, update []byte, epoch int64) {
	t.Helper()
	got, e, updates, err := stateio.Restore(r, limit)
	if err != nil || e != uint64(epoch) || !bytes.Equal(got, state) {
		t.Fatalf("%d bytes of state in epoch %d, %v, want %d in %d", len(got), e, err, len(state), epoch)
	}
	if u, err := updates.Read(); err != nil || !bytes.Equal(u, update) {
		t.Fatalf("an update of %d bytes, %v", len(u), err)
	}
	if _, err := updates.Read(); err != io.EOF {
		t.Fatalf("got %v, want io.EOF", err)
	}
}

// Restore reads the last epoch and its neighbourhood, not the file.
func TestRestoreOfASparseFileReadsTheLastEpochOnly(t *testing.T) {
	const size = 100 << 30
	f, state, update, epoch := sparseFile(t, size-3*block, size-3*block)
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r := &counted{ReaderAt: f}
	restores(t, r, info.Size(), state, update, epoch)
	if r.n > 2<<20 {
		t.Errorf("read %d bytes to restore %d", r.n, len(state))
	}
}

// bytesRead returns how many bytes this process has read so far, of whatever; ok is false
// where that is not told.
func bytesRead(t *testing.T) (n int64, ok bool) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Log(err)
		return 0, false
	}
	_, rest, _ := strings.Cut(string(b), "rchar:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return n, true
}

// Holes after the last entry of an *os.File are not read either.
func TestAHoleBehindTheLastEntryIsNotRead(t *testing.T) {
	const size = 100 << 30
	f, state, update, epoch := sparseFile(t, 8*block, size)
	before, told := bytesRead(t)
	restores(t, f, size, state, update, epoch)
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Update([]byte("goes on")); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() > 20*block {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	if after, _ := bytesRead(t); told && after-before > 64<<20 {
		t.Errorf("read %d bytes", after-before)
	}
}

// Offsets past 2 and 4 GiB work, also where an int has 32 bits: G27. Run it as
//
//	GOARCH=386 go test -run 2GiB . ./logio
func TestFilesPast2GiB(t *testing.T) {
	for _, at := range []int64{1<<31 - block, 1 << 31, 1<<32 - 100, 1 << 32, 5<<30 + 40} {
		f, state, update, epoch := sparseFile(t, at-at%block, at)
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		restores(t, f, info.Size(), state, update, epoch)
		w, err := stateio.NewFileWriter(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Snapshot([]byte("new")); err != nil {
			t.Fatal(err)
		}
		if err := w.Update(bytesOf(3, 2*block)); err != nil {
			t.Fatal(err)
		}
		restores(t, f, 1<<40, []byte("new"), bytesOf(3, 2*block), info.Size())
		old, updates, err := stateio.RestoreEpoch(f, 1<<40, uint64(epoch))
		if err != nil || !bytes.Equal(old, state) {
			t.Fatalf("the epoch before: %d bytes, %v", len(old), err)
		}
		if u, err := updates.Read(); err != nil || !bytes.Equal(u, update) {
			t.Fatalf("the epoch before: %d bytes, %v", len(u), err)
		}
		truncated(t, f)
		var got bytes.Buffer
		want := (&model{}).snapshot([]byte("new")).update(bytesOf(3, 2*block))
		if _, err := stateio.Compact(&got, f, 1<<40); err != nil || !bytes.Equal(got.Bytes(), want.file) {
			t.Fatalf("compacted to %d bytes, %v", got.Len(), err)
		}
	}
}
