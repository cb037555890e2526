package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

// Copy and Repair make nothing within a store, their source or another, by whatever names, nor
// what has the name of a store's file.
func TestAStoreIsMadeInNoOtherStore(t *testing.T) {
	dir := t.TempDir()
	src, other, link, another := filepath.Join(dir, "src"), filepath.Join(dir, "other"), filepath.Join(dir, "link"), filepath.Join(dir, "another")
	s, o := open(t, src, &journal{}, nil), open(t, other, &journal{}, nil)
	update(t, s, "a")
	update(t, o, "a")
	check(t, s.Close())
	check(t, o.Close())
	if os.Symlink(src, link) != nil || os.Symlink(other, another) != nil {
		t.Skip("no symbolic links can be made here")
	}
	names := func(dir string) (all []string) {
		entries, err := os.ReadDir(dir)
		check(t, err)
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	had := map[string]int{src: len(names(src)), other: len(names(other))}
	for _, dst := range []string{
		filepath.Join(src, "copy"), filepath.Join(src, "new", "copy"),
		filepath.Join(link, "copy"), filepath.Join(link, "new", "copy"), src + "/../link/new/deep/copy",
		filepath.Join(other, "copy"), filepath.Join(another, "copy"), filepath.Join(other, "copy") + "/",
		filepath.Join(dir, "00000000000000000099.log"), filepath.Join(dir, "00000000000000000000.snap"), filepath.Join(dir, "LOCK"),
	} {
		beside := len(names(dir))
		if _, err := store.Copy(t.Context(), src, dst, nil); err == nil {
			t.Errorf("a store was copied into %s", dst)
		}
		if _, err := store.Repair(t.Context(), src, dst, nil); err == nil {
			t.Errorf("a store was repaired into %s", dst)
		}
		for _, d := range []string{src, other} {
			if has := names(d); len(has) != had[d] {
				t.Errorf("after %s, %s has %q", dst, d, has)
			}
		}
		if after := len(names(dir)); after != beside {
			t.Errorf("%s was made", dst)
		}
	}
	o = open(t, other, &journal{}, nil)
	update(t, o, "b")
	check(t, o.Snapshot(t.Context()))
	check(t, o.Close())
}

// What Copy and Repair make has the permissions of the store, so that it can take its place.
func TestWhatIsMadeOfAStoreHasItsPermissions(t *testing.T) {
	const src, copied, repaired = "/modesrc", "/modecopy", "/moderepair"
	mems := map[string]*memfs.FS{}
	for _, dir := range []string{src, copied, repaired} {
		mems[dir] = memfs.New(memfs.Options{})
		mount(t, dir, mems[dir])
	}
	s := open(t, src, &journal{}, &store.Options{DirMode: 0o750, FileMode: 0o640})
	update(t, s, "a")
	check(t, errors.Join(s.Snapshot(t.Context()), s.Close()))
	_, err := store.Copy(t.Context(), src, copied, nil)
	check(t, err)
	_, err = store.Repair(t.Context(), src, repaired, nil)
	check(t, err)
	for _, dir := range []string{copied, repaired} {
		info, err := mems[dir].Stat(dir)
		check(t, err)
		if info.Mode.Perm() != 0o750 {
			t.Errorf("%s is %v", dir, info.Mode)
		}
		list, err := mems[dir].List(dir)
		check(t, err)
		for _, e := range list {
			info, err := mems[dir].Stat(filepath.Join(dir, e.Name))
			check(t, err)
			if info.Mode.Perm() != 0o640 {
				t.Errorf("%s in %s is %v", e.Name, dir, info.Mode)
			}
		}
	}
}
