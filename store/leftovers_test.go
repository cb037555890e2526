package store_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Wherever a crash comes, no file that was being written is there any more once the
// store is open again.
func TestNothingIsLeftBehind(t *testing.T) {
	const dir = "/leftovers"
	left := 0 // times that there was something to remove
	for n := int64(1); ; n++ {
		mem := memfs.New(memfs.Options{})
		p := &patient{t: t, dir: dir, mem: mem, fs: faultfs.New(mem), h: crashtest.NewHistory()}
		crash := p.fs.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: n, Stop: true})
		unmount := storefs.Mount(dir, p.fs)
		p.live()
		unmount()
		for _, after := range []*memfs.FS{mem.Kill(), mem.Crash(rand.New(rand.NewPCG(uint64(n), 1)))} {
			left += len(unfinished(after, dir))
			unmount := storefs.Mount(dir, after)
			s, err := store.Open(dir, &crashtest.Machine{}, quiet(&store.Options{PreallocateBytes: 1}))
			unmount()
			if err != nil {
				t.Fatalf("a crash before change %d: %v", n, err)
			}
			if names := unfinished(after, dir); len(names) > 0 {
				t.Errorf("a crash before change %d: %q is left", n, names)
			}
			s.Close()
		}
		if crash.Hits() == 0 {
			break
		}
	}
	if left == 0 {
		t.Error("no crash has left anything")
	}
}

// An empty log after one that is not sealed was never in use, and is removed.
func TestALogThatNeverCameIntoUseIsRemoved(t *testing.T) {
	const dir = "/void"
	fl := checkedStore(t)
	fl[log3] = fl[log3][:len(fl[log3])-sealLen]
	mem := fl.mem(t, dir)
	mount(t, dir, mem)
	s := open(t, dir, &plainMachine{}, nil)
	if names := readFiles(t, mem, dir).names(); slices.Contains(names, log4) || !slices.Contains(names, log3) {
		t.Errorf("the directory holds %q", names)
	}
	if s.Index() != 4 {
		t.Errorf("%d updates, want 4", s.Index())
	}
}

// unfinished returns the names of files that were being written.
func unfinished(fs fsys.FS, dir string) (names []string) {
	l, err := fs.List(dir)
	if err != nil {
		return nil // the directory was lost
	}
	for _, e := range l {
		if strings.HasSuffix(e.Name, ".tmp") {
			names = append(names, e.Name)
		}
	}
	return names
}
