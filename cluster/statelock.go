package cluster

import (
	"context"
	"sync"
)

// A stateLock is held exclusively while the state changes or is captured, and shared by those
// that read it.
type stateLock struct{ sync.RWMutex }

// rLockContext is RLock, but it waits no longer than ctx, nor after closed is closed. It reports
// whether the lock is held.
func (l *stateLock) rLockContext(ctx context.Context, closed <-chan struct{}) bool {
	if l.TryRLock() {
		return true
	}
	locked := make(chan struct{})
	go func() {
		l.RLock()
		select {
		case locked <- struct{}{}:
			return
		case <-ctx.Done():
		case <-closed:
		}
		l.RUnlock()
	}()
	select {
	case <-locked:
		return true
	case <-ctx.Done():
	case <-closed:
	}
	return false
}
