package store

// Waiting returns how many updates wait to be applied.
func (s *Store) Waiting() int { return s.queue.waits() }

// HoldApply keeps what is queued from being applied, until the function that it returns is
// called: that wakes nobody.
func (s *Store) HoldApply() (release func()) {
	s.apply.Lock()
	return s.apply.Unlock
}
