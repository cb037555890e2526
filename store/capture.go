package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A capture is a state to be written.
type capture struct {
	index  uint64
	time   int64 // of the commit of update index, in nanoseconds since 1970
	state  io.WriterTo
	logged int64 // bytes of log up to it

	digest   uint64 // of the state, if digested; see Digester
	digested bool

	late atomic.Bool // WriteTo wrote after it had returned

	mu      sync.Mutex
	writing bool // WriteTo runs
	left    bool // nobody waits for it, so whoever ends it closes the state
}

// close gives the captured state back, when WriteTo has returned.
func (c *capture) close() error {
	c.mu.Lock()
	c.left = c.writing
	wait := c.left
	c.mu.Unlock()
	if cl, ok := c.state.(io.Closer); ok && !wait {
		return cl.Close()
	}
	return nil
}

// A captureCall calls Snapshot of the machine.
type captureCall capture

func (c *captureCall) on(s *Store) (err error) {
	c.state, err = s.m.Snapshot()
	return err
}

// A writeCall calls WriteTo of a captured state.
type writeCall struct {
	c *capture
	w io.Writer
}

func (c writeCall) on(*Store) error {
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
func (s *Store) guarded(p place, call userCall, name string) error {
	ended := make(chan error, 1)
	go func() {
		err := fmt.Errorf("store: %s ended its goroutine with runtime.Goexit", name)
		defer func() { ended <- err }()
		defer recovered(&err, name)
		if err = s.call(p, call); err != nil {
			err = fmt.Errorf("store: %s: %w", name, err)
		}
	}()
	return <-ended
}

// recovered makes an error of a panic.
func recovered(err *error, where string) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("store: panic in %s: %v\n%s", where, v, debug.Stack())
	}
}

const writeToName = "WriteTo of the captured state"

// giveUpAfter is how long a WriteTo may go on once its snapshot was given up.
const giveUpAfter = 2 * time.Second

// writeTo calls WriteTo of the captured state. When ctx ends, WriteTo gets an error
// from w, which is called no more when writeTo has returned; a WriteTo that does
// not write is left to itself.
func (s *Store) writeTo(ctx context.Context, c *capture, w io.Writer) error {
	door := &doorWriter{ctx: ctx, w: w, late: func() {
		c.late.Store(true)
		s.say.error("store: WriteTo of the captured state wrote after it had returned: what was written of this state lacks a part", "dir", s.dir, "index", c.index)
	}}
	c.mu.Lock()
	c.writing = true
	c.mu.Unlock()
	ended := make(chan error, 1)
	go func() {
		err := s.guarded(inWrite, writeCall{c, door}, writeToName)
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
			_ = c.close() // nobody is there to be told
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(giveUpAfter)
	defer t.Stop()
	select {
	case err := <-ended:
		return err
	case <-t.C:
		if door.busy() {
			s.say.warn("store: gave up writing a state, and what it is written to takes no more bytes: waiting for that", "dir", s.dir, "index", c.index)
		} else {
			s.say.warn("store: gave up a snapshot whose WriteTo has not returned", "dir", s.dir, "index", c.index)
		}
		door.shut(errShut)
		return fmt.Errorf("store: %s has not returned: %w", writeToName, context.Cause(ctx))
	}
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
