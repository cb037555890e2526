package cluster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// A logEnd is the end of the log as raft has it in mind, which is not always that on the disk:
//
//   - After an error of StoreLogs raft believes that no entry was stored. Some may be there.
//   - Raft deletes the end of the log when a leader has other entries, and believes until it has
//     stored those that nothing was deleted. It may believe so for long: after an error it does not
//     come back to that, but answers what the entries that are gone let it answer.
//   - After the snapshot of another node raft does not look whether the log was deleted, nor is
//     that done if the node is closed too early. Then the log is to go on after the snapshot, and
//     ends before it.
//   - Once the log goes on after such a snapshot, raft looks for its last entry in the log.
//
// So raft is shown the entries that it believes in, and before others are stored, the disk is
// brought to where raft goes on.
type logEnd struct {
	last        uint64 // entry; 0: there is none
	covered     uint64 // the entry up to which a snapshot was restored
	coveredTerm uint64 // and its term

	// deleted are entries that follow each other up to last. Raft has deleted them, or wanted to.
	// Those of which raft has forgotten something, or that can't be read, are tombstones.
	deleted []*raft.Log

	// base stands for entry covered if the entries before deleted are not those of the snapshot.
	// Index 0: they are.
	base raft.Log
}

// tombstone returns an entry that differs from every leader's: raft stores that in its place.
func tombstone(index uint64) *raft.Log { return &raft.Log{Index: index, Type: tombstoneType} }

// tombstoneType is no type of raft's, which would not apply such an entry.
const tombstoneType = raft.LogType(0xff)

func isTombstone(l *raft.Log) bool { return l.Type == tombstoneType }

// errLacks says that raft believes in an entry that there is not.
var errLacks = errors.New("cluster: an error of the disk has left the log of this node without entries that it was to have: it does not lead until another leader has sent it what follows, or it was opened again")

// entry returns an entry of deleted, or base; nil: it is none of them.
func (e *logEnd) entry(index uint64) *raft.Log {
	if index == e.base.Index && index > 0 {
		return &e.base
	}
	if len(e.deleted) == 0 || index < e.deleted[0].Index || index > e.last {
		return nil
	}
	return e.deleted[index-e.deleted[0].Index]
}

// until returns the entries of deleted before next.
func (e *logEnd) until(next uint64) []*raft.Log {
	n := 0
	for n < len(e.deleted) && e.deleted[n].Index < next {
		n++
	}
	return e.deleted[:n:n]
}

// covers notes that a snapshot has the entries up to one of a term.
func (s *logStore) covers(index, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index > s.end.covered {
		s.end.covered, s.end.coveredTerm = index, term
	}
}

// isCovered reports whether an entry that the log does not have is the last one of a snapshot, and the
// log is empty, or begins right after it. Then it sets l to what stands for the entry. Without that raft
// would take no other entries in place of those after the snapshot. Entry 1 is none of those: a leader
// looks for no entry before it, and would send it. And what follows it after an import is committed.
func (s *logStore) isCovered(index uint64, l *raft.Log) bool {
	s.mu.Lock()
	covered, term := s.end.covered, s.end.coveredTerm
	s.mu.Unlock()
	first, err := s.FirstIndex()
	if err != nil || index != covered || index == 1 || first > 0 && first != index+1 {
		return false
	}
	*l = raft.Log{Index: index, Term: term, Type: tombstoneType}
	return true
}

// restored says that a snapshot of another node was restored, up to an entry of a term.
func (s *logStore) restored(index, term uint64) {
	s.covers(index, term)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installed, s.installedTerm = index, term
	e := &s.end
	e.base = raft.Log{}
	if l := e.entry(index); l != nil && l.Term != term {
		e.base = raft.Log{Index: index, Term: term, Type: tombstoneType}
	}
	e.deleted = e.deleted[len(e.until(index+1)):]
}

// isEnd reports whether entries are the end of the log as raft has it in mind.
func (s *logStore) isEnd(from, to uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return from <= s.end.last && to >= s.end.last
}

// remember keeps the entries from number from on, which are deleted next. They are few: no leader
// has more than two entries of updates under way, and what is committed is not deleted. When raft
// deletes a change of members, it goes back to the members before that: it has to be told of the
// change as of a new one.
func (s *logStore) remember(from uint64) {
	s.mu.Lock()
	last, kept := s.end.last, s.end.until(from)
	s.mu.Unlock()
	whole := true
	for i := from; i <= last; i++ {
		l := new(raft.Log)
		if err := s.GetLog(i, l); err != nil || l.Type == raft.LogConfiguration {
			whole = false
		}
		if !whole {
			l = tombstone(i)
		}
		kept = append(kept, l)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end.deleted = kept
}

// diverged says that the log is not that of a snapshot, up to an entry of a term, which was
// restored. Raft still has the last entry in mind, and believes in those after the snapshot.
func (s *logStore) diverged(index, term uint64) {
	s.remember(index + 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end.base = raft.Log{Index: index, Term: term, Type: tombstoneType}
}

// lacks implements entryLog.
func (s *logStore) lacks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.end.deleted, isTombstone)
}

// writeErr returns an error if the log can't be written, as far as is known. It says so if that has left
// the log without entries: then it can be the last error, long after the disk was well again.
func (s *logStore) writeErr() error {
	err := s.refusal.err()
	if err != nil && s.lacks() {
		return fmt.Errorf("%w (%w)", err, errLacks)
	}
	return err
}

// fit brings the disk to where raft goes on with logs. It returns what is to be stored, which
// begins with the entries before them that the disk has lost.
func (s *logStore) fit(logs []*raft.Log) ([]*raft.Log, error) {
	last, err := s.LastIndex()
	if err != nil {
		return nil, err
	}
	next := logs[0].Index
	s.mu.Lock()
	e := s.end
	s.mu.Unlock()
	if last == next-1 && last == e.last && e.base.Index == 0 && len(e.deleted) == 0 {
		return logs, nil
	}
	// While files can't be looked at, nothing counts as stored, and this is tried over and over.
	if err := s.verify(); err != nil {
		return nil, err
	}
	first, err := s.FirstIndex()
	if err != nil {
		return nil, err
	}
	keep := e.keeps(first, last, next)
	missing, err := e.missing(keep, last, next)
	if err != nil {
		return nil, err
	}
	if last > keep {
		if err := s.walFile.DeleteRange(max(keep+1, first), last); err != nil {
			return nil, err
		}
	}
	return append(missing, logs...), nil
}

// keeps returns up to which entry the disk, which has the entries first to last, is as raft has
// it in mind, which goes on with entry next; 0: none of its entries is needed.
func (e *logEnd) keeps(first, last, next uint64) uint64 {
	keep := min(last, next-1, e.last)
	if len(e.deleted) > 0 {
		keep = min(keep, e.deleted[0].Index-1) // it may have others, whose storing was called a failure
	}
	if e.base.Index > 0 || keep < min(next-1, e.covered) || keep < first {
		return 0
	}
	return keep
}

// missing returns the entries after keep, of those up to last on the disk, that have to be stored
// before entry next.
func (e *logEnd) missing(keep, last, next uint64) (list []*raft.Log, err error) {
	if last == 0 && next > e.last+1 {
		return nil, nil // raft goes by a snapshot, and there is nothing to lose
	}
	from := keep + 1
	if keep == 0 {
		from = e.covered + 1
		if len(e.deleted) > 0 {
			from = max(from, e.deleted[0].Index)
		}
	}
	for i := from; i < next; i++ {
		l := e.entry(i)
		if l == nil || isTombstone(l) {
			return nil, fmt.Errorf("cluster: the log has lost entry %d, and can't go on with entry %d", i, next)
		}
		list = append(list, l)
	}
	return list, nil
}

// stored notes that raft has stored entries up to last.
func (e *logEnd) stored(last uint64) {
	e.last, e.deleted, e.base = last, nil, raft.Log{}
}
