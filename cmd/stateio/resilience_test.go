package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stateio/stateio"
)

// What is appended to a file that was taken away is not acknowledged, and what took
// its place is not touched.
func TestAppendToAFileThatIsTakenAwayAcknowledgesNothing(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"removed":  os.Remove,
		"replaced": func(path string) error { return replaceFile(path, "other") },
		"emptied":  func(path string) error { return os.Truncate(path, 0) },
		"cut":      func(path string) error { return os.Truncate(path, 20) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.state")
			a, err := newAppender(path, opening{create: true, warn: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = a.close() })
			if err := add(a, "one"); err != nil {
				t.Fatal(err)
			}
			if err := take(path); err != nil {
				t.Skip(err) // on Windows
			}
			before, _ := os.ReadFile(path)
			err = add(a, "two")
			if err == nil || !strings.Contains(err.Error(), "The first 1 update of this run are durable") {
				t.Fatal(err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Errorf("%q was changed to %q", before, after)
			}
		})
	}
}

// add appends an update, durably.
func add(a *appender, update string) error {
	if err := a.add([]byte(update)); err != nil {
		return err
	}
	return a.commit()
}

// replaceFile puts another file in the place of the one at path.
func replaceFile(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// A temporary file that a kill has left is removed by the next run and named; one
// that is in use, or is none of ours, stays.
func TestTemporaryFilesThatNobodyUsesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.state")
	stale := filepath.Join(dir, ".app.state.123"+tempSuffix)
	others := []string{
		".app.state.swp", ".app.state.123.tmp", ".app.state.x1" + tempSuffix, "app.state.1" + tempSuffix,
		".other.123" + tempSuffix, ".app.state." + tempSuffix,
	}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	used, err := newTemp(path, false, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer used.discard()
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var warned strings.Builder
	next, err := newTemp(path, false, &warned)
	if err != nil {
		t.Fatal(err)
	}
	defer next.discard()
	if _, err := os.Lstat(stale); !os.IsNotExist(err) || warned.String() != "stateio: removed "+stale+", which a run that was killed had left\n" {
		t.Errorf("%v; %s", err, warned.String())
	}
	for _, name := range append(others, filepath.Base(used.file.Name()), filepath.Base(next.file.Name())) {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// Some file systems take only names in UTF-8.
func TestALongNameIsCutBetweenRunes(t *testing.T) {
	for _, name := range []string{"app.state", "\xff", strings.Repeat("x", 255), strings.Repeat("д", 127), "x" + strings.Repeat("д", 127), strings.Repeat("字", 85)} {
		got := tempPrefix(filepath.Join("dir", name))
		if utf8.ValidString(got) != utf8.ValidString(name) || len(got) > maxBase+2 {
			t.Errorf("%q: the name of its temporary file begins with %q", name, got)
		}
		if part := strings.TrimSuffix(got, "."); !strings.HasPrefix("."+name, part) || len(part) <= min(len(name), maxBase-utf8.UTFMax) {
			t.Errorf("%q: %q is not its beginning", name, got)
		}
	}
}

// An entry is in the file as package stateio would have written it, also where it is
// so long that append writes it in pieces.
func TestLongEntriesAreAppendedAsShortOnesAre(t *testing.T) {
	long := strings.Repeat("012345678", 1_000_000)
	var want bytes.Buffer
	w := stateio.NewWriter(&want, 0, 0)
	path := filepath.Join(t.TempDir(), "app.state")
	a, err := newAppender(path, opening{create: true, warn: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"one", long, long[1:], "=" + long, "two", "=short", long, "three"} {
		wanted, got := w.Update, a.add
		if payload[0] == '=' {
			wanted, got = w.Snapshot, a.snapshot
		}
		if err := errors.Join(wanted([]byte(payload)), got([]byte(payload))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.commit(), a.close()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("%d bytes, not the %d that they should be, %v", len(got), want.Len(), err)
	}
}

// What is read takes little more than twice its length.
func TestAllOfTheInputIsReadInTwiceItsMemory(t *testing.T) {
	text := strings.Repeat("0123456789", 2<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := readAll(strings.NewReader(text))
	runtime.ReadMemStats(&after)
	if err != nil || string(got) != text {
		t.Fatal("something else was read", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(text))*22/10 {
		t.Errorf("%d bytes were allocated for %d", n, len(text))
	}
}
