package fsys

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

func TestHeldDirectoriesConform(t *testing.T) {
	for name, fresh := range map[string]func(t *testing.T) (FS, string){
		"OS":     func(t *testing.T) (FS, string) { return OS{}, t.TempDir() },
		"Mem":    func(t *testing.T) (FS, string) { return newTestMem(t, MemOptions{}), "/d" },
		"Faulty": func(t *testing.T) (FS, string) { return NewFaulty(newTestMem(t, MemOptions{})), "/d" },
	} {
		t.Run(name, func(t *testing.T) {
			conformance(t, func(t *testing.T) (FS, string) {
				below, dir := fresh(t)
				return hold(t, below, dir), dir
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
	for name, below := range map[string]FS{"OS": OS{}, "Mem": newTestMem(t, MemOptions{})} {
		t.Run(name, func(t *testing.T) {
			top := "/d"
			if name == "OS" {
				top = t.TempDir()
			}
			dir, moved := filepath.Join(top, "dir"), filepath.Join(top, "moved")
			mkdir(t, below, dir)
			create(t, below, filepath.Join(dir, "a"), "mine")
			h := hold(t, below, dir)
			wantMoved(t, h, false)
			if err := below.Rename(dir, moved); err != nil {
				t.Fatal(err)
			}
			wantMoved(t, h, true)
			mkdir(t, below, dir)
			wantMoved(t, h, true)
			create(t, below, filepath.Join(dir, "a"), "another's")
			create(t, h, filepath.Join(dir, "b"), "")
			wantContent(t, h, filepath.Join(dir, "a"), "mine")
			if err := h.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "c")); err != nil {
				t.Error(err)
			}
			if err := h.Remove(filepath.Join(dir, "a")); err != nil {
				t.Error(err)
			}
			if err := h.SyncDir(dir); err != nil {
				t.Error(err)
			}
			wantList(t, h, dir, "c")
			wantList(t, below, moved, "c")
			wantList(t, below, dir, "a")
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			wantList(t, h, dir, "a")
			wantContent(t, h, filepath.Join(dir, "a"), "another's")
		})
	}
}

func wantMoved(t *testing.T, h Held, want bool) {
	t.Helper()
	if moved, err := h.Moved(); err != nil || moved != want {
		t.Errorf("moved: %v, %v; want %v", moved, err, want)
	}
}

func TestWhatIsNoDirectoryIsNotHeld(t *testing.T) {
	onBoth(t, func(t *testing.T, f *Faulty, dir string) {
		create(t, f, filepath.Join(dir, "a"), "")
		if _, err := f.Hold(filepath.Join(dir, "a")); err == nil {
			t.Error("a file is held as a directory")
		}
		_, err := f.Hold(filepath.Join(dir, "no"))
		wantErr(t, err, fs.ErrNotExist, "no")
	})
}

// Two names of a file are one file, before and after a crash, and space is in use
// once.
func TestLinksAreOneFile(t *testing.T) {
	m := newTestMem(t, MemOptions{})
	f := durable(t, m, "/d/a", pages("a"))
	if err := m.Link("/d/a", "/d/b"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, m.Link("/d/a", "/d/b"), fs.ErrExist, "/d/b")
	dirsync(t, m, "/d")
	writeAt(t, f, 0, pages("b"))
	fsync(t, f)
	for _, m := range append(slices.Collect(m.CrashStates()), m.Kill()) {
		a, b := open(t, m, "/d/a", ReadWrite), open(t, m, "/d/b", ReadOnly)
		info, err := a.Stat()
		if other, oerr := b.Stat(); err != nil || oerr != nil || info != other || info.Links != 2 {
			t.Errorf("%+v, %+v; want the same with 2 links", info, other)
		}
		wantContent(t, m, "/d/b", pages("b"))
		if used := m.Used(); used != testPage {
			t.Errorf("%d bytes in use", used)
		}
		if err := m.Remove("/d/a"); err != nil {
			t.Error(err)
		}
		if info, err := a.Stat(); err != nil || info.Links != 1 {
			t.Errorf("%+v, %v; want 1 link", info, err)
		}
	}
}

// A link that no sync made durable is one that a crash may take away.
func TestALinkIsDurableAfterSyncDir(t *testing.T) {
	m := newTestMem(t, MemOptions{})
	durable(t, m, "/d/a", pages("a"))
	if err := m.Link("/d/a", "/d/b"); err != nil {
		t.Fatal(err)
	}
	found := map[int64]bool{}
	for state := range m.CrashStates() {
		info, err := state.Stat("/d/a")
		if err != nil {
			t.Fatal(err)
		}
		found[info.Links] = true
	}
	if !found[1] || !found[2] {
		t.Errorf("links after crashes: %v", found)
	}
}

func TestLinksOfTheKernelAreCounted(t *testing.T) {
	a := filepath.Join(t.TempDir(), "a")
	f := create(t, OS{}, a, "")
	if err := os.Link(a, a+"2"); err != nil {
		t.Skip(err)
	}
	if info, err := f.Stat(); err != nil || info.Links != 2 {
		t.Errorf("%+v, %v; want 2 links", info, err)
	}
}
