package store_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Of two that make a store in one directory at once, at whatever moment the second comes, one
// makes it. The other says that somebody else has, and not to remove it.
func TestOfTwoMakingsAtOnceOneLeavesTheOther(t *testing.T) {
	const src, dst = "/twosrc", "/twodst"
	whole := checkedStore(t)
	for name, make := range map[string]func() error{
		"copy": func() error {
			_, err := store.Copy(t.Context(), src, dst, nil)
			return err
		},
		"repair": func() error {
			_, err := store.Repair(t.Context(), src, dst, nil)
			return err
		},
	} {
		beside := 0
		for n := int64(1); ; n++ {
			source, target := faultfs.New(whole.mem(t, src)), faultfs.New(memfs.New(memfs.Options{}))
			unmount, unmountToo := storefs.Mount(src, source), storefs.Mount(dst, target)
			ops, came := int64(0), false
			var second error
			come := func(faultfs.Op) {
				if ops++; ops == n {
					came = true
					second = make()
				}
			}
			source.OnOp(come)
			target.OnOp(come)
			first := make()
			if !came {
				check(t, first)
				unmountToo()
				unmount()
				break
			}
			if (first == nil) == (second == nil) {
				t.Errorf("%s, operation %d: %v; and %v", name, n, first, second)
			}
			if err := errors.Join(first, second); !errors.Is(err, fs.ErrExist) && !errors.Is(err, store.ErrLocked) || advisesToRemove(err) {
				t.Errorf("%s, operation %d: the loser says %v", name, n, err)
			}
			m := &plainMachine{}
			if _, err := store.Load(t.Context(), dst, m); err != nil {
				t.Errorf("%s, operation %d: the winner's store: %v", name, n, err)
			}
			if first != nil {
				beside++
			}
			unmountToo()
			unmount()
		}
		if beside == 0 {
			t.Errorf("the second %s never was the one", name)
		}
	}
}

// advisesToRemove reports whether err tells the user to remove something, without a doubt.
func advisesToRemove(err error) bool {
	said := strings.ReplaceAll(err.Error(), "remove this one if nobody is at work there", "")
	return strings.Contains(said, "remove")
}

// What is at the destination is not to be removed unless an attempt has left it, and what was
// not made need not be.
func TestAMakingSaysWhatIsInTheWay(t *testing.T) {
	const src, dst = "/waysrc", "/waydst"
	whole := checkedStore(t)
	defer storefs.Mount(src, whole.mem(t, src))()
	target := memfs.New(memfs.Options{})
	faulty := faultfs.New(target)
	defer storefs.Mount(dst, faulty)()
	copying := func() error {
		_, err := store.Copy(t.Context(), src, dst, nil)
		return err
	}
	says := func(err error, what string, remove bool) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "remove") != remove {
			t.Errorf("Copy says %v, and should speak of %q", err, what)
		}
	}
	faulty.Inject(faultfs.Fault{Kinds: faultfs.OpMkdir, Err: fs.ErrPermission})
	says(copying(), "making the directory", false)
	faulty.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Err: fs.ErrPermission})
	says(copying(), "do not use what is in "+dst+": remove it", true)
	says(copying(), "or an attempt to do so", true)

	_, err := store.Copy(t.Context(), src, src, nil)
	says(err, "the store itself", false)
	mount(t, dst, memfs.New(memfs.Options{}))
	check(t, copying())
	says(copying(), "name a directory that does not", false)
}
