package durable

import (
	"context"
	"fmt"
)

// A turn is a mutex that can be given up, and let go of by another goroutine than the
// one that took it.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn, not longer than ctx.
func (t turn) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("durable: change not made: %w", err)
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("durable: change not made, since another one was on its way: %w", ctx.Err())
	}
}

// give lets the next one have it.
func (t turn) give() { <-t }
