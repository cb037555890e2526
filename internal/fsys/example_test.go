package fsys_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/stateio/stateio/internal/fsys"
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

func ExampleOS() {
	dir, err := os.MkdirTemp("", "fsys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	var fsystem fsys.OS
	lock, err := fsystem.Lock(filepath.Join(dir, "LOCK"), 0o600)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Close()
	if err := replace(fsystem, dir, "state", "one"); err != nil {
		log.Fatal(err)
	}
	entries, err := fsystem.List(dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.Name)
	}
	// Output:
	// LOCK
	// state
}

// A file that was created and synced is gone after some power cuts, until its
// directory is synced too.
func ExampleMem_Crash() {
	m := fsys.NewMem(fsys.MemOptions{})
	f, err := m.Open("/a", fsys.Create, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		log.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	gone := func() (n int) {
		for range 1000 {
			if _, err := m.Crash(rng).Stat("/a"); errors.Is(err, fs.ErrNotExist) {
				n++
			}
		}
		return n
	}
	fmt.Println("before SyncDir, gone sometimes:", gone() > 0)
	if err := m.SyncDir("/"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("after SyncDir, gone sometimes:", gone() > 0)
	// Output:
	// before SyncDir, gone sometimes: true
	// after SyncDir, gone sometimes: false
}

func ExampleMem_CrashStates() {
	m := fsys.NewMem(fsys.MemOptions{PageSize: 512})
	f, err := m.Open("/a", fsys.Create, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(f.Preallocate(0, 1024), f.Sync(), m.SyncDir("/")); err != nil {
		log.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("x", 1024)), 0); err != nil {
		log.Fatal(err)
	}
	for state := range m.CrashStates() {
		f, err := state.Open("/a", fsys.ReadOnly, 0)
		if err != nil {
			log.Fatal(err)
		}
		page := make([]byte, 1024)
		if _, err := f.ReadAt(page, 0); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q %q\n", page[0], page[512])
	}
	// Output:
	// '\x00' '\x00'
	// '\x00' 'x'
	// 'x' '\x00'
	// 'x' 'x'
}

// The loop of a fault test: the nth operation fails, for n = 1, 2, ... until
// there is none left to fail.
func ExampleFaulty() {
	failed := 0
	for n := int64(1); ; n++ {
		m := fsys.NewMem(fsys.MemOptions{})
		if err := replace(m, "/", "state", "old"); err != nil {
			log.Fatal(err)
		}
		f := fsys.NewFaulty(m)
		fault := f.Inject(fsys.Fault{Kinds: fsys.Changes, N: n, Err: syscall.EIO})
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

func ExampleFaulty_Transcript() {
	f := fsys.NewFaulty(fsys.NewMem(fsys.MemOptions{}))
	f.Transcript(os.Stdout)
	f.Inject(fsys.Fault{Kinds: fsys.OpRename, Stop: true})
	_ = replace(f, "/", "state", "new") // stops at the rename
	// Output:
	// 1 create /state.tmp -> ok
	// 2 write /state.tmp 0+3 -> ok
	// 3 sync /state.tmp -> ok
	// 4 rename /state.tmp -> /state -> rename /state.tmp: file system crashed
}
