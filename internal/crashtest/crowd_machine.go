package crashtest

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/stateio/stateio/store"
)

// A busy is a machine that takes its time, and knows when it is interrupted.
type busy struct {
	Machine               // guarded by the store
	applying atomic.Int32 // calls of Apply that are under way; more than one is wrong
	overlaps atomic.Int32 // calls that found another one under way

	mu    sync.Mutex
	chain []uint64 // chain[k] is the digest of the first k updates; guarded by mu
}

func newBusy() *busy { return &busy{chain: []uint64{0}} }

var (
	errRefused = errors.New("crashtest: refused")
	refused    = []byte("refuse this update")
	panicking  = []byte("panic over this update")
)

var _ store.Machine = (*busy)(nil)

// Apply implements store.Machine. The result is the number of the update.
func (b *busy) Apply(update []byte) (any, error) {
	if b.applying.Add(1) > 1 {
		b.overlaps.Add(1)
	}
	defer b.applying.Add(-1)
	idle(len(update) % 8)
	switch {
	case bytes.Equal(update, refused):
		return nil, errRefused
	case bytes.Equal(update, panicking):
		panic(string(panicking))
	}
	b.Count++
	idle(len(update) % 5)
	b.Digest = link(b.Digest, update)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chain = append(b.chain, b.Digest)
	return b.Count, nil
}

// digest returns the digest of the first n updates, and false if there are fewer.
func (b *busy) digest(n uint64) (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n >= uint64(len(b.chain)) {
		return 0, false
	}
	return b.chain[n], true
}

// look reads the state, which must not change meanwhile.
func (b *busy) look() error {
	count, digest, applying := b.Count, b.Digest, b.applying.Load()
	idle(20)
	if applying+b.applying.Load() > 0 || count != b.Count || digest != b.Digest {
		return errors.New("an update was applied during View")
	}
	return nil
}

// Snapshot implements store.Machine.
func (b *busy) Snapshot() (io.WriterTo, error) {
	if b.applying.Load() > 0 {
		b.overlaps.Add(1)
	}
	return b.Machine.Snapshot()
}
