package fsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Where statx is refused, as by an old sandbox, another call tells the same.
func TestAPathIsLookedAtWithoutStatx(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look := func(path string, without bool) (FileID, error) {
		p := newPathID(path)
		if without {
			p.c = nil
		}
		return p.look()
	}
	id, err := look(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if id2, err := look(path, true); err != nil || id != id2 || id.Ino == 0 {
		t.Errorf("%+v, and %+v, %v", id, id2, err)
	}
	for _, without := range []bool{false, true} {
		if _, err := look(path+"/none", without); err == nil {
			t.Error("a path through a file can be looked at")
		}
		if _, err := look(path+".none", without); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a path to nothing: %v", err)
		}
	}
	if _, err := look("with\x00nul", false); err == nil {
		t.Error("a path with a NUL can be looked at")
	}
}
