// Package movetest tests the programs here.
package movetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/examples/migrating/internal/move"
)

// Run moves what is at from to a directory, which it returns, and that back to another
// place, which it returns too. Each must have n things. What is there already is refused,
// and left alone.
func Run(t *testing.T, from string, n string, there, back move.Move) (dir, returned string) {
	t.Helper()
	top := t.TempDir()
	dir, returned = filepath.Join(top, "new", "data"), filepath.Join(top, "returned")
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-from", from, "-to", dir},
		{"-back", "-from", dir, "-to", returned},
	} {
		var out strings.Builder
		do := func() error {
			return move.Run(t.Context(), append([]string{"migrating"}, args...), &out, &out, there, back)
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(out.String(), "moved "+n+" to ") {
			t.Errorf("it says %q", &out)
		}
		if err := do(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("the second time: %v", err)
		}
	}
	if err := Refused(t, filepath.Join(top, "nothing"), there); !strings.Contains(err.Error(), "nothing") {
		t.Errorf("of what is not there, it says %v", err)
	}
	return dir, returned
}

// Refused moves what can't be moved, and returns the error. Nothing may be left of it.
func Refused(t *testing.T, from string, there move.Move) error {
	t.Helper()
	to := filepath.Join(t.TempDir(), "to")
	_, err := there(t.Context(), from, to)
	if err == nil {
		t.Fatalf("%s was moved", from)
	}
	if names, rerr := os.ReadDir(filepath.Dir(to)); rerr != nil || len(names) > 0 {
		t.Errorf("this was left: %v, %v", names, rerr)
	}
	return err
}
