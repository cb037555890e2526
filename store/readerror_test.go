package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A log that is longer than what is read at once has no seal yet. Whichever read of
// it fails, Open fails with that error, or has everything, and so has the next one.
func TestAReadErrorInALongLogLosesNothing(t *testing.T) {
	const dir = "/longlog"
	mem := memfs.New(memfs.Options{})
	unmount := storefs.Mount(dir, mem)
	h, m := crashtest.NewHistory(), &crashtest.Machine{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1, PreallocateBytes: 1})
	for range 120 {
		if _, err := s.Update(t.Context(), h.Next(10_000)); err != nil {
			t.Fatal(err)
		}
		h.Acked(h.Len())
	}
	killed := mem.Kill()
	s.Close()
	unmount()
	for n := int64(1); ; n++ {
		left := killed.Kill()
		fs := faultfs.New(left)
		fault := fs.Inject(faultfs.Fault{Kinds: faultfs.OpRead, N: n, Err: syscall.EIO})
		unmount := storefs.Mount(dir, fs)
		m := &crashtest.Machine{}
		s, err := store.Open(dir, m, quiet(&store.Options{PreallocateBytes: 1}))
		if err == nil {
			err = errors.Join(h.Check(m), s.Close())
		} else if errors.Is(err, syscall.EIO) {
			err = nil
		}
		unmount()
		if err == nil {
			err = recovers(dir, left, h)
		}
		if err != nil {
			t.Errorf("with read %d failed: %v", n, err)
		}
		if fault.Hits() == 0 {
			return
		}
	}
}

// A snapshot is verified before the machine gets it. If the disk reads differently
// by then, the machine may hold a part of it, to which no update may be applied.
func TestASnapshotThatIsDamagedAfterItWasVerified(t *testing.T) {
	t.Run("machine that returns the error", func(t *testing.T) { damagedWhenRestored(t, (*plainMachine).Restore) })
	t.Run("machine that reads, and does not", func(t *testing.T) { damagedWhenRestored(t, passesOver) })
	t.Run("machine that copies, and does not", func(t *testing.T) {
		damagedWhenRestored(t, func(m *plainMachine, r io.Reader) error {
			var b bytes.Buffer
			_, _ = io.Copy(&b, r)
			m.b = b.Bytes()
			return nil
		})
	})
}

// passesOver restores what can be read.
func passesOver(m *plainMachine, r io.Reader) error {
	m.b, _ = io.ReadAll(r)
	return nil
}

func damagedWhenRestored(t *testing.T, restore func(*plainMachine, io.Reader) error) {
	const dir = "/fickle"
	mem, _ := memory(t, "/made")
	s := open(t, "/made", &plainMachine{}, nil)
	update(t, s, strings.Repeat("a", 100_000)) // several chunks
	check(t, s.Snapshot(t.Context()))
	update(t, s, "b")
	s.Close()
	fl := readFiles(t, mem, "/made")
	want := strings.Repeat("a", 100_000) + "b"
	refused := 0
	for n := 1; ; n++ {
		mem := fl.mem(t, dir)
		f := faultfs.New(mem)
		reads := 0
		f.OnOp(func(op faultfs.Op) {
			if op.Kind != faultfs.OpRead || filepath.Base(op.Path) != snap1 {
				return
			}
			if reads++; reads == n {
				check(t, overwrite(mem, op.Path, int64(len(fl[snap1])-sealLen-1), []byte("x"), -1))
			}
		})
		unmount := storefs.Mount(dir, f)
		m := &restoring{}
		m.restore = func(r io.Reader) error { return restore(&m.plainMachine, r) }
		s, err := store.Open(dir, m, quiet(nil))
		unmount()
		if err != nil {
			refused++
			wantIs(t, err, store.ErrCorrupt)
		} else {
			s.Close()
			if string(m.b) != want {
				t.Errorf("damaged before read %d: a state of %d bytes, want %d", n, len(m.b), len(want))
			}
		}
		if reads < n {
			break
		}
	}
	if refused == 0 {
		t.Error("no damage came after the snapshot was verified")
	}
}

// A context that ends while a machine reads a snapshot has that cut short, whatever the machine
// says.
func TestAContextThatEndsInARestoreIsNotPassedOver(t *testing.T) {
	const dir = "/cutshort"
	memory(t, dir)
	s := open(t, dir, &plainMachine{}, nil)
	update(t, s, strings.Repeat("a", 100_000)) // several chunks
	check(t, errors.Join(s.Snapshot(t.Context()), s.Close()))
	ctx, cancel := context.WithCancel(t.Context())
	m := &restoring{restore: func(r io.Reader) error {
		_, err := io.ReadFull(r, make([]byte, 1000))
		cancel()
		return errors.Join(err, passesOver(new(plainMachine), r))
	}}
	wantIs(t, store.RestoreAt(ctx, dir, m, 1, nil), context.Canceled)
}
