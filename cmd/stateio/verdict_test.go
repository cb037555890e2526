package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A deafWriter takes nothing.
type deafWriter struct{ err error }

func (d deafWriter) Write([]byte) (int, error) { return 0, d.err }

// damagedPaths makes a state file and a store, with damage in what is first in them, and a
// whole copy of the store.
func damagedPaths(t *testing.T) (file, dir, whole string) {
	t.Helper()
	dir, whole = t.TempDir(), t.TempDir()
	file = filepath.Join(t.TempDir(), "app.state")
	for _, path := range []string{file, dir, whole} {
		runStateio(t, 0, strings.NewReader(numbered(0, 20)), "append", path)
		runStateio(t, 0, strings.NewReader("state"), "snapshot", path)
		runStateio(t, 0, strings.NewReader(numbered(20, 40)), "append", path)
	}
	for _, path := range []string{file, filepath.Join(dir, "00000000000000000000.log")} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, flip(b, 12), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file, dir, whole
}

// Damage that was found is the exit status, whether somebody reads what is printed, has gone,
// or there is no space left for it.
func TestDamageIsTheStatusOfWhatCanNotBePrinted(t *testing.T) {
	file, dir, whole := damagedPaths(t)
	for _, args := range [][]string{
		{"verify", file},
		{"verify", dir},
		{"verify", whole, file},
		{"stat", file},
		{"stat", dir},
		{"epochs", file},
		{"files", dir},
		{"log", file},
		{"log", dir},
		{"diff", dir, whole},
	} {
		for _, args := range [][]string{args, append([]string{args[0], "--json"}, args[1:]...)} {
			var errs strings.Builder
			if status := run(t.Context(), args, nil, io.Discard, &errs); status != exitDamage {
				t.Errorf("%q: exit status %d: %s", args, status, errs.String())
			}
			errs.Reset()
			status := run(t.Context(), args, nil, deafWriter{closedError{syscall.EPIPE}}, &errs)
			if status != exitDamage || strings.Contains(errs.String(), syscall.EPIPE.Error()) {
				t.Errorf("%q, with nobody to read it: exit status %d: %s", args, status, errs.String())
			}
			if args[0] == "stat" && args[1] != "--json" {
				continue // it ends before it has read anything
			}
			errs.Reset()
			full := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
			status = run(t.Context(), args, nil, deafWriter{full}, &errs)
			if status != exitDamage {
				t.Errorf("%q, with no space for it: exit status %d: %s", args, status, errs.String())
			}
		}
	}
	// That nobody reads it is success if nothing is wrong, and else what is wrong.
	runStateio(t, 0, strings.NewReader("one"), "append", file+"2")
	for _, args := range [][]string{{"verify", file + "2"}, {"stat", whole}, {"epochs", file + "2"}, {"files", whole}} {
		if status := run(t.Context(), args, nil, deafWriter{closedError{errors.New("closed")}}, io.Discard); status != exitOK {
			t.Errorf("%q of what is sound, with nobody to read it: exit status %d", args, status)
		}
	}
}
