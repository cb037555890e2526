package store

import (
	"context"
	"reflect"
	"runtime"
	"time"
)

// lockState locks state, unless the caller is within Apply or View.
func (s *Store) lockState() error {
	if s.state.TryLock() {
		return nil
	}
	if s.user.Load() > 0 && withinUserCode() {
		return s.patiently(s.state.TryLock)
	}
	s.state.Lock()
	return nil
}

// rlockState is lockState, for sharing.
func (s *Store) rlockState() error {
	if s.state.TryRLock() {
		return nil
	}
	if s.user.Load() > 0 && withinUserCode() {
		return s.patiently(s.state.TryRLock)
	}
	s.state.RLock()
	return nil
}

// patience is how long patiently tries.
const patience = time.Second

// patiently is for a caller that is within Apply or View of a store. If it is
// another store, which is unwise but no deadlock, the lock will be free soon.
func (s *Store) patiently(try func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(patience / 1000) {
		if try() {
			return nil
		}
	}
	return errReentrant
}

// wait waits for p, and within Apply or View not for ever: a commit may have to
// wait for a snapshot that waits for these to return.
func (s *Store) wait(ctx context.Context, p place) error {
	if s.user.Load() == 0 || !withinUserCode() {
		return p.wait(ctx)
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.done.c:
		return p.done.pass()
	case <-ctx.Done():
		return p.wait(ctx)
	case <-t.C:
		return p.done.late(errReentrant)
	}
}

var errReentrant = &opError{is: ErrReentrant, msg: "the method was called from within Apply or View, where it would wait for itself"}

// withinUserCode reports whether the caller was called, directly or not, by
// Apply or View's function of any store. It costs a microsecond or so.
func withinUserCode() bool {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		if n == 0 {
			return false
		}
		frames := runtime.CallersFrames(pcs[:n])
		for {
			f, more := frames.Next()
			if f.Function == applyFrame || f.Function == viewFrame {
				return true
			}
			if !more {
				break
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// The functions of this package that call the user's.
var (
	applyFrame = runtime.FuncForPC(reflect.ValueOf((*Store).apply).Pointer()).Name()
	viewFrame  = runtime.FuncForPC(reflect.ValueOf((*Store).read).Pointer()).Name()
)
