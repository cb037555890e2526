package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/usercall"
)

// A capture is a state to be written.
type capture struct {
	index  uint64
	time   int64 // of the commit of update index, in nanoseconds since 1970
	state  io.WriterTo
	logged int64 // bytes of log up to it
	within place // where the code of the state is called

	digest   uint64 // of the state, if digested; see Digester
	digested bool

	late atomic.Bool // WriteTo wrote after it had returned

	mu      sync.Mutex
	writing bool // WriteTo runs
	left    bool // nobody waits for it, so whoever ends it closes the state
}

// sound returns an error if WriteTo has written a part of the state too late.
func (c *capture) sound() error {
	if c.late.Load() {
		return errLate
	}
	return nil
}

// giveBack closes the captured state, when WriteTo has returned.
func (s *Store) giveBack(c *capture) error {
	c.mu.Lock()
	c.left = c.writing
	wait := c.left
	c.mu.Unlock()
	cl, ok := c.state.(io.Closer)
	if !ok || wait {
		return nil
	}
	const name = "Close of the captured state"
	if ok, err := endOf(s.ctx, s.started(c.within, closeCall{cl}, name)); ok {
		return err
	}
	s.say.Warn("store: gave up a captured state whose Close has not returned", "dir", s.dir.Path, "index", c.index)
	return fmt.Errorf("store: %s has not returned: %w", name, storefile.Bare(context.Cause(s.ctx)))
}

// endOf waits for what the user's code ends with: once ctx has ended, not longer than
// giveUpAfter.
func endOf(ctx context.Context, ended <-chan error) (ok bool, err error) {
	select {
	case err := <-ended:
		return true, err
	case <-ctx.Done():
	}
	t := time.NewTimer(giveUpAfter)
	defer t.Stop()
	select {
	case err := <-ended:
		return true, err
	case <-t.C:
		return false, nil
	}
}

// A closeCall calls Close of what the user has made.
type closeCall struct{ io.Closer }

func (c closeCall) On(any) error { return c.Close() }

// A captureCall calls Snapshot of the machine.
type captureCall capture

func (c *captureCall) On(owner any) (err error) {
	c.state, err = owner.(*Store).m.Snapshot()
	return err
}

// A writeCall calls WriteTo of a captured state.
type writeCall struct {
	c *capture
	w io.Writer
}

func (c writeCall) On(any) error {
	_, err := c.c.state.WriteTo(c.w)
	return err
}

// callSnapshot calls Snapshot of the machine. The state is what it was before,
// even if that panics, so the store goes on.
func (s *Store) callSnapshot(c *capture) error {
	s.capturing.Store(true)
	defer s.capturing.Store(false)
	s.watch.arm()
	err := s.guarded(inCapture, (*captureCall)(c), "Snapshot of the machine")
	if err == nil && c.state == nil {
		err = errNoState
	}
	return err
}

var errNoState = errors.New("store: Snapshot of the machine returned neither a snapshot nor an error")

// guarded calls the user's code in a goroutine of its own, and makes an error of a
// panic there, and of runtime.Goexit: one of the caller that wanted a snapshot,
// rather than the end of the program or of a goroutine of the store.
func (s *Store) guarded(p place, call usercall.Call, name string) error {
	return <-s.started(p, call, name)
}

// started is guarded, and does not wait.
func (s *Store) started(p place, call usercall.Call, name string) (ended chan error) {
	ended = make(chan error, 1)
	go func() {
		err := fmt.Errorf("store: %s ended its goroutine with runtime.Goexit", name)
		defer func() { ended <- err }()
		defer recovered(&err, name)
		if err = s.call(p, call); err != nil {
			err = fmt.Errorf("store: %s: %w", name, storefile.Bare(err))
		}
	}()
	return ended
}

// recovered makes an error of a panic.
func recovered(err *error, where string) {
	if v := recover(); v != nil {
		cause, ok := v.(error)
		if !ok {
			cause = fmt.Errorf("%v", v)
		}
		*err = fmt.Errorf("store: panic in %s: %w\n%s", where, cause, debug.Stack())
	}
}

const writeToName = "WriteTo of the captured state"

// giveUpAfter is how long WriteTo, Close of a captured state, or a shadow machine may go on once
// its snapshot was given up, or the store is being closed.
const giveUpAfter = 2 * time.Second

// writeTo calls WriteTo of the captured state. When ctx ends, WriteTo gets an error
// from w, which is called no more when writeTo has returned; a WriteTo that does
// not write is left to itself.
func (s *Store) writeTo(ctx context.Context, c *capture, w io.Writer) error {
	door := &doorWriter{ctx: ctx, w: w, late: func() {
		c.late.Store(true)
		s.say.Error("store: WriteTo of the captured state wrote after it had returned: what was written of this state lacks a part", "dir", s.dir.Path, "index", c.index)
	}}
	c.mu.Lock()
	c.writing = true
	c.mu.Unlock()
	ended := make(chan error, 1)
	go func() {
		err := s.guarded(c.within, writeCall{c, door}, writeToName)
		if err == nil {
			door.shut(errEnded)
		} else {
			door.shut(errShut)
		}
		c.mu.Lock()
		c.writing = false
		left := c.left
		c.mu.Unlock()
		if left {
			_ = s.giveBack(c) // nobody is there to be told
		}
		ended <- err
	}()
	if ok, err := endOf(ctx, ended); ok {
		return err
	}
	if door.busy() {
		s.say.Warn("store: gave up writing a state, and what it is written to takes no more bytes: waiting for that", "dir", s.dir.Path, "index", c.index)
	} else {
		s.say.Warn("store: gave up a snapshot whose WriteTo has not returned", "dir", s.dir.Path, "index", c.index)
	}
	door.shut(errShut)
	return fmt.Errorf("store: %s has not returned: %w", writeToName, storefile.Bare(context.Cause(ctx)))
}

// A doorWriter is an io.Writer until its context ends or it is shut.
type doorWriter struct {
	ctx  context.Context
	late func() // called once, when Write is called after WriteTo has returned

	mu   sync.Mutex // held while w is called
	w    io.Writer  // nil: shut
	why  error      // it was shut
	told bool       // late was called
}

// Why a door is shut.
var (
	errShut  = errors.New("store: the snapshot was given up")
	errEnded = errors.New("store: WriteTo has returned, and what it began must not go on writing")
	// errLate says that somebody has tried.
	errLate = errors.New("store: WriteTo of the captured state wrote after it had returned: it must wait for its goroutines, or what it has written lacks a part")
)

func (d *doorWriter) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.w == nil {
		if errors.Is(d.why, errEnded) && !d.told {
			d.told = true
			d.late()
		}
		return 0, d.why
	}
	if d.ctx.Err() != nil {
		return 0, context.Cause(d.ctx)
	}
	return d.w.Write(p)
}

// shut waits for a call of Write that is under way, and lets none in after that. The first
// reason counts.
func (d *doorWriter) shut(why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.w != nil {
		d.w, d.why = nil, why
	}
}

// busy reports whether a call of Write is under way.
func (d *doorWriter) busy() bool {
	free := d.mu.TryLock()
	if free {
		d.mu.Unlock()
	}
	return !free
}

// A Digester is a [Machine] that can tell a digest of its state: equal states have
// equal digests, and different ones most probably do not. With Options.Shadow, each
// snapshot compares those of the two machines. StateDigest is called as Snapshot is,
// while updates wait, so it should be quick: one that Apply keeps up to date, such as
// the sum of a hash of each key with its value.
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
	s.underway.Stage.Store(replaying)
	call := &shadowCall{capture: capture{index: c.index, digest: c.digest, digested: c.digested, within: inWrite}}
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
		s.say.Warn("store: gave up a snapshot whose shadow machine has not returned", "dir", s.dir.Path, "index", c.index)
		go func() {
			if err := <-ended; err == nil {
				_ = s.giveBack(&call.capture) // nobody is there to be told
			}
		}()
		return fmt.Errorf("store: the shadow machine has not returned: %w", storefile.Bare(context.Cause(s.ctx)))
	}
}

// shadowed takes over what the call has captured.
func (s *Store) shadowed(c *capture, call *shadowCall, err error) error {
	c.state = call.state
	if err == nil {
		return nil
	}
	s.shadow.stop(s)
	s.shadow.m = nil // it may hold anything
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return err
}

// A shadowCall has the shadow capture a state.
type shadowCall struct{ capture }

func (c *shadowCall) On(owner any) (err error) {
	s := owner.(*Store)
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
	list, err := s.dir.List()
	if err != nil {
		return err
	}
	first := h.m == nil
	if first {
		if err := h.renew(s); err != nil {
			return err
		}
	}
	l := &loader{
		dir: s.dir.Dir, m: h.m, machine: clockedBy(h.m), list: list, target: index, ctx: s.ctx,
		store: s.dir.ID, hasStore: true, moved: &s.underway.Moved,
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
func (h *shadow) renew(s *Store) error {
	m := h.fresh()
	switch {
	case m == nil:
		return errors.New("Options.Shadow returned nil, and no machine")
	case same(m, s.m) || h.last != nil && same(m, h.last):
		return errors.New("Options.Shadow returned a machine that is in use, or was: it must make one")
	}
	h.m, h.last = m, m
	if c, ok := concrete(m).(io.Closer); ok {
		h.closer.Store(&c)
	}
	if h.ended.Load() {
		h.stop(s)
		return errors.New("the store was closed meanwhile")
	}
	return nil
}

// end closes the machine, and one that is being made.
func (h *shadow) end(s *Store) {
	h.ended.Store(true)
	h.stop(s)
}

// stop closes the machine, if it is a Closer, also while it is called. Its error counts for
// nothing, since nothing more is asked of it. When the store is being closed, a Close that
// does not return is left to itself.
func (h *shadow) stop(s *Store) {
	c := h.closer.Swap(nil)
	if c == nil {
		return
	}
	ended, err := endOf(s.ctx, s.started(inWrite, stopCall{*c}, "Close of the shadow machine"))
	switch {
	case !ended:
		s.say.Warn("store: gave up a shadow machine whose Close has not returned", "dir", s.dir.Path)
	case err != nil:
		s.say.Error("store: the shadow machine could not be closed", "dir", s.dir.Path, "error", err)
	}
}

// A stopCall is a closeCall whose error counts for nothing.
type stopCall struct{ io.Closer }

func (c stopCall) On(any) error {
	_ = c.Close()
	return nil
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

func (c *digestCall) On(owner any) error {
	c.digest, c.digested = StateDigest(owner.(*Store).m)
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
		r, err := s.dir.OpenSnap(index)
		if err != nil && tries < restoreTries {
			continue // newer ones have replaced it meanwhile
		}
		if err != nil {
			return nil, err
		}
		return &capture{index: index, time: r.Header.Time, state: writtenState{r}, within: inWrite}, nil
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
