package cluster

import (
	"context"
	"fmt"
	"runtime/debug"
)

// guarded calls a function of the machine in a goroutine of its own, and makes an error of a
// panic there, and of runtime.Goexit: one of the caller that wanted a state, rather than the
// end of the program, or of a goroutine that others wait for.
func guarded(name string, call func() error) error {
	ended := make(chan error, 1)
	go func() {
		err := fmt.Errorf("cluster: %s: %w", name, errNotReturned)
		defer func() { ended <- err }()
		defer func() {
			switch v := recover().(type) {
			case nil:
			case error:
				err = fmt.Errorf("cluster: panic in %s: %w\n%s", name, v, debug.Stack())
			default:
				err = fmt.Errorf("cluster: panic in %s: %v\n%s", name, v, debug.Stack())
			}
		}()
		err = call()
	}()
	return <-ended
}

// capture captures the state as it is now, to do something with it. It waits for the machine,
// and for those that read its state, no longer than ctx, nor after closed is closed. Whoever
// gets the state releases it.
func (f *fsm) capture(ctx context.Context, closed <-chan struct{}, what string) (*capturedState, error) {
	type outcome struct {
		c   *capturedState
		err error
	}
	captured := make(chan outcome)
	go func() {
		var o outcome
		o.c, o.err = f.captureFor(ctx)
		select {
		case captured <- o:
			return
		case <-ctx.Done():
		case <-closed:
		}
		if o.err == nil {
			o.c.Release()
		}
	}()
	select {
	case o := <-captured:
		return o.c, o.err
	case <-ctx.Done():
		return nil, &opError{msg: what, errs: []error{ctx.Err()}}
	case <-closed:
		return nil, errClosed(what)
	}
}

// captureFor captures the state unless nobody waits for it any more. The state of the machine
// is what it was, even if its Snapshot panics, so the node goes on.
func (f *fsm) captureFor(ctx context.Context) (c *capturedState, err error) {
	err = guarded("Snapshot of the machine", func() (err error) {
		f.state.Lock()
		defer f.state.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err = f.captureLocked()
		return err
	})
	return c, err
}
