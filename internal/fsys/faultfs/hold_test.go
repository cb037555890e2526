package faultfs

import (
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
)

func TestHeldDirectoriesConform(t *testing.T) {
	for name, fresh := range map[string]func(t *testing.T) (fsys.FS, string){
		"OS":       func(t *testing.T) (fsys.FS, string) { return fsys.OS{}, t.TempDir() },
		"memfs.FS": func(t *testing.T) (fsys.FS, string) { return newMem(t), "/d" },
		"FS":       func(t *testing.T) (fsys.FS, string) { return New(newMem(t)), "/d" },
	} {
		t.Run(name, func(t *testing.T) {
			fsystest.Conformance(t, func(t *testing.T) (fsys.FS, string) {
				below, dir := fresh(t)
				return fsystest.Hold(t, below, dir), dir
			})
		})
	}
}

// What is done in a directory that is held is done there, though it was moved and
// another has its name; and when it is held no longer, paths are paths again.
func TestAHeldDirectoryIsTheOneThatWasOpened(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows holds no directories")
	}
	for name, below := range map[string]fsys.FS{"OS": fsys.OS{}, "memfs.FS": newMem(t)} {
		t.Run(name, func(t *testing.T) {
			top := "/d"
			if name == "OS" {
				top = t.TempDir()
			}
			dir, moved := filepath.Join(top, "dir"), filepath.Join(top, "moved")
			fsystest.Mkdir(t, below, dir)
			fsystest.Create(t, below, filepath.Join(dir, "a"), "mine")
			h := fsystest.Hold(t, below, dir)
			wantMoved(t, h, false)
			if err := below.Rename(dir, moved); err != nil {
				t.Fatal(err)
			}
			wantMoved(t, h, true)
			fsystest.Mkdir(t, below, dir)
			wantMoved(t, h, true)
			fsystest.Create(t, below, filepath.Join(dir, "a"), "another's")
			fsystest.Create(t, h, filepath.Join(dir, "b"), "")
			fsystest.WantContent(t, h, filepath.Join(dir, "a"), "mine")
			if err := h.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "c")); err != nil {
				t.Error(err)
			}
			if err := h.Remove(filepath.Join(dir, "a")); err != nil {
				t.Error(err)
			}
			if err := h.SyncDir(dir); err != nil {
				t.Error(err)
			}
			fsystest.WantList(t, h, dir, "c")
			fsystest.WantList(t, below, moved, "c")
			fsystest.WantList(t, below, dir, "a")
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			fsystest.WantList(t, h, dir, "a")
			fsystest.WantContent(t, h, filepath.Join(dir, "a"), "another's")
		})
	}
}

func wantMoved(t *testing.T, h fsys.Held, want bool) {
	t.Helper()
	if moved, err := h.Moved(); err != nil || moved != want {
		t.Errorf("moved: %v, %v; want %v", moved, err, want)
	}
}

func TestWhatIsNoDirectoryIsNotHeld(t *testing.T) {
	onBoth(t, func(t *testing.T, f *FS, dir string) {
		fsystest.Create(t, f, filepath.Join(dir, "a"), "")
		if _, err := f.Hold(filepath.Join(dir, "a")); err == nil {
			t.Error("a file is held as a directory")
		}
		_, err := f.Hold(filepath.Join(dir, "no"))
		fsystest.WantErr(t, err, fs.ErrNotExist, "no")
	})
}
