package memfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"strings"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/memfs"
)

// A file that was created and synced is gone after some power cuts, until its
// directory is synced too.
func ExampleFS_Crash() {
	m := memfs.New(memfs.Options{})
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

func ExampleFS_CrashStates() {
	m := memfs.New(memfs.Options{PageSize: 512})
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
