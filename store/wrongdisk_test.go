package store_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A wrongDisk does something else with one of the writes to snapshots than it was
// told, and says that all is well.
type wrongDisk struct {
	fsys.FS
	n     int // the write that goes wrong, from 1
	write func(f fsys.File, p []byte, off int64) error
}

func (d *wrongDisk) Open(path string, mode fsys.Mode, perm fs.FileMode) (fsys.File, error) {
	f, err := d.FS.Open(path, mode, perm)
	return d.opened(path, f, err)
}

// opened returns what becomes of a file that was opened.
func (d *wrongDisk) opened(path string, f fsys.File, err error) (fsys.File, error) {
	if err != nil || !strings.Contains(path, ".snap") {
		return f, err
	}
	return &wrongFile{f, d}, nil
}

func (d *wrongDisk) Hold(dir string) (fsys.Held, error) {
	h, err := d.FS.Hold(dir)
	if err != nil {
		return nil, err
	}
	return &wrongHeld{h, d}, nil
}

// A wrongHeld is a directory of a wrongDisk.
type wrongHeld struct {
	fsys.Held
	disk *wrongDisk
}

func (h *wrongHeld) Open(path string, mode fsys.Mode, perm fs.FileMode) (fsys.File, error) {
	f, err := h.Held.Open(path, mode, perm)
	return h.disk.opened(path, f, err)
}

type wrongFile struct {
	fsys.File
	disk *wrongDisk
}

func (f *wrongFile) WriteAt(p []byte, off int64) (int, error) {
	if f.disk.n--; f.disk.n != 0 {
		return f.File.WriteAt(p, off)
	}
	return len(p), f.disk.write(f.File, p, off)
}

// Whatever a disk makes of a snapshot, the store has everything when it is opened
// again, for nothing is dropped before the snapshot was read back.
func TestADiskThatWritesSomethingElse(t *testing.T) {
	for what, write := range map[string]func(f fsys.File, p []byte, off int64) error{
		"nothing": func(fsys.File, []byte, int64) error { return nil },
		"a wrong bit": func(f fsys.File, p []byte, off int64) error {
			b := append([]byte(nil), p...)
			b[len(b)/2] ^= 4
			_, err := f.WriteAt(b, off)
			return err
		},
		"half of it": func(f fsys.File, p []byte, off int64) error {
			_, err := f.WriteAt(p[:len(p)/2], off)
			return err
		},
		"another place": func(f fsys.File, p []byte, off int64) error {
			_, err := f.WriteAt(p, off+512)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			for n := 1; ; n++ {
				disk := &wrongDisk{FS: memfs.New(memfs.Options{}), n: n, write: write}
				if err := snapshotOn(t, disk); err != nil {
					t.Errorf("write %d: %v", n, err)
				}
				if disk.n > 0 {
					break
				}
			}
		})
	}
}

// snapshotOn makes updates and snapshots on a disk, and judges what is there then.
func snapshotOn(t *testing.T, disk fsys.FS) error {
	const dir = "/wrong"
	defer storefs.Mount(dir, disk)()
	h, m := crashtest.NewHistory(), &crashtest.Machine{Size: 400_000}
	s := open(t, dir, m, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1})
	for i := range 8 {
		if _, err := s.Update(t.Context(), h.Next(100)); err != nil {
			return err
		}
		h.Acked(h.Len())
		if i%2 == 1 {
			_ = s.Snapshot(t.Context()) // whether it tells is not the question here
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	m = &crashtest.Machine{}
	s, err := store.Open(dir, m, quiet(nil))
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	defer s.Close()
	return h.Check(m)
}
