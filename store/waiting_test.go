package store

// Waiting returns how many updates wait to be applied.
func (s *Store) Waiting() int { return s.queue.waits() }
