package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/types"
)

// A leader that can't read an entry of its log can't send it, and raft tries that over and over:
// a follower that needs it never gets further. So it is said, and another node leads.

// A badEntry is an entry of the log that can't be read.
type badEntry struct {
	index uint64
	err   error // nil: all can, as far as is known
}

// deleted notes that the entries from number from to number to are not there any more.
func (b *badEntry) deleted(from, to uint64) {
	if from <= b.index && b.index <= to {
		*b = badEntry{}
	}
}

// noteRead notes whether an entry could be read, and returns err.
func (s *logStore) noteRead(index uint64, err error) error {
	if errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, wal.ErrClosed) {
		return err
	}
	s.mu.Lock()
	if err != nil {
		s.bad = badEntry{index, err}
	} else if index == s.bad.index {
		s.bad = badEntry{}
	}
	s.mu.Unlock()
	if err != nil && s.unread != nil {
		s.unread((&badEntry{index, err}).asErr())
	}
	return err
}

// asErr says what can't be read, and what to do.
func (b *badEntry) asErr() error {
	if b.err == nil {
		return nil
	}
	err := fmt.Errorf("cluster: entry %d of the log can't be read: %w", b.index, b.err)
	if errors.Is(b.err, errDamaged) || errors.Is(b.err, types.ErrCorrupt) {
		err = damagedErr(err)
	}
	return advised(err, toRejoin)
}

// badErr returns an error if an entry can't be read.
func (s *logStore) badErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad.asErr()
}

// watchLog has another node lead while this one can't read its log, or read or restore a snapshot, and says
// why.
func (n *Node) watchLog() {
	for said := (reminder{}); ; {
		select {
		case err := <-n.unread:
			if said.due(time.Now(), err.Error()) {
				n.log.Error("cluster: the log or a snapshot of this node can't be read or restored; another node leads, if one can", "node", n.opts.ID, "dir", n.dir, "error", err)
			}
		case <-n.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(n.ctx, 2*n.opts.Heartbeat)
		_ = n.transfer(ctx) // if this node leads; or it is tried again, when that is read again
		cancel()
		if !n.pause(n.opts.Heartbeat) {
			return
		}
	}
}

// cantRead lets watchLog know of an error. It does not wait.
func (n *Node) cantRead(err error) {
	select {
	case n.unread <- err:
	default:
	}
}
