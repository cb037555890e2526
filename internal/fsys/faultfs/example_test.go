package faultfs_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
)

// replace gives the file dir/name new content, so that after a crash at any
// point there is either the old one or the new one.
func replace(fsystem fsys.FS, dir, name, content string) error {
	tmp := filepath.Join(dir, name+".tmp")
	f, err := fsystem.Open(tmp, fsys.Create, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // the bytes first
		return err
	}
	if err := fsystem.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return fsystem.SyncDir(dir) // then the name
}

// The loop of a fault test: the nth operation fails, for n = 1, 2, ... until
// there is none left to fail.
func ExampleFS() {
	failed := 0
	for n := int64(1); ; n++ {
		m := memfs.New(memfs.Options{})
		if err := replace(m, "/", "state", "old"); err != nil {
			log.Fatal(err)
		}
		f := faultfs.New(m)
		fault := f.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: n, Err: syscall.EIO})
		err := replace(f, "/", "state", "new")
		if fault.Hits() == 0 {
			break
		}
		if err != nil {
			failed++
		}
	}
	fmt.Println("reported failures:", failed)
	// Output:
	// reported failures: 5
}

func ExampleFS_Transcript() {
	f := faultfs.New(memfs.New(memfs.Options{}))
	f.Transcript(os.Stdout)
	f.Inject(faultfs.Fault{Kinds: faultfs.OpRename, Stop: true})
	_ = replace(f, "/", "state", "new") // stops at the rename
	// Output:
	// 1 create /state.tmp -> ok
	// 2 write /state.tmp 0+3 -> ok
	// 3 sync /state.tmp -> ok
	// 4 rename /state.tmp -> /state -> rename /state.tmp: file system crashed
}
