package osfile

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
	look := func(path string, without bool) (uint32, uint32, uint64, error) {
		p := newStatPath(path)
		if without {
			p.c = nil
		}
		return p.stat()
	}
	major, minor, ino, err := look(path, false)
	if err != nil {
		t.Fatal(err)
	}
	major2, minor2, ino2, err := look(path, true)
	if err != nil || major != major2 || minor != minor2 || ino != ino2 || ino == 0 {
		t.Errorf("%d:%d %d, and %d:%d %d, %v", major, minor, ino, major2, minor2, ino2, err)
	}
	for _, without := range []bool{false, true} {
		if _, _, _, err := look(path+"/none", without); err == nil {
			t.Error("a path through a file can be looked at")
		}
		if _, _, _, err := look(path+".none", without); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a path to nothing: %v", err)
		}
	}
	if _, _, _, err := look("with\x00nul", false); err == nil {
		t.Error("a path with a NUL can be looked at")
	}
}
