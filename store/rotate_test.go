package store

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
)

// slow is a machine that makes no snapshots, and whose Apply waits.
type slow struct {
	stateless
	entered, leave chan struct{}
}

func (m slow) Apply([]byte) (any, error) {
	m.entered <- struct{}{}
	<-m.leave
	return nil, nil
}

func (slow) Snapshot() (io.WriterTo, error) { return nil, errUnwilling }

var errUnwilling = errors.New("no snapshot")

// An update that comes to stand in the batch while a snapshot has the log is
// committed also if that snapshot is not made after all.
func TestAnUpdateBesideASnapshotThatFailsIsCommitted(t *testing.T) {
	const dir = "/beside"
	fs := faultfs.New(memfs.New(memfs.Options{}))
	defer storefs.Mount(dir, fs)()
	m := slow{entered: make(chan struct{}), leave: make(chan struct{})}
	s, err := Open(dir, m, &Options{SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	updated := make(chan error)
	go func() {
		_, err := s.Update(context.Background(), []byte("so that there is a log to begin"))
		updated <- err
	}()
	<-m.entered
	m.leave <- struct{}{}
	if err := <-updated; err != nil {
		t.Fatal(err)
	}
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind != faultfs.OpSync {
			return
		}
		fs.OnOp(nil) // the next log is prepared, and the one in use will be taken
		go func() {
			_, err := s.Update(context.Background(), []byte("one"))
			updated <- err
		}()
		<-m.entered
	})
	snapshotted := make(chan error)
	go func() { snapshotted <- s.Snapshot(t.Context()) }()
	for !waitsForMutex("(*Store).rotate(") {
		runtime.Gosched()
	}
	close(m.leave)
	if err := <-snapshotted; !errors.Is(err, errUnwilling) {
		t.Errorf("the snapshot: %v, want the machine's error", err)
	}
	if err := <-updated; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// waitsForMutex reports whether a goroutine waits for a mutex in the function of that name,
// as stacks have it.
func waitsForMutex(function string) bool {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		state, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(state, "[sync.Mutex.Lock") && strings.Contains(stack, function) {
			return true
		}
	}
	return false
}
