package store

import "context"

// View calls read while no update is applied, so that it can read the
// machine's state; several calls of View run at once. It returns what read
// returns. What read sees may not be durable yet; see Sync. View works on a
// store that has failed, and on a closed one.
//
// read must not keep references to what Apply changes, nor call methods of the
// store: an Update, View or Sync within is reported as ErrReentrant, where it
// would have to wait.
func (s *Store) View(read func() error) error {
	if err := s.rlockState(); err != nil {
		return err
	}
	defer s.state.RUnlock()
	return s.read(read)
}

func (s *Store) read(read func() error) error {
	s.user.Add(1)
	defer s.user.Add(-1)
	return read()
}

// Sync waits until all that was applied before the call is durable. The errors
// are ErrFailed, ErrReentrant and that of ctx.
func (s *Store) Sync(ctx context.Context) error {
	s.mu.Lock()
	p := place{index: s.index}
	switch {
	case s.durable == s.index:
		s.mu.Unlock()
		return nil
	case s.failure() != nil:
		defer s.mu.Unlock()
		return s.failure()
	case s.fill.updates > 0:
		p.done = s.fill.wait()
		s.rouse()
	default:
		p.done = s.flight.wait()
	}
	s.mu.Unlock()
	return s.wait(ctx, p)
}
