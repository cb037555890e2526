package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/store"
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

// Of much damage in a state file the first places are named and all are counted, and a torn
// tail after it is no damage.
func TestMuchDamageIsCountedAndATornTailIsNone(t *testing.T) {
	const damaged = maxNamed + 200
	path := filepath.Join(t.TempDir(), "app.state")
	input := strings.Repeat("damaged\nsound\n", damaged) + "torn"
	runStateio(t, 0, strings.NewReader(input), "append", "--batch", "10000", path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(bytes.TrimRight(b, "\x00"), []byte("damaged"), []byte("DAMAGED"))
	if err := os.WriteFile(path, cut(b, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := runStateio(t, exitDamage, nil, "verify", "--json", path)
	var v verdict
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if v.Damaged != damaged || len(v.Damage) != maxNamed || v.Torn <= 0 {
		t.Errorf("%d of %d damaged places are named, and a torn tail of %d bytes; there are %d", len(v.Damage), v.Damaged, v.Torn, damaged)
	}
}

// The same of a store, over all of its files.
func TestMuchDamageInAStoreIsCounted(t *testing.T) {
	v := verdict{}
	for range 3 {
		v.add(store.FileReport{Damage: slices.Repeat([]*store.CorruptError{{Err: errors.New("damaged")}}, maxNamed/2+1), Torn: 1})
	}
	if v.Damaged != 3*(maxNamed/2+1) || len(v.Damage) != maxNamed || v.Torn != 3 {
		t.Errorf("%d of %d damaged places are named, and torn tails of %d bytes", len(v.Damage), v.Damaged, v.Torn)
	}
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
