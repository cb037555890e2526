package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// cacheBytes is how much of the end of the log is kept in memory, for followers; more, if
// that is less than the largest entries that are on their way. Raft reads the last entry
// again with every call to a follower.
const cacheBytes = 16 << 20

// A logStore is the log and the few values that raft keeps on the disk, with four
// additions: it knows how long the disk has not answered, it has the latest entries in
// memory, and it goes on after errors that raft-wal does not get over, nor raft.
type logStore struct {
	walFile
	before func() error // each write; nil: nothing
	most   int          // bytes in cache
	held   *heldLog     // looked at after each write; nil: nothing is
	lost   func(error)  // is told that files are not where they were
	unread func(error)  // is told that an entry can't be read; nil: nobody is
	quit   <-chan struct{}

	busyMu sync.Mutex
	busy   []*write // those that are under way; guarded by busyMu

	mu    sync.Mutex
	cache map[uint64]*raft.Log // entries low to high-1
	low   uint64
	high  uint64
	bytes int
	end   logEnd
	bad   badEntry

	// The last members that were written since the log was opened, unless they were deleted.
	confIndex uint64
	conf      raft.Configuration

	// The snapshot of another node that was restored, until raft drops the log for it.
	installed, installedTerm uint64
}

// newLogStore opens the log. Open opens it anew each time.
func newLogStore(open func() (*wal.WAL, error), log *slog.Logger, before func() error) (*logStore, error) {
	w, err := open()
	if err != nil {
		return nil, err
	}
	last, err := w.LastIndex()
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return &logStore{
		walFile: walFile{open: open, log: log, wal: w, stop: make(chan struct{}), isLost: func() bool { return false }},
		before:  before, most: cacheBytes, cache: map[uint64]*raft.Log{}, end: logEnd{last: last},
	}, nil
}

// A write is one that is under way.
type write struct {
	began time.Time
	extra time.Duration // that it may take because it is large
}

// slowDisk is what a disk writes in a second at least, if it answers.
const slowDisk = 8 << 20

// writeTime returns how long so many bytes take on a slow disk.
func writeTime(size int) time.Duration { return time.Duration(size) * time.Second / slowDisk }

// stuck returns how long the disk has not answered.
func (s *logStore) stuck() (longest time.Duration) {
	s.busyMu.Lock()
	defer s.busyMu.Unlock()
	for _, w := range s.busy {
		longest = max(longest, time.Since(w.began)-w.extra)
	}
	return longest
}

// timed does what writes so many bytes. Several goroutines of raft may.
func (s *logStore) timed(size int, do func() error) error {
	w := &write{time.Now(), writeTime(size)}
	s.busyMu.Lock()
	s.busy = append(s.busy, w)
	s.busyMu.Unlock()
	defer func() {
		s.busyMu.Lock()
		defer s.busyMu.Unlock()
		i := slices.Index(s.busy, w)
		s.busy = slices.Delete(s.busy, i, i+1)
	}()
	return do()
}

// change does what writes so many bytes to the log.
func (s *logStore) change(what written, size int, write func() error) error {
	return s.timed(size, func() (err error) {
		defer func() {
			if err != nil {
				s.refusal.refused(s.log, what, err)
			} else {
				s.refusal.wrote(s.log, what)
			}
		}()
		if s.before != nil {
			if err := s.before(); err != nil {
				return err
			}
		}
		if err := write(); err != nil {
			return err
		}
		return s.verify()
	})
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	size := 0
	for _, l := range logs {
		size += len(l.Data)
	}
	err := s.change(inEntries, size, func() (err error) {
		if logs, err = s.fit(logs); err != nil {
			return err
		}
		return s.walFile.StoreLogs(withSums(logs))
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installed = 0
	s.end.stored(logs[len(logs)-1].Index)
	s.bad.deleted(logs[0].Index, math.MaxUint64)
	for _, l := range logs {
		if l.Index != s.high {
			s.clearLocked(l.Index)
		}
		if l.Type == raft.LogConfiguration {
			s.confIndex, s.conf = l.Index, raft.DecodeConfiguration(l.Data)
		}
		c := *l
		s.cache[c.Index] = &c
		s.high++
		s.bytes += len(c.Data)
	}
	for s.bytes > s.most {
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
	known, err := s.known(index, l)
	if known || err != nil {
		return err
	}
	if err := s.walFile.GetLog(index, l); errors.Is(err, raft.ErrLogNotFound) && s.isCovered(index, l) {
		return nil
	} else if err != nil {
		return s.noteRead(index, err)
	}
	return s.noteRead(index, checkSum(index, l))
}

// members implements entryLog.
func (s *logStore) members() (uint64, raft.Configuration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confIndex, s.conf
}

// has reports whether the log has an entry of a term.
func (s *logStore) has(index, term uint64) bool {
	var l raft.Log
	return s.GetLog(index, &l) == nil && l.Term == term
}

// known reports whether an entry is known without a look at the disk.
func (s *logStore) known(index uint64, l *raft.Log) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.end.entry(index)
	if c == nil {
		c = s.cache[index]
	}
	if c != nil {
		*l = *c
	} else if index > s.end.last {
		return false, raft.ErrLogNotFound
	}
	return c != nil, nil
}

// bounds returns the first and the last entry on the disk; 0 if there is none.
func (s *logStore) bounds() (first, last uint64, err error) {
	if first, err = s.FirstIndex(); err == nil {
		last, err = s.LastIndex()
	}
	return first, last, err
}

// keepAcknowledged returns up to where the log is to be deleted of which raft deletes
// all, because it has installed a snapshot, up to an entry of a term. Raft does not look whether
// the log goes on after the snapshot: this node may have acknowledged those entries, raft believes
// that they are there, and panics when they are committed.
func (s *logStore) keepAcknowledged(from, to, index, term uint64) uint64 {
	switch {
	case to <= index:
		return to
	case from == index+1: // then this went on after such a snapshot before
		return index
	case from > index || !s.has(index, term):
		s.diverged(index, term)
		return to
	}
	return index
}

// takeInstalled returns the snapshot of another node that was restored, once; or 0.
func (s *logStore) takeInstalled() (index, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	index, s.installed = s.installed, 0
	return index, s.installedTerm
}

// DeleteRange implements raft.LogStore.
func (s *logStore) DeleteRange(from, to uint64) error {
	first, last, err := s.bounds()
	if err != nil {
		return err
	}
	var index, term uint64
	if from == first && to == last {
		index, term = s.takeInstalled()
	}
	switch {
	case index > 0:
		if to = s.keepAcknowledged(from, to, index, term); to < from {
			return nil
		}
	case s.isEnd(from, to):
		s.remember(from)
		to = max(to, last)
	}
	s.mu.Lock()
	if to >= s.confIndex && s.confIndex >= from {
		s.confIndex = 0
	}
	if from < s.high && to >= s.low {
		s.clearLocked(s.high)
	}
	s.mu.Unlock()
	err = s.change(inDeletions, 0, func() error { return s.walFile.DeleteRange(from, to) })
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bad.deleted(from, to)
	}
	return err
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
// without this node meanwhile. A log that was closed ends it: Shutdown of raft does not
// wait for a heartbeat that is being handled, and no connection is open to answer it.
func (s *logStore) persist(write func() error) error {
	return s.timed(0, func() error {
		for delay := 10 * time.Millisecond; ; delay = min(2*delay, time.Second) {
			var err error
			if s.before != nil {
				err = s.before()
			}
			if err == nil {
				err = write()
			}
			if lost := s.verify(); err == nil || errors.Is(lost, errLost) {
				err = lost
			}
			if err == nil {
				s.refusal.wrote(s.log, inVotes)
				return nil
			}
			if errors.Is(err, errLost) {
				<-s.quit // nobody hears of it: this node is cut off
				return nil
			}
			select {
			case <-s.stop:
				return nil
			default:
			}
			s.refusal.refused(s.log, inVotes, fmt.Errorf("writing a term or a vote: %w", err))
			select {
			case <-s.stop:
			case <-time.After(delay):
			}
		}
	})
}

// watchDisk cuts this node off from the others while its disk does not answer, so
// that they elect another leader.
func (n *Node) watchDisk() {
	for n.pause(min(n.opts.StallTimeout, n.opts.Heartbeat) / 4) {
		if n.failedErr() != nil {
			return
		}
		stalled := n.logs.stuck() >= n.opts.StallTimeout
		if n.stalled.Swap(stalled) == stalled {
			continue
		}
		n.mux.cut(stalled)
		if n.failedErr() != nil { // meanwhile
			n.stalled.Store(true)
			n.mux.cut(true)
			return
		}
		if stalled {
			n.log.Error("cluster: the disk does not answer; this node is off until it does", "node", n.opts.ID, "dir", n.dir, "since", n.logs.stuck(), "error", n.logs.refusal.err())
		} else {
			n.log.Warn("cluster: the disk answers again", "node", n.opts.ID, "dir", n.dir)
		}
	}
}
