package fsys_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

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
