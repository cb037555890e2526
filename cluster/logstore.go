package cluster

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// cacheBytes is how much of the end of the log is kept in memory, for followers.
const cacheBytes = 16 << 20

// A logStore is the log and the few values that raft keeps on the disk, with three
// additions: it knows how long the disk has not answered, it has the latest entries in
// memory, and it goes on after errors that raft-wal does not get over.
type logStore struct {
	walFile
	before func() error // each write; nil: nothing

	busyMu sync.Mutex
	busy   []time.Time // when the writes that are under way began; guarded by busyMu

	mu    sync.Mutex
	cache map[uint64]*raft.Log // entries low to high-1
	low   uint64
	high  uint64
	bytes int

	// The snapshot of another node that was restored, until raft drops the log for it.
	installed, installedTerm uint64
}

// newLogStore opens the log. Open opens it anew each time.
func newLogStore(open func() (*wal.WAL, error), log *slog.Logger, before func() error) (*logStore, error) {
	w, err := open()
	if err != nil {
		return nil, err
	}
	return &logStore{
		walFile: walFile{open: open, log: log, wal: w, stop: make(chan struct{})},
		before:  before, cache: map[uint64]*raft.Log{},
	}, nil
}

// stuck returns how long the disk has not answered.
func (s *logStore) stuck() time.Duration {
	s.busyMu.Lock()
	defer s.busyMu.Unlock()
	if len(s.busy) == 0 {
		return 0
	}
	return time.Since(s.busy[0])
}

// timed does what writes. Several goroutines of raft may.
func (s *logStore) timed(write func() error) error {
	s.busyMu.Lock()
	began := time.Now()
	s.busy = append(s.busy, began)
	s.busyMu.Unlock()
	defer func() {
		s.busyMu.Lock()
		defer s.busyMu.Unlock()
		i := slices.Index(s.busy, began)
		s.busy = slices.Delete(s.busy, i, i+1)
	}()
	return write()
}

// change does what writes to the log.
func (s *logStore) change(write func() error) error {
	return s.timed(func() error {
		if s.before != nil {
			if err := s.before(); err != nil {
				return err
			}
		}
		return write()
	})
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if err := s.change(func() error { return s.walFile.StoreLogs(withSums(logs)) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installed = 0
	for _, l := range logs {
		if l.Index != s.high {
			s.clearLocked(l.Index)
		}
		c := *l
		s.cache[c.Index] = &c
		s.high++
		s.bytes += len(c.Data)
	}
	for s.bytes > cacheBytes {
		s.bytes -= len(s.cache[s.low].Data)
		delete(s.cache, s.low)
		s.low++
	}
	return nil
}

func (s *logStore) clearLocked(next uint64) {
	clear(s.cache)
	s.low, s.high, s.bytes = next, next, 0
}

// GetLog implements raft.LogStore.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	s.mu.Lock()
	c := s.cache[index]
	s.mu.Unlock()
	if c != nil {
		*l = *c
		return nil
	}
	if err := s.walFile.GetLog(index, l); err != nil {
		return err
	}
	return checkSum(index, l)
}

// restored says that a snapshot of another node was restored, up to an entry of a term.
func (s *logStore) restored(index, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installed, s.installedTerm = index, term
}

// keepAcknowledged returns up to where the log is to be deleted of which raft deletes
// all, because it has installed a snapshot. Raft does not look whether the log goes on
// after the snapshot: this node may have acknowledged those entries, raft believes
// that they are there, and panics when they are committed.
func (s *logStore) keepAcknowledged(from, to uint64) uint64 {
	s.mu.Lock()
	index, term := s.installed, s.installedTerm
	s.installed = 0
	s.mu.Unlock()
	var l raft.Log
	switch {
	case index == 0 || to <= index:
		return to
	case from == index+1: // then this went on after such a snapshot before
		return index
	case from > index || s.GetLog(index, &l) != nil || l.Term != term:
		return to
	}
	return index
}

// DeleteRange implements raft.LogStore.
func (s *logStore) DeleteRange(from, to uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if from == first && to == last {
		if to = s.keepAcknowledged(from, to); to < from {
			return nil
		}
	}
	s.mu.Lock()
	if from < s.high && to >= s.low {
		s.clearLocked(s.high)
	}
	s.mu.Unlock()
	return s.change(func() error { return s.walFile.DeleteRange(from, to) })
}

// Set implements raft.StableStore.
func (s *logStore) Set(key, val []byte) error {
	return s.persist(func() error { return s.walFile.Set(key, val) })
}

// SetUint64 implements raft.StableStore.
func (s *logStore) SetUint64(key []byte, val uint64) error {
	return s.persist(func() error { return s.walFile.SetUint64(key, val) })
}

// persist does what writes a term or a vote, until that succeeds: raft panics when it
// does not. A disk that refuses counts as one that does not answer, so the others do
// without this node meanwhile.
func (s *logStore) persist(write func() error) error {
	return s.timed(func() error {
		for delay := 10 * time.Millisecond; ; delay = min(2*delay, time.Second) {
			var err error
			if s.before != nil {
				err = s.before()
			}
			if err == nil {
				err = write()
			}
			if err == nil {
				return nil
			}
			s.log.Error("cluster: a term or a vote can't be written; this node waits until it can", "err", err)
			<-time.After(delay)
		}
	})
}

// watchDisk cuts this node off from the others while its disk does not answer, so
// that they elect another leader.
func (n *Node) watchDisk() {
	for n.pause(min(n.opts.StallTimeout, n.opts.Heartbeat) / 4) {
		stalled := n.logs.stuck() >= n.opts.StallTimeout
		if n.stalled.Swap(stalled) == stalled {
			continue
		}
		n.mux.cut(stalled)
		if stalled {
			n.log.Error("cluster: the disk does not answer; this node is off until it does", "node", n.opts.ID, "dir", n.dir, "since", n.logs.stuck())
		} else {
			n.log.Warn("cluster: the disk answers again", "node", n.opts.ID, "dir", n.dir)
		}
	}
}
