package durable_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// A cast is a cluster in which nothing happens by itself: several keepers with one log, of
// which each applies only what it must. So a keeper lags behind as far as a cluster allows.
type cast struct {
	mu      sync.Mutex
	entries []entry
	now     time.Time // of the next entry; does not go on by itself
}

type entry struct {
	at   time.Time
	data []byte
}

func newCast() *cast { return &cast{now: time.Now()} }

// A replica is a keeper of a cast.
type replica struct {
	cast *cast
	m    store.Machine

	mu      sync.Mutex // held while the machine is used
	applied int        // entries
	index   uint64     // of the last update that was not refused
	base    uint64     // index before the first of updates
	updates []store.Update
	results map[int]error // of entries that were applied here
	changed chan struct{} // closed when there are more
	closed  bool
}

var _ store.Keeper = (*replica)(nil)

// join adds a replica with a machine.
func (c *cast) join(m store.Machine) *replica {
	return &replica{cast: c, m: m, results: map[int]error{}, changed: make(chan struct{})}
}

// append adds an entry, and returns its number, from 1 on.
func (c *cast) append(update []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, entry{c.now, slices.Clone(update)})
	return len(c.entries)
}

func (c *cast) upTo(n int) []entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[:n]
}

func (c *cast) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// catchUp applies the entries up to n, and returns what became of that one.
func (r *replica) catchUp(n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.cast.upTo(n)[min(r.applied, n):] {
		_, err := r.m.(store.TimedMachine).ApplyAt(e.at, r.index+1, e.data)
		r.applied++
		r.results[r.applied] = err
		if err != nil {
			continue
		}
		r.index++
		r.updates = append(r.updates, store.Update{Index: r.index, Time: e.at, Data: e.data})
		close(r.changed)
		r.changed = make(chan struct{})
	}
	return r.results[n]
}

func (r *replica) Update(ctx context.Context, update []byte) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return nil, store.ErrClosed
	}
	return nil, r.catchUp(r.cast.append(update))
}

func (r *replica) Sync(ctx context.Context) error {
	_ = r.catchUp(r.cast.len()) // that one is refused is its caller's
	return ctx.Err()
}

func (r *replica) ViewLocal(read func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return read()
}

func (r *replica) Index() uint64 { return r.index } // only within ViewLocal, as the map does

func (r *replica) WaitIndex(context.Context, uint64) error { return errors.ErrUnsupported }
func (r *replica) Snapshot(context.Context) error          { return errors.ErrUnsupported }
func (r *replica) Backup(context.Context, io.Writer) (uint64, error) {
	return 0, errors.ErrUnsupported
}

func (r *replica) Updates(ctx context.Context, from uint64) iter.Seq2[store.Update, error] {
	return func(yield func(store.Update, error) bool) {
		for from = max(from, 1); ctx.Err() == nil; {
			r.mu.Lock()
			base, all, changed := r.base, r.updates, r.changed
			r.mu.Unlock()
			if from <= base {
				yield(store.Update{}, store.ErrNotRetained)
				return
			}
			if from <= base+uint64(len(all)) {
				if !yield(all[from-base-1], nil) {
					return
				}
				from++
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

func (r *replica) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

func (r *replica) CloseContext(context.Context) error { return r.Close() }

// state returns a snapshot of the machine.
func (r *replica) state(t testing.TB) []byte {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	w, err := r.m.Snapshot()
	var b bytes.Buffer
	if err == nil {
		_, err = w.WriteTo(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// install gives r the state of another replica, as a snapshot.
func (r *replica) install(t testing.TB, other *replica) {
	t.Helper()
	state := other.state(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.m.Restore(bytes.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	r.applied, r.index, r.base, r.updates = other.applied, other.index, other.index, nil
	close(r.changed)
	r.changed = make(chan struct{})
}

// joinMap returns a map on a new replica.
func joinMap[K cmp.Ordered, V any](t testing.TB, c *cast, opts *durable.MapOptions[K, V]) (*durable.Map[K, V], *replica) {
	t.Helper()
	var r *replica
	m, err := durable.OpenMapOn(opts, func(m store.Machine) (store.Keeper, error) {
		r = c.join(m)
		return r, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, m) })
	return m, r
}

// alike fails the test unless all replicas get the same state.
func alike(t testing.TB, replicas ...*replica) {
	t.Helper()
	var first []byte
	for i, r := range replicas {
		if err := r.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := r.state(t)
		if i == 0 {
			first = b
		}
		if !bytes.Equal(b, first) {
			t.Fatalf("replica %d has another state than the first:\n%q\n%q", i, b, first)
		}
	}
}

// number is a short name for a key of these tests.
func number(i int) string { return fmt.Sprintf("%02d", i) }
