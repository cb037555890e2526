package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// A Digester is a [Machine] that can tell a digest of its state: equal states have equal
// digests, and others most probably do not. With Options.Shadow, each snapshot compares
// those of the two machines. StateDigest is called as Snapshot is, while updates wait, so it
// should be quick: one that Apply keeps up to date, such as the sum of a hash of each key
// with its value.
type Digester interface {
	StateDigest() uint64
}

// A Settler is a machine of Options.Shadow that may apply updates later than it is told to,
// as one that stands for another process does. The store calls Settle after a replay. It
// returns when all updates are applied, or why one was refused: a [*ReplayError].
type Settler interface {
	Settle() error
}

// A DivergedError says that the state of a machine is not the one to which its log leads:
// Apply is not deterministic, or something else has changed the state. Until the store is
// opened again the machine has one state, and from then on another.
type DivergedError struct {
	Good uint64 // the last update after which the states were seen to be the same; 0: none was
	Bad  uint64 // an update after which they were not
}

// Error implements error.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("store: the state is not the one to which the log leads: they differ after update %d, and did not after update %d: "+
		"look for a clock, randomness, the order of a map, or a change outside of Apply (package statetest finds them)", e.Bad, e.Good)
}

// Is reports whether target is [ErrDiverged].
func (e *DivergedError) Is(target error) bool { return target == ErrDiverged }

// A shadow is the machine that makes the snapshots, with Options.Shadow. It belongs to the
// snapshotter.
type shadow struct {
	fresh func() Machine
	m     Machine // nil: to be made, and to be given the state of the newest snapshot
	last  Machine // the last one that was made
	index uint64  // of the last update that it has replayed
	time  int64   // of the commit of that update, in nanoseconds since 1970
	same  uint64  // the last update after which the digests were equal

	closer atomic.Pointer[io.Closer] // m, if it is one; nil: it was closed
	ended  atomic.Bool               // the store makes no snapshots any more
}

// shadowState has the shadow capture the state of c, whose log is sealed. A shadow that does
// not return is left to itself when the store is closed.
func (s *Store) shadowState(c *capture) error {
	s.stage.Store(replaying)
	call := &shadowCall{capture: capture{index: c.index, digest: c.digest, digested: c.digested}}
	ended := make(chan error, 1)
	go func() { ended <- s.guarded(inWrite, call, "the shadow machine") }()
	select {
	case err := <-ended:
		return s.shadowed(c, call, err)
	case <-s.ctx.Done():
	}
	t := time.NewTimer(giveUpAfter)
	defer t.Stop()
	select {
	case err := <-ended:
		return s.shadowed(c, call, err)
	case <-t.C:
		s.say.warn("store: gave up a snapshot whose shadow machine has not returned", "dir", s.dir, "index", c.index)
		return fmt.Errorf("store: the shadow machine has not returned: %w", context.Cause(s.ctx))
	}
}

// shadowed takes over what the call has captured.
func (s *Store) shadowed(c *capture, call *shadowCall, err error) error {
	c.state = call.state
	if err == nil {
		return nil
	}
	s.shadow.stop()
	s.shadow.m = nil // it may hold anything
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return err
}

// A shadowCall has the shadow capture a state.
type shadowCall struct{ capture }

func (c *shadowCall) on(s *Store) (err error) {
	h := s.shadow
	if err := h.replay(s, c.index); err != nil {
		return err
	}
	if digest, ok := StateDigest(h.m); ok && c.digested {
		if digest != c.digest {
			return &DivergedError{Good: h.same, Bad: c.index}
		}
		h.same = c.index
	}
	if c.state, err = h.m.Snapshot(); err == nil && c.state == nil {
		err = errNoState
	}
	return err
}

// replay brings the shadow to the state after update index, which ends a log.
func (h *shadow) replay(s *Store, index uint64) error {
	list, err := s.files().List()
	if err != nil {
		return err
	}
	first := h.m == nil
	if first {
		if err := h.renew(s.m); err != nil {
			return err
		}
	}
	l := &loader{
		dir: s.files(), m: h.m, machine: clockedBy(h.m), list: list, target: index, ctx: s.ctx,
		store: s.id, hasStore: true, moved: &s.moved,
	}
	if first {
		err = l.load()
	} else {
		l.report.Index, l.time = h.index, h.time
		err = l.replay()
	}
	h.index, h.time = l.report.Index, l.time
	if later, ok := h.m.(Settler); ok && err == nil {
		err = later.Settle()
	}
	return err
}

// renew makes a shadow that is neither the machine in use nor one that was used before.
func (h *shadow) renew(inUse Machine) error {
	m := h.fresh()
	switch {
	case m == nil:
		return errors.New("Options.Shadow returned nil, and no machine")
	case same(m, inUse) || h.last != nil && same(m, h.last):
		return errors.New("Options.Shadow returned a machine that is in use, or was: it must make one")
	}
	h.m, h.last = m, m
	if c, ok := concrete(m).(io.Closer); ok {
		h.closer.Store(&c)
	}
	if h.ended.Load() {
		h.stop()
		return errors.New("the store was closed meanwhile")
	}
	return nil
}

// end closes the machine, and one that is being made.
func (h *shadow) end() {
	h.ended.Store(true)
	h.stop()
}

// stop closes the machine, if it is a Closer, also while it is called.
func (h *shadow) stop() {
	if c := h.closer.Swap(nil); c != nil {
		_ = (*c).Close() // nothing more is asked of it
	}
}

// same reports whether two machines are one, as far as that can be told.
func same(a, b Machine) bool {
	x, y := reflect.ValueOf(concrete(a)), reflect.ValueOf(concrete(b))
	return x.Kind() == reflect.Pointer && y.Kind() == reflect.Pointer && x.Type() == y.Type() &&
		x.Type().Elem().Size() > 0 && x.Pointer() == y.Pointer()
}

// concrete returns m, or the typed machine that it stands for.
func concrete(m any) any {
	if u, ok := m.(interface{ typed() any }); ok {
		return u.typed()
	}
	return m
}

// StateDigest returns the digest of the state of m, if m, or the typed machine that it
// stands for, is a [Digester].
func StateDigest(m Machine) (digest uint64, ok bool) {
	d, ok := concrete(m).(Digester)
	if ok {
		digest = d.StateDigest()
	}
	return digest, ok
}

// A digestCall calls StateDigest of the machine, if it has that.
type digestCall capture

func (c *digestCall) on(s *Store) error {
	c.digest, c.digested = StateDigest(s.m)
	return nil
}

// captureWritten is captureNow with a shadow: it makes a snapshot, and captures what was
// written.
func (s *Store) captureWritten(ctx context.Context) (*capture, error) {
	for tries := 0; ; tries++ {
		if err := s.Snapshot(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		index := s.newest.index
		s.mu.Unlock()
		r, err := s.files().OpenSnap(index)
		if err != nil && tries < restoreTries {
			continue // newer ones have replaced it meanwhile
		}
		if err != nil {
			return nil, err
		}
		return &capture{index: index, time: r.Header.Time, state: writtenState{r}}, nil
	}
}

// A writtenState is one that is in a snapshot.
type writtenState struct{ *storefile.SnapReader }

// Close implements io.Closer.
func (w writtenState) Close() error {
	w.SnapReader.Close()
	return nil
}

var _ io.WriterTo = writtenState{}
