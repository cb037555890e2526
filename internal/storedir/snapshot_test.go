package storedir

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefile"
)

var errEnded = errors.New("the store is closed")

// newSnapTest returns a writer of a snapshot, the file system that it writes to,
// and what ends its store.
func newSnapTest(t *testing.T) (w *snapWriter, fs *faultfs.FS, end context.CancelFunc) {
	t.Helper()
	fs = faultfs.New(memfs.New(memfs.Options{}))
	f, err := fs.Open("/snap", fsys.Create, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	m := &SnapshotMaker{Dir: new(Dir), Ctx: ctx, Commits: func() uint64 { return 0 }, Progress: new(Progress)}
	return m.newWriter(f, 7, 0), fs, func() { cancel(errEnded) }
}

// writePieces writes state to w in pieces of random sizes.
func writePieces(t *testing.T, w io.Writer, state []byte, rng *rand.Rand) {
	t.Helper()
	for len(state) > 0 {
		n := min(len(state), 1+rng.IntN(1<<(1+rng.IntN(18))))
		if k, err := w.Write(state[:n]); k != n || err != nil {
			t.Fatalf("writing %d bytes: %d, %v", n, k, err)
		}
		state = state[n:]
	}
}

// However the state comes, each block of a snapshot is one record, up to the last
// chunk; the header stands before the first.
func TestEachChunkOfASnapshotFillsItsBlock(t *testing.T) {
	const (
		head  = 92 // bytes of the header's record
		frame = 21 // bytes of a chunk's entry before the state
		first = record.BlockSize - head - record.HeaderSize - frame
		each  = record.BlockSize - record.HeaderSize - frame
	)
	for seed, size := range []int{0, 1, first - 1, first, first + 1, first + each, first + 40*each - 1, first + 40*each + 1} {
		w, fs, _ := newSnapTest(t)
		state := make([]byte, size)
		for i := range state {
			state[i] = byte(i * 7)
		}
		writePieces(t, w, state, rand.New(rand.NewPCG(uint64(seed), 1)))
		if err := w.finish(); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Open("/snap", fsys.ReadOnly, 0)
		if err != nil {
			t.Fatal(err)
		}
		file := make([]byte, w.Off)
		if _, err := f.ReadAt(file, 0); err != nil {
			t.Fatal(err)
		}
		var k record.Block
		full := max(size-first, 0) / each // blocks after the first that a chunk fills
		for i := range full {
			b := file[(1+i)*record.BlockSize:][:record.BlockSize]
			if k.Parse(b); len(k.Records) != 1 || k.Records[0].Size() != record.BlockSize {
				t.Errorf("a state of %d bytes: block %d holds %+v", size, 1+i, k.Records)
			}
		}
		if size >= first {
			if k.Parse(file[:record.BlockSize]); len(k.Records) != 2 || k.Records[1].Pos != head || k.Records[1].Size() != record.BlockSize-head {
				t.Errorf("a state of %d bytes: the first block holds %+v", size, k.Records)
			}
		}
		readsBack(t, f, w.Off, state)
	}
}

// readsBack makes sure that the snapshot of size bytes in f is that of state.
func readsBack(t *testing.T, f fsys.File, size int64, state []byte) {
	t.Helper()
	r, err := storefile.NewSnapReader(f, "/snap", 7, size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got bytes.Buffer
	if _, err := r.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), state) {
		t.Errorf("a state of %d bytes is read back as %d bytes, which are others, or %v", len(state), got.Len(), err)
	}
}

// A piece that fills a chunk does not overtake what came before it.
func TestTheStateIsWrittenInOrder(t *testing.T) {
	w, fs, _ := newSnapTest(t)
	state := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, p := range [][]byte{state[:1], state[1:]} {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open("/snap", fsys.ReadOnly, 0)
	if err != nil {
		t.Fatal(err)
	}
	readsBack(t, f, w.Off, state)
}

// A snapshot is written in pieces, for which little memory is needed, and synced
// often enough for no commit to have a lot of it before it at the disk; and not
// more often.
func TestASnapshotIsWrittenInPieces(t *testing.T) {
	w, fs, _ := newSnapTest(t)
	var dirty, syncs int64
	fs.OnOp(func(op faultfs.Op) {
		switch op.Kind {
		case faultfs.OpWrite:
			if op.Len != storefile.SnapBuffer {
				t.Errorf("%d bytes are written at once, want %d", op.Len, storefile.SnapBuffer)
			}
			if dirty += op.Len; dirty > paceBytes {
				t.Errorf("%d bytes are written and not synced", dirty)
			}
		case faultfs.OpDatasync:
			if dirty < paceBytes {
				t.Errorf("it is synced when %d bytes are written", dirty)
			}
			dirty, syncs = 0, syncs+1
		}
	})
	writePieces(t, w, make([]byte, 10<<20), rand.New(rand.NewPCG(1, 2)))
	if syncs < 9 {
		t.Errorf("10 MiB were synced %d times", syncs)
	}
	fs.OnOp(nil)
	if err := w.finish(); err != nil {
		t.Error(err)
	}
}

// The first error ends a snapshot, whatever comes then: who writes the state is
// told, and nothing more is written.
func TestTheFirstErrorEndsASnapshot(t *testing.T) {
	state := make([]byte, 2*paceBytes)
	for name, tt := range map[string]struct {
		fault  faultfs.Fault
		closed bool
		want   error
	}{
		"write":               {faultfs.Fault{Kinds: faultfs.OpWrite, N: 3, Err: syscall.EIO}, false, syscall.EIO},
		"write before a sync": {faultfs.Fault{Kinds: faultfs.OpWrite, N: paceBytes / storefile.SnapBuffer, Err: syscall.EIO}, false, syscall.EIO},
		"sync":                {faultfs.Fault{Kinds: faultfs.OpDatasync, Err: syscall.EIO}, false, syscall.EIO},
		"close":               {faultfs.Fault{}, true, errEnded},
	} {
		w, fs, end := newSnapTest(t)
		if tt.closed {
			end()
		} else {
			fs.Inject(tt.fault)
		}
		if n, err := w.Write(state); !errors.Is(err, tt.want) || n == len(state) {
			t.Errorf("%s: Write = %d, %v; want less than all, and %v", name, n, err, tt.want)
		}
		before := fs.Ops()
		if n, err := w.Write(state[:1]); n != 0 || !errors.Is(err, tt.want) {
			t.Errorf("%s: Write then = %d, %v", name, n, err)
		}
		if err := w.finish(); !errors.Is(err, tt.want) {
			t.Errorf("%s: finish = %v, want %v", name, err, tt.want)
		}
		if n := fs.Ops() - before; n > 0 {
			t.Errorf("%s: %d operations came after the error", name, n)
		}
	}
}

// A snapshot that the process was stopped in for hours, or whose disk hung, goes on soon after
// that, beside commits: it pauses in proportion to its work, and not for long.
func TestASnapshotGoesOnAfterAStop(t *testing.T) {
	const stop = 5 * time.Hour
	for name, tt := range map[string]struct {
		pace func(w *snapWriter) io.Writer // that is stopped in
		in   faultfs.Kind                  // this operation, or before a Write
	}{
		"written":   {func(w *snapWriter) io.Writer { return w }, faultfs.OpDatasync},
		"read back": {func(w *snapWriter) io.Writer { return w.m.newPacer() }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, fs, _ := newSnapTest(t)
			commits := uint64(0)
			w.m.Commits = func() uint64 { commits++; return commits } // some came meanwhile
			out, start := tt.pace(w), time.Now()
			hang := sync.OnceFunc(func() { time.Sleep(stop) })
			if tt.in == 0 {
				hang()
			}
			fs.OnOp(func(op faultfs.Op) {
				if op.Kind == tt.in {
					hang()
				}
			})
			for range 2 * paceBytes / storefile.SnapBuffer {
				if _, err := out.Write(make([]byte, storefile.SnapBuffer)); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start) - stop; took < 0 || took > time.Minute {
				t.Errorf("%s: it went on %v after it was stopped for %v", name, took, stop)
			}
		})
	}
}
