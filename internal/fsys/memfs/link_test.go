package memfs

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
)

// Two names of a file are one file, before and after a crash, and space is in use
// once.
func TestLinksAreOneFile(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("a"))
	if err := m.Link("/d/a", "/d/b"); err != nil {
		t.Fatal(err)
	}
	fsystest.WantErr(t, m.Link("/d/a", "/d/b"), fs.ErrExist, "/d/b")
	dirsync(t, m, "/d")
	fsystest.WriteAt(t, f, 0, pages("b"))
	fsync(t, f)
	for _, m := range append(slices.Collect(m.CrashStates()), m.Kill()) {
		a, b := fsystest.Open(t, m, "/d/a", fsys.ReadWrite), fsystest.Open(t, m, "/d/b", fsys.ReadOnly)
		info, err := a.Stat()
		if other, oerr := b.Stat(); err != nil || oerr != nil || info != other || info.Links != 2 {
			t.Errorf("%+v, %+v; want the same with 2 links", info, other)
		}
		fsystest.WantContent(t, m, "/d/b", pages("b"))
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
	m := newTestMem(t, Options{})
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
