package statetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

// besideCheck makes snapshots while updates are made: alone, for the race
// detector, and in a store.
var besideCheck = &check{
	name:    "snapshots are made during updates",
	promise: "the io.WriterTo that Snapshot returned runs concurrently with all of Apply, Snapshot and Restore",
	run: func(tr *trial) error {
		tr.accepted()
		if err := tr.race(); err != nil {
			return err
		}
		return tr.inStore()
	},
}

// inStore has a store make one snapshot after the other during all updates.
func (tr *trial) inStore() error {
	fs, dir, opts := memfs.New(memfs.Options{}), newDir(), &store.Options{SnapshotBytes: -1, PreallocateBytes: 1 << 16}
	m := &observer{Machine: tr.newMachine()}
	s, err := openOn(fs, dir, m, opts)
	if err != nil {
		return err
	}
	err = makeAll(s, tr.log)
	if err := errorOf(err, s.Close()); err != nil {
		return err
	}
	for _, c := range m.taken {
		if err := tr.expectSnapshot(c.b, c.k); err != nil {
			return fmt.Errorf("the snapshot that a store made after %s, while it went on with updates, is of another state:\n%w",
				plural(c.k, "update"), err)
		}
	}
	again := tr.newMachine()
	if s, err = openOn(fs, dir, again, opts); err != nil {
		return err
	}
	if err := errorOf(tr.expect(again, len(tr.log)), s.Close()); err != nil {
		return fmt.Errorf("a store that was closed and opened again holds another state:\n%w", err)
	}
	return nil
}

// race writes captured states with nothing that orders it and the updates made
// meanwhile, so that the race detector reports all memory that both use.
func (tr *trial) race() error {
	const meanwhile = 8 // updates
	m := tr.newMachine()
	for from := 0; from < len(tr.log); from += meanwhile {
		state, err := capture(m)
		if err != nil {
			return err
		}
		var b []byte
		done := start(func() (err error) {
			b, err = written(state)
			return err
		})
		err = applyAll(m, from, tr.log[from:min(from+meanwhile, len(tr.log))])
		if err := errorOf(<-done, err); err != nil {
			return err
		}
		if err := tr.expectSnapshot(b, from); err != nil {
			return fmt.Errorf("the state captured after %s, and written while others were made, is another one:\n%w",
				plural(from, "update"), err)
		}
	}
	return nil
}

// makeAll makes the updates, and snapshots at the same time and at the end.
func makeAll(s *store.Store, log [][]byte) error {
	done := make(chan struct{})
	snapshots := make(chan error, 1)
	go func() {
		for {
			if err := s.Snapshot(context.Background()); err != nil {
				snapshots <- err
				return
			}
			select {
			case <-done:
				snapshots <- nil
				return
			default:
				runtime.Gosched()
			}
		}
	}()
	var err error
	for i, u := range log {
		if _, err = s.Update(context.Background(), u); err != nil {
			err = fmt.Errorf("update %d: %w", i+1, err)
			break
		}
	}
	close(done)
	if err := errors.Join(err, <-snapshots); err != nil {
		return err
	}
	return s.Snapshot(context.Background())
}

// An observer is a machine that remembers the snapshots made of it.
type observer struct {
	store.Machine
	applied int

	mu    sync.Mutex
	taken []taken
}

// taken is a snapshot that was written.
type taken struct {
	b []byte
	k int // updates before it
}

// Apply implements store.Machine.
func (o *observer) Apply(update []byte) (any, error) {
	return o.ApplyAt(time.Time{}, uint64(o.applied)+1, update)
}

// ApplyAt implements store.TimedMachine.
func (o *observer) ApplyAt(_ time.Time, index uint64, update []byte) (any, error) {
	result, err := applyTo(o.Machine, index, update)
	if err == nil {
		o.applied++
	}
	return result, err
}

// Snapshot implements store.Machine.
func (o *observer) Snapshot() (io.WriterTo, error) {
	state, err := capture(o.Machine)
	if err != nil {
		return nil, err
	}
	return &observed{o, state, o.applied}, nil
}

// observed is a captured state.
type observed struct {
	o     *observer
	state io.WriterTo
	k     int
}

// WriteTo implements io.WriterTo.
func (c *observed) WriteTo(w io.Writer) (int64, error) {
	var b buffer
	n, err := c.state.WriteTo(io.MultiWriter(slowly{w}, &b))
	if err == nil {
		c.o.mu.Lock()
		c.o.taken = append(c.o.taken, taken{b.b, c.k})
		c.o.mu.Unlock()
	}
	return n, err
}

// Close implements io.Closer.
func (c *observed) Close() error { return release(c.state) }

// slowly is a writer that gives others a turn. It must not synchronize with
// them: that would hide races.
type slowly struct{ w io.Writer }

func (s slowly) Write(p []byte) (int, error) {
	runtime.Gosched()
	return s.w.Write(p)
}
