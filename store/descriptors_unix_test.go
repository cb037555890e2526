//go:build unix

package store_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A process runs out of descriptors while a snapshot is made: from some operation of
// it on, another part of the process takes each one that becomes free, as a server
// does that accepts connections. The snapshot may fail; the store goes on.
func TestDescriptorsThatRunOutDuringASnapshot(t *testing.T) {
	if task := os.Getenv(childEnv); task != "" {
		from, err := strconv.Atoi(task)
		check(t, err)
		snapshotWithoutDescriptors(t, int64(from))
		return
	}
	for from := range 30 {
		inChild(t, fmt.Sprint(from), nil)
	}
}

func snapshotWithoutDescriptors(t *testing.T, from int64) {
	dir := t.TempDir()
	f := faultfs.New(fsys.OS{})
	defer storefs.Mount(dir, f)()
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: old.Max}))
	var taken []int
	from += f.Ops()
	f.OnOp(func(op faultfs.Op) {
		if op.N > from {
			taken = append(taken, takeDescriptors()...)
		}
	})
	err := s.Snapshot(context.Background())
	f.OnOp(nil)
	t.Logf("the snapshot: %v", err)
	update(t, s, "two")
	for _, fd := range taken {
		check(t, unix.Close(fd))
	}
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	update(t, s, "three")
	check(t, s.Snapshot(context.Background()))
	check(t, s.Close())
	m := &journal{}
	open(t, dir, m, nil).Close()
	if len(m.updates) != 3 {
		t.Errorf("%q are there", m.updates)
	}
}

// takeDescriptors takes all that there are.
func takeDescriptors() (fds []int) {
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fds
		}
		fds = append(fds, fd)
	}
}
