package view

import "context"

// turns limit how many requests do something at the same time: as many as fit. Nil turns
// limit nothing.
type turns chan struct{}

// take waits for a turn, until ctx ends, whose error it then returns. Without an error, give
// must be called in the end.
func (t turns) take(ctx context.Context) error {
	if t == nil {
		return nil
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// give gives a turn back.
func (t turns) give() {
	if t != nil {
		<-t
	}
}
