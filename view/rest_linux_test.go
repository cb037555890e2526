package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio"
)

// bytesRead returns how many bytes this process has read from files.
func bytesRead(t *testing.T) (n int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err == nil {
		_, err = fmt.Sscanf(string(b), "rchar: %d", &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A page that is open does not have the state of a state file read again and again, be it that
// nothing happens or that updates follow.
func TestTheStateOfAStateFileIsReadOnce(t *testing.T) {
	const size = 8 << 20
	path := filepath.Join(t.TempDir(), "app.state")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := stateio.NewFileWriter(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Snapshot(make([]byte, size)), w.Update([]byte("first"))); err != nil {
		t.Fatal(err)
	}
	h := fresh(path, nil)
	for updates := uint64(1); updates < 4; updates++ {
		before := bytesRead(t)
		for range 2 {
			if s := noticed(t, h); s.Verdict.Level != "ok" || s.Updates != updates {
				t.Fatalf("%d updates, and not %d: %+v", s.Updates, updates, s.Verdict)
			}
			ask[rows](t, h, fmt.Sprintf("/api/entries?file=app.state&one=1&offset=%d", size+size/100))
		}
		if n := bytesRead(t) - before; updates == 1 && n < size || updates > 1 && n > size {
			t.Errorf("with %d updates %d bytes were read", updates, n)
		}
		if err := w.Update([]byte("next")); err != nil {
			t.Fatal(err)
		}
	}
	// One that ends with a state is read as a whole to find its end, but not while it rests.
	if err := w.Snapshot(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if s := noticed(t, h); s.Files[0].States != 2 {
		t.Fatalf("%d states, and not 2", s.Files[0].States)
	}
	before := bytesRead(t)
	for range 3 {
		noticed(t, h)
	}
	if n := bytesRead(t) - before; n > size {
		t.Errorf("while nothing happens, %d bytes were read", n)
	}
}
