package store_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// goexitsLate is a machine whose Apply ends the goroutine it is in.
type goexitsLate struct {
	gated
}

func (m *goexitsLate) Apply(u []byte) (any, error) {
	r, err := m.gated.Apply(u)
	if u[0] == 'G' {
		runtime.Goexit()
	}
	return r, err
}

// runtime.Goexit in Apply, in the goroutine of a caller that helps, is an error for
// all, and keeps nobody waiting.
func TestGoexitInTheGoroutineOfACallerThatHelps(t *testing.T) {
	const dir = "/goexithelp"
	memory(t, dir)
	m := &goexitsLate{gated{
		entered: map[string]chan struct{}{"A": make(chan struct{})},
		leave:   map[string]chan struct{}{"A": make(chan struct{})},
	}}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	update(t, s, "0")
	ended := make(chan string, 4)
	up := func(u string) {
		go func() {
			err := error(nil)
			defer func() { ended <- u }()
			_, err = s.Update(context.Background(), []byte(u))
			t.Log(u, err)
		}()
		time.Sleep(30 * time.Millisecond)
	}
	up("A")
	<-m.entered["A"]
	up("B")
	up("G")
	close(m.leave["A"])
	for range 3 {
		select {
		case <-ended:
		case <-time.After(3 * time.Second):
			t.Error("an update does not return")
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		wantIs(t, err, store.ErrFailed)
	case <-time.After(3 * time.Second):
		t.Error("Close does not return")
	}
}

// The same in the goroutine of the committer.
func TestGoexitInTheCommitter(t *testing.T) {
	const dir = "/goexitcommitter"
	for range 40 {
		memory(t, dir)
		m := &goexitsLate{}
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1, SyncInterval: 100 * time.Microsecond})
		for range 4 {
			go func() {
				for {
					if _, err := s.Submit([]byte("x")); err != nil {
						return
					}
				}
			}()
		}
		time.Sleep(2 * time.Millisecond)
		go func() { _, _ = s.Submit([]byte("G")) }()
		time.Sleep(2 * time.Millisecond)
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		select {
		case <-closed: //nolint:errcheck // that it returns is what counts
		case <-time.After(3 * time.Second):
			t.Fatal("Close does not return")
		}
	}
}
