package store

import (
	"context"
	"io"
	"iter"
)

// A Keeper keeps the state of a [Machine]: on one computer, as a *Store does, of [Open] or
// [OpenMemory], or on several, as the Node of package cluster does. A program that holds a
// Keeper takes any of them, and changes the line that opens it. Its methods may be called
// from any number of goroutines at once, but not from within the machine.
type Keeper interface {
	// Update makes an update, and returns when it is durable. An error that is ErrUnknown
	// leaves open whether it was made; with all others it was not, and will not be.
	Update(ctx context.Context, update []byte) (result any, err error)
	// Sync waits until all that was acknowledged is durable, and seen by readers of this
	// Keeper: on a cluster, what any node has acknowledged.
	Sync(ctx context.Context) error
	// ViewLocal calls read while no update is applied to the state that this Keeper has. A
	// node of a cluster may lack what other nodes have acknowledged, unless Sync is called
	// before.
	ViewLocal(read func() error) error
	// Index returns the number of updates applied since the beginning of time.
	Index() uint64
	// WaitIndex waits until update index is durable, and seen by readers of this Keeper.
	WaitIndex(ctx context.Context, index uint64) error
	// Updates returns the updates from index from on that are kept, in order, and then
	// those that come, until ctx ends. The error is ErrNotRetained for those that are not
	// kept any more.
	Updates(ctx context.Context, from uint64) iter.Seq2[Update, error]
	// Snapshot makes a snapshot of the state as it is now.
	Snapshot(ctx context.Context) error
	// Backup writes the state as it is now as one state file.
	Backup(ctx context.Context, w io.Writer) (index uint64, err error)
	// Close waits for what is pending and closes.
	Close() error
	// CloseContext is Close for a caller that does not wait longer than ctx.
	CloseContext(ctx context.Context) error
}

var _ Keeper = (*Store)(nil)

// ViewLocal is [Store.View]: the state of a store is here. It makes a Store a [Keeper].
func (s *Store) ViewLocal(read func() error) error { return s.View(read) }
