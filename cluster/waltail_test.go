package cluster

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

// openTestLog opens the log in dir on these files.
func openTestLog(t *testing.T, dir string, files types.VFS) (*logStore, error) {
	t.Helper()
	return newLogStore(func() (*wal.WAL, error) {
		return openWAL(dir, walParts{files, syncDir, &metadb.BoltMetaDB{}}, 64<<10, hclog.NewNullLogger())
	}, quiet(t), nil)
}

// writeTestLog makes a log of 20 entries in a new directory, and returns its file.
func writeTestLog(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	s, err := openTestLog(t, dir, walfs.New())
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(20) {
		if err := s.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: []byte("acknowledged")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(found) != 1 {
		t.Fatalf("files of the log: %q, %v", found, err)
	}
	return dir, found[0]
}

// What is damaged before entries that are whole was durable, whatever part of it the damage
// hits: it is no torn write, and nothing is wiped out.
func TestDamageBeforeWholeEntriesIsNoTornWrite(t *testing.T) {
	for name, at := range map[string]int{"type": 32, "length": 38, "index": 40, "data": 52} {
		t.Run(name, func(t *testing.T) {
			dir, file := writeTestLog(t)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[at] ^= 0x10
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := openTestLog(t, dir, walfs.New())
			if err == nil {
				err = errors.Join(s.check(), s.Close())
			}
			if !errors.Is(err, types.ErrCorrupt) {
				t.Errorf("opened with %v, want types.ErrCorrupt", err)
			}
			if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, b) {
				t.Errorf("the file was changed; %v", err)
			}
		})
	}
}

// A file of a later raft-wal is left alone.
func TestALogOfALaterFormatIsLeftAlone(t *testing.T) {
	dir, file := writeTestLog(t)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[walFormatEnd-1], b[walFileHeader] = 1, 9 // and a kind of frame that this one does not know
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openTestLog(t, dir, walfs.New()); err == nil || errors.Is(err, types.ErrCorrupt) {
		t.Errorf("opened with %v, want an error that does not call it damage", err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the file was changed; %v", err)
	}
}

// A failOnce is raft-wal's file system, whose next file can't be opened.
type failOnce struct {
	types.VFS
	fail atomic.Bool
}

func (v *failOnce) OpenWriter(dir, name string) (types.WritableFile, error) {
	if v.fail.CompareAndSwap(true, false) {
		return nil, os.ErrPermission
	}
	return v.VFS.OpenWriter(dir, name)
}

// raft-wal's database is locked while it is open. After an error of opening the log, the
// next try finds it free.
func TestALogThatDidNotOpenCanBeOpened(t *testing.T) {
	dir, _ := writeTestLog(t)
	files := &failOnce{VFS: walfs.New()}
	files.fail.Store(true)
	if _, err := openTestLog(t, dir, files); !errors.Is(err, os.ErrPermission) {
		t.Fatalf("opened with %v, want the error of the disk", err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := openTestLog(t, dir, files)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the next try waits for the one that failed")
	}
}

// A write that hangs is noticed, also one that began while another was under way.
func TestTheOldestWriteTellsHowLongTheDiskIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &logStore{}
		first, second := make(chan error), make(chan error)
		go func() { _ = s.timed(0, func() error { return <-first }) }()
		synctest.Wait()
		go func() { _ = s.timed(0, func() error { return <-second }) }()
		synctest.Wait()
		time.Sleep(time.Second) // of the bubble's clock
		first <- nil
		synctest.Wait()
		if got := s.stuck(); got != time.Second {
			t.Errorf("stuck for %v, want 1s", got)
		}
		second <- nil
		synctest.Wait()
		if got := s.stuck(); got != 0 {
			t.Errorf("stuck for %v, though nothing is written", got)
		}
	})
}
