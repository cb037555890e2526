package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// picky is a journal that refuses one update.
type picky struct {
	journal
	update string
}

func (p *picky) Apply(u []byte) (any, error) {
	if string(u) == p.update {
		return nil, errRefused
	}
	return p.journal.Apply(u)
}

// A machine that refuses what it took before is told apart from damage, and
// where: nothing on disk is wrong.
func TestAMachineThatRefusesItsOwnPastIsReported(t *testing.T) {
	const dir = "/past"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	update(t, s, "two")
	s.Close()
	before := readFiles(t, mem, dir)
	_, err := store.Open(dir, &picky{update: "two"}, quiet(nil))
	wantIs(t, err, errRefused)
	if errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "update 2, at offset 139 of "+filepath.Join(dir, log0)) {
		t.Errorf("got %v", err)
	}
	for name, b := range readFiles(t, mem, dir) {
		if !bytes.Equal(b, before[name]) {
			t.Errorf("%s has changed", name)
		}
	}
	wantUpdates(t, dir, "one", "two")
}

// unrestorable is a journal that can't be restored.
type unrestorable struct {
	journal
	err error
}

func (u *unrestorable) Restore(io.Reader) error { return u.err }

// An error of Restore is the one of Open, whatever it is, and nothing else is tried:
// the machine may hold a part of the snapshot.
func TestAMachineThatCannotBeRestoredIsReported(t *testing.T) {
	const dir = "/unrestorable"
	for _, want := range []error{errRefused, &store.CorruptError{Path: "/elsewhere", Err: errRefused}} {
		mount(t, dir, checkedStore(t).mem(t, dir))
		m := &unrestorable{err: want}
		_, err := store.Open(dir, m, quiet(nil))
		wantIs(t, err, want)
		if !strings.Contains(err.Error(), filepath.Join(dir, snap3)) || len(m.updates) > 0 {
			t.Errorf("got %v, after %d updates", err, len(m.updates))
		}
	}
	// One that refuses its past is no consequence of a snapshot that is damaged.
	fl := checkedStore(t)
	fl[snap1], fl[snap3] = fl[snap1][:20], fl[snap3][:20]
	fl[log0] = slices.Concat(fl[log0][:headerLen], numbered(fl[log0][:headerLen], 1, false, 0, []byte("refuse")))
	mount(t, dir, fl.mem(t, dir))
	_, err := store.Open(dir, &journal{}, quiet(nil))
	wantIs(t, err, errRefused)
	if errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// A restoring machine restores in its own way.
type restoring struct {
	plainMachine
	restore func(r io.Reader) error
}

func (m *restoring) Restore(r io.Reader) error { return m.restore(r) }

// A shortWriter takes only so many bytes.
type shortWriter struct {
	bytes.Buffer
	left int
}

func (w *shortWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errRefused
	}
	return n, nil
}

// Restore may read the snapshot in any way, and need not read up to its end.
func TestRestoreReadsTheSnapshotInAnyWay(t *testing.T) {
	const dir = "/anyway"
	memory(t, dir)
	s := open(t, dir, &plainMachine{}, nil)
	want := strings.Repeat("0123456789", 10_000)
	update(t, s, want)
	check(t, s.Snapshot(t.Context()))
	s.Close()
	for what, restore := range map[string]func(r io.Reader) error{
		"not at all": func(io.Reader) error { return nil },
		"by Read":    func(r io.Reader) error { return iotest.TestReader(r, []byte(want)) },
		"by WriteTo": func(r io.Reader) error {
			var b bytes.Buffer
			n, err := r.(io.WriterTo).WriteTo(&b)
			if n != int64(len(want)) || b.String() != want {
				t.Errorf("WriteTo has written %d bytes, and says %d", b.Len(), n)
			}
			return err
		},
		"by WriteTo up to an error, and Read": func(r io.Reader) error {
			w := shortWriter{left: 40_000}
			if n, err := r.(io.WriterTo).WriteTo(&w); n != 40_000 || err != errRefused {
				t.Errorf("WriteTo a writer that fails: %d, %v", n, err)
			}
			rest, err := io.ReadAll(r)
			if w.String()+string(rest) != want {
				t.Errorf("read %d and %d bytes of %d", w.Len(), len(rest), len(want))
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
			return err
		},
	} {
		s, err := store.Open(dir, &restoring{restore: restore}, quiet(nil))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		s.Close()
	}
}

// What may not be durable is read from the disk and synced: the newest log, and
// those before it as long as none is in use. RestoreAt leaves the cache alone.
func TestOpenDropsTheCacheOfWhatMayNotBeDurable(t *testing.T) {
	const dir = "/cache"
	closed := checkedStore(t)
	reopened, _ := build(t, "/reopened", 9, 20, reopen, 30, reopen, 40)
	used, _ := build(t, "/used", 9, 20, snapshot, 30, killed)
	for _, tt := range []struct {
		fl   files
		want []string
	}{
		{closed, []string{log3, log4}},
		{reopened, []string{"00000000000000000002.log", log3}},
		{used, []string{log1}},
		{files{log0: used[log0][:headerLen+entryLen+20]}, []string{log0}},
	} {
		f := faultfs.New(tt.fl.mem(t, dir))
		unmount := storefs.Mount(dir, f)
		var dropped, synced []string
		f.OnOp(func(op faultfs.Op) {
			switch name := filepath.Base(op.Path); {
			case op.Kind == faultfs.OpDropCache:
				dropped = append(dropped, name)
			case op.Kind == faultfs.OpSync && !slices.Contains(synced, name):
				synced = append(synced, name)
			}
		})
		s, err := store.Open(dir, &plainMachine{}, quiet(nil))
		check(t, err)
		slices.Sort(synced)
		if !slices.Equal(dropped, tt.want) || !slices.Equal(synced, tt.want) {
			t.Errorf("%q: the cache of %q was dropped, and %q was synced, want %q", tt.fl.names(), dropped, synced, tt.want)
		}
		s.Close()
		dropped = nil
		check(t, store.RestoreAt(t.Context(), dir, &plainMachine{}, 1, nil))
		if len(dropped) > 0 {
			t.Errorf("RestoreAt has dropped the cache of %q", dropped)
		}
		unmount()
	}
	for err, want := range map[error]error{syscall.EIO: syscall.EIO, errors.ErrUnsupported: nil} {
		f := faultfs.New(used.mem(t, dir))
		f.Inject(faultfs.Fault{Kinds: faultfs.OpDropCache, Err: err})
		mount(t, dir, f)
		s, err := store.Open(dir, &plainMachine{}, quiet(nil))
		wantIs(t, err, want)
		if s != nil {
			s.Close()
		}
	}
}

func TestOpenBeginsWithTheNewestSnapshot(t *testing.T) {
	const dir = "/newest"
	mount(t, dir, checkedStore(t).mem(t, dir))
	r := open(t, dir, &plainMachine{}, nil).Recovery()
	if r.SnapshotIndex != 3 || r.Updates != 1 || r.Logs != 2 {
		t.Errorf("recovery: %v", r)
	}
}

// What is read of logs that are sealed counts up to the end of their seals.
func TestRecoveryCountsTheBytesOfSealedLogs(t *testing.T) {
	const dir = "/sealedbytes"
	fl, _ := build(t, "/made", 9, 20, reopen, 30, 40)
	mount(t, dir, fl.mem(t, dir))
	want := int64(0)
	for _, b := range fl {
		want += int64(len(b))
	}
	if r := open(t, dir, &plainMachine{}, nil).Recovery(); r.Bytes != want || r.Logs != 3 {
		t.Errorf("%d bytes of %d logs, want %d of 3", r.Bytes, r.Logs, want)
	}
}

// Recovery tells what was read and where, and what was cut off.
func TestRecoveryTellsWhatOpenFound(t *testing.T) {
	const dir = "/found"
	fl, _ := build(t, dir, 9, 20, snapshot, 30, 40, killed)
	used := headerLen + 2*entryLen + 30 + 40
	torn := replace(fl[log1], used-1, []byte{fl[log1][used-1] ^ 1})
	for _, tt := range []struct {
		log     []byte
		updates uint64
		torn    int64
		text    string
	}{
		{fl[log1], 2, 0, fmt.Sprintf("recovered index 3 from %s, replayed 2 updates of 1 log, read 0.0 MB in ", snap1)},
		{torn, 1, entryLen + 40, fmt.Sprintf("recovered index 2 from %s, replayed 1 update of 1 log, cut %d torn bytes off %s at offset %d (no valid record), read 0.0 MB in ",
			snap1, entryLen+40, log1, headerLen+entryLen+30)},
		{replace(fl[log1], used, []byte{7}), 2, 1, fmt.Sprintf("recovered index 3 from %s, replayed 2 updates of 1 log, cut 1 torn byte off %s at offset %d", snap1, log1, used)},
	} {
		now := files{log0: fl[log0], snap1: fl[snap1], log1: tt.log}
		unmount := storefs.Mount(dir, now.mem(t, dir))
		s := open(t, dir, &plainMachine{}, nil)
		r, st := s.Recovery(), s.Stats()
		s.Close()
		unmount()
		end := int64(headerLen) // of what is good
		for _, size := range []int64{30, 40}[:tt.updates] {
			end += entryLen + size
		}
		want := store.Recovery{
			Index: 1 + tt.updates, Snapshot: filepath.Join(dir, snap1), SnapshotIndex: 1, Logs: 1, Updates: tt.updates,
			Bytes: int64(len(fl[snap1])) + end, ClockAhead: r.ClockAhead, Took: r.Took,
		}
		if tt.torn > 0 {
			want.TornBytes, want.TornPath, want.TornOffset, want.TornReason = tt.torn, filepath.Join(dir, log1), end, "no valid record"
		}
		if fmt.Sprint(r) != fmt.Sprint(want) || fmt.Sprintf("%#v", r) != fmt.Sprintf("%#v", want) {
			t.Errorf("got\n%#v, want\n%#v", r, want)
		}
		if st.SnapshotIndex != 1 || st.SnapshotBytes != int64(len(fl[snap1])) || st.SinceSnapshot != end {
			t.Errorf("a snapshot of index %d and %d bytes, and %d bytes since", st.SnapshotIndex, st.SnapshotBytes, st.SinceSnapshot)
		}
		if !strings.HasPrefix(r.String(), tt.text) {
			t.Errorf("got %q, want %q", r, tt.text)
		}
	}
	r := store.Recovery{Index: 3, Logs: 2, Updates: 3, Bytes: 3_000_000, Took: time.Second / 2}
	if want := "recovered index 3, replayed 3 updates of 2 logs, read 3.0 MB in 500ms (6 MB/s)"; r.String() != want {
		t.Errorf("got %q, want %q", r, want)
	}
	if (store.Recovery{Bytes: 5}).Rate() != 0 || (store.Recovery{Bytes: 500, Took: 5e8}).Rate() != 1000 {
		t.Error("the rate is wrong")
	}
}
