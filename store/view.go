package store

import (
	"context"
	"fmt"
)

// View calls read while no update is applied, so that it can read the
// machine's state; several calls of View run at once. It returns what read
// returns. What read sees may not be durable yet; see ViewDurable. View works on a
// store that has failed, and on a closed one.
//
// Updates wait while read runs: it should take what it needs and return. read must
// not keep references to what Apply changes, nor make updates: what would have to
// wait for itself returns ErrReentrant.
func (s *Store) View(read func() error) error {
	if err := s.lockReading(context.Background()); err != nil {
		return err
	}
	defer s.state.RUnlock()
	return s.call(inView, viewCall(read))
}

// ViewDurable is View, and what read sees is durable: a crash can't take back what is told
// of it. It waits for the commit of what was applied before it calls read. Updates wait
// meanwhile, and so do calls of View that come after one that waits. The errors are also
// ErrFailed, ErrClosed if the store is closed before the commit, and that of ctx.
func (s *Store) ViewDurable(ctx context.Context, read func() error) error {
	if err := s.lockReading(ctx); err != nil {
		return err
	}
	defer s.state.RUnlock()
	// No more is applied meanwhile. Close waits for what is being applied, and that for
	// this, so this does not wait for Close.
	if err := s.sync(ctx, true); err != nil {
		return err
	}
	return s.call(inView, viewCall(read))
}

// lockReading locks state for a reader, which does not wait longer than ctx.
func (s *Store) lockReading(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: view not made: %w", err)
	}
	if s.state.TryRLock() {
		return nil
	}
	if s.within(inApply, inCapture, inView) {
		return errReentrant
	}
	s.watch.arm()
	if ctx.Done() == nil {
		s.state.RLock()
		return nil
	}
	locked := make(chan struct{})
	go func() {
		s.state.RLock()
		select {
		case locked <- struct{}{}:
		case <-ctx.Done():
			s.state.RUnlock() // nobody is there to use it
		}
	}()
	select {
	case <-locked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store: view not made: %w", ctx.Err())
	}
}

// A viewCall is a function passed to View.
type viewCall func() error

func (read viewCall) on(*Store) error { return read() }

// Sync waits until all that was applied before the call is durable, and makes that
// happen now, whatever SyncInterval says. The errors are ErrFailed, ErrReentrant
// and that of ctx.
func (s *Store) Sync(ctx context.Context) error { return s.sync(ctx, false) }

// sync is Sync. With open, a store that is being closed is an error.
func (s *Store) sync(ctx context.Context, open bool) error {
	index := s.index.Load()
	for waited := false; ; waited = true {
		s.mu.Lock()
		err := s.failureLocked()
		if open && err == nil {
			err = s.err
		}
		done := s.durable >= index
		changed := s.changedLocked(!done && err == nil)
		s.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return err
		case !waited && s.within(inApply, inCapture):
			return errReentrant
		}
		s.Flush()
		s.watch.arm()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("store: waiting for update %d to become durable: %w", index, ctx.Err())
		}
	}
}

// WaitIndex waits until update index is durable; one that is not made yet is waited for.
// It makes a commit happen now, whatever SyncInterval says, if the update is applied. The
// errors are ErrClosed and ErrFailed, when the update will not come; ErrReentrant; and that
// of ctx.
func (s *Store) WaitIndex(ctx context.Context, index uint64) error {
	for waited := false; ; waited = true {
		durable, changed, err := s.progress(index)
		switch {
		case durable >= index:
			return nil
		case err != nil:
			return fmt.Errorf("store: waiting for update %d: %w", index, err)
		case !waited && s.within(inApply, inCapture, inView):
			return errReentrant
		}
		s.Flush()
		s.watch.arm()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("store: waiting for update %d to become durable: %w", index, ctx.Err())
		}
	}
}

// Flush begins the commit of what was applied before the call now, whatever
// SyncInterval says, and does not wait for it.
func (s *Store) Flush() {
	s.mu.Lock()
	pending := s.index.Load() > s.durable // some may be on its way from Apply to the batch
	s.mu.Unlock()
	if pending {
		signalTo(s.urgent)
		signalTo(s.commitWake)
	}
}
