package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// gated is a machine whose Apply of some updates waits.
type gated struct {
	journal
	entered map[string]chan struct{}
	leave   map[string]chan struct{}
}

func (m *gated) Apply(u []byte) (any, error) {
	if c := m.entered[string(u[:1])]; c != nil {
		close(c)
		<-m.leave[string(u[:1])]
	}
	return nil, nil
}

// A caller whose update is durable is told, and what is after it is committed, even
// if the caller is about to apply what others have queued.
func TestSyncInViewWithACallerThatHelps(t *testing.T) {
	const dir = "/helpview"
	_, fs := memory(t, dir)
	chans := func() map[string]chan struct{} {
		return map[string]chan struct{}{"A": make(chan struct{}), "X": make(chan struct{})}
	}
	m := &gated{entered: chans(), leave: chans()}
	s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1, MaxPending: 64 << 20})
	for range 4 {
		update(t, s, strings.Repeat("0", 1<<20)) // sets space aside
	}
	gate, in := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			once.Do(func() { close(in); <-gate })
		}
	})
	done := make(chan string, 8)
	up := func(u []byte) {
		go func() {
			_, err := s.Update(context.Background(), u)
			done <- fmt.Sprint(string(u[:1]), " ", err)
		}()
		store.Settle()
	}
	up([]byte("L")) // leads, and waits for the disk
	<-in
	up([]byte("A")) // helps, Apply waits
	<-m.entered["A"]
	x := make([]byte, 100<<10)
	x[0] = 'X'
	up(x)
	close(m.leave["A"])
	<-m.entered["X"] // A is in the batch, and its caller applies X
	up([]byte("Y"))
	close(gate) // L and A become durable
	store.Settle()
	goOn, viewed := make(chan struct{}), make(chan error, 1)
	go func() {
		viewed <- s.View(func() error {
			<-goOn
			return s.Sync(context.Background())
		})
	}()
	store.Settle()
	close(m.leave["X"])
	store.Settle() // X is put into the batch
	close(goOn)
	store.Settle()
	check(t, store.Arrives(t, viewed, "Sync in View waits for ever"))
	for range 4 {
		t.Log(store.Arrives(t, done, "an update does not return"))
	}
	check(t, s.Close())
}
