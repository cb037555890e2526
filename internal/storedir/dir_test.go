package storedir

import (
	"errors"
	"io/fs"
	"log/slog"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/latelog"
	"github.com/stateio/stateio/internal/storefile"
)

const (
	path  = "/store"
	most  = 1 << 20
	first = int64(storefile.HeaderSize)
)

func newDir(fsy fsys.FS) *Dir {
	d := New(fsy, path, 0o600, 0o700, latelog.New(slog.New(slog.DiscardHandler)))
	return &d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// acquired returns a directory that is ready for use, until the test ends.
func acquired(t *testing.T, fsy fsys.FS) *Dir {
	t.Helper()
	d := newDir(fsy)
	must(t, d.Acquire(false))
	t.Cleanup(d.Release)
	return d
}

// published makes the log after update base.
func published(t *testing.T, d *Dir, base uint64) *Log {
	t.Helper()
	log, short, err := d.PrepareLog(d.Log(base)+storefile.TmpSuffix, MinPiece, most)
	must(t, err)
	if short || log.End != first || log.Size() < MinPiece {
		t.Errorf("a new log ends at %d, of %d bytes; short of space: %v", log.End, log.Size(), short)
	}
	must(t, d.PublishLog(log, d.Log(base), base, 1))
	return log
}

// A directory has one owner at a time, and one that must exist is not made.
func TestADirectoryHasOneOwner(t *testing.T) {
	mem := memfs.New(memfs.Options{})
	if err := newDir(mem).Acquire(true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that must exist: %v", err)
	}
	d := newDir(mem)
	must(t, d.Acquire(false))
	if err := newDir(mem).Acquire(false); !errors.Is(err, ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	d.Release()
	acquired(t, mem)
}

// A log that was published is found, and goes on where its reader has found the end; no
// other owner has it meanwhile.
func TestALogGoesOn(t *testing.T) {
	mem := memfs.New(memfs.Options{})
	d := newDir(mem)
	must(t, d.Acquire(false))
	log := published(t, d, 7)
	b := storefile.AppendEntry(nil, log.End, log.Header.Salt, storefile.Tag{Index: 8, Timed: true, Time: 2}, []byte("update"))
	_, err := log.File.WriteAt(b, log.End)
	must(t, err)
	must(t, log.File.Datasync())
	must(t, log.File.Close())
	d.Release()

	d = acquired(t, mem)
	r, err := d.OpenLog(7, storefile.Size)
	must(t, err)
	defer r.Close()
	if u, err := r.Next(); string(u) != "update" || r.Index != 8 || err != nil {
		t.Fatalf("update %d is %q, %v", r.Index, u, err)
	}
	if _, err := r.Next(); !errors.Is(err, storefile.ErrStop) {
		t.Fatalf("after the last update: %v", err)
	}
	f, err := d.OpenTail(r.Path)
	must(t, err)
	defer f.Close()
	d.CloseFirst() // it is in use
	log = Continue(f, r, most)
	if end := first + int64(len(b)); log.End != end || log.Size() != end || log.Header != r.Header {
		t.Errorf("the log goes on at %d of %d bytes, want %d", log.End, log.Size(), end)
	}
	must(t, d.FitToSeal(log))
	must(t, log.AppendControl(storefile.Control{Kind: storefile.Seal, Count: 1, Digest: uint64(log.Digest)}, 8))
	sealed, err := d.OpenLog(7, storefile.Size)
	must(t, err)
	defer sealed.Close()
	for err == nil {
		_, err = sealed.Next()
	}
	if !sealed.Sealed || sealed.Index != 8 {
		t.Errorf("the log is sealed after update %d: %v, %v", sealed.Index, sealed.Sealed, err)
	}
}

// A log whose name could not be made durable is taken back; if that can't be told, the
// error says so.
func TestALogIsTakenBack(t *testing.T) {
	for name, fault := range map[string]struct {
		faultfs.Fault
		stays bool
	}{
		"the rename":           {faultfs.Fault{Kinds: faultfs.OpRename, Err: syscall.EIO}, false},
		"the sync of the name": {faultfs.Fault{Kinds: faultfs.OpSyncDir, Err: syscall.EIO}, false},
		"every sync of names":  {faultfs.Fault{Kinds: faultfs.OpSyncDir, Err: syscall.EIO, Forever: true}, true},
	} {
		faulty := faultfs.New(memfs.New(memfs.Options{}))
		d := acquired(t, faulty)
		log, _, err := d.PrepareLog(d.Log(0)+storefile.TmpSuffix, MinPiece, most)
		must(t, err)
		faulty.Inject(fault.Fault)
		err = d.PublishLog(log, d.Log(0), 0, 1)
		if !errors.Is(err, syscall.EIO) || errors.Is(err, ErrStays) != fault.stays {
			t.Errorf("%s: %v", name, err)
		}
		if l, err := d.List(); err != nil || !l.Empty() {
			t.Errorf("%s: the directory holds %+v, %v", name, l, err)
		}
	}
}
