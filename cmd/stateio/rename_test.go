package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each way of giving a new file its name replaces nothing, and leaves no other name.
func TestANewNameReplacesNothing(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{
		"one call": renameExclusive, "link": renameByLink, "look": renameAfterLook, "what works": renameNew,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, taken, free := filepath.Join(dir, "from"), filepath.Join(dir, "taken"), filepath.Join(dir, "free")
			for _, path := range []string{from, taken} {
				if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := rename(from, taken)
			if name != "what works" && err != nil && !errors.Is(err, fs.ErrExist) {
				t.Skip(err)
			}
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("of a name that is taken: %v", err)
			}
			if err := rename(from, free); err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]string{taken: taken, free: from} {
				if got, err := os.ReadFile(path); string(got) != want {
					t.Errorf("%s holds %q, %v", path, got, err)
				}
			}
			if _, err := os.Lstat(from); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old name: %v", err)
			}
		})
	}
	err := renameNew(filepath.Join(t.TempDir(), "nothing"), filepath.Join(t.TempDir(), "new"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
}

// A file that somebody else makes while the output is written is not replaced, unless --force
// says so.
func TestAFileThatAppearsMeanwhileIsNotReplaced(t *testing.T) {
	for _, force := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "out")
		out, err := outputs{stderr: io.Discard, force: force}.open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.WriteString("ours"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		err = out.commit()
		out.discard()
		want := "theirs"
		if force {
			want = "ours"
		}
		if refused := err != nil && strings.Contains(err.Error(), "made it meanwhile"); refused == force {
			t.Errorf("with force %v: %v", force, err)
		}
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("with force %v there is %q, %v", force, got, err)
		}
		if names, err := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
			t.Errorf("with force %v there are %v, %v", force, names, err)
		}
	}
}
