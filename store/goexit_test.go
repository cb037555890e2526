package store_test

import (
	"context"
	"runtime"
	"testing"

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
	s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1})
	update(t, s, "0")
	ended := make(chan string, 4)
	up := func(u string) {
		go func() {
			defer func() { ended <- u }() // also by Goexit
			_, err := s.Update(context.Background(), []byte(u))
			t.Log(u, err)
		}()
		store.Settle()
	}
	up("A")
	<-m.entered["A"]
	up("B")
	up("G")
	close(m.leave["A"])
	soon(t, "an update", func() {
		for range 3 {
			<-ended
		}
	})
	soon(t, "Close", func() { wantIs(t, s.Close(), store.ErrFailed) })
}
