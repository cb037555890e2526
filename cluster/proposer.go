package cluster

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// entriesInFlight is how many raft entries are on their way at a time. With two,
// one is written while the next one fills.
const entriesInFlight = 2

// A proposer makes raft entries of the groups that nodes have sent to the leader.
// Groups that come while entries are on their way go into the next one together.
type proposer struct {
	raft  *raft.Raft
	now   func() int64  // time of the next entry
	first func() []byte // groups that each entry begins with

	mu       sync.Mutex
	waiting  []proposal
	inFlight int
	held     bool // make no entries for now
	closed   bool
	idle     chan struct{} // closed when nothing is in flight; nil: nobody waits for that
}

// A proposal is some groups, and whom to tell whether they are in the log.
type proposal struct {
	groups []byte
	done   func(error)
}

// add adds groups to an entry, and calls done when that is in the log for good and
// applied by the leader; or with an error: then what became of it is not known.
func (p *proposer) add(groups []byte, done func(error)) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		done(raft.ErrRaftShutdown)
		return
	}
	p.waiting = append(p.waiting, proposal{groups, done})
	p.mu.Unlock()
	p.pump()
}

// nudge makes an entry if nothing is on its way, so that followers learn at once
// what is committed: raft tells them with the next entry, or after a while.
func (p *proposer) nudge() {
	p.mu.Lock()
	if p.closed || p.held || p.inFlight > 0 || len(p.waiting) > 0 {
		p.mu.Unlock()
		return
	}
	p.waiting = append(p.waiting, proposal{nil, func(error) {}})
	p.mu.Unlock()
	p.pump()
}

// pump makes entries as long as some may be made. Raft takes each at once, since it
// has a buffer for more than are ever in flight.
func (p *proposer) pump() {
	for {
		batch := p.take()
		if batch == nil {
			return
		}
		size := entryHeaderSize
		for _, q := range batch {
			size += len(q.groups)
		}
		first := p.first()
		entry := append(appendEntryHeader(make([]byte, 0, size+len(first)), p.now()), first...)
		for _, q := range batch {
			entry = append(entry, q.groups...)
		}
		go p.settle(p.raft.Apply(entry, 0), batch)
	}
}

// take takes what goes into the next entry, if one may be made.
func (p *proposer) take() (batch []proposal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held || p.inFlight == entriesInFlight || len(p.waiting) == 0 {
		return nil
	}
	n, size := 0, 0
	for n < len(p.waiting) && (n == 0 || size+len(p.waiting[n].groups) <= maxEntryBytes) {
		size += len(p.waiting[n].groups)
		n++
	}
	batch = p.waiting[:n:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	p.inFlight++
	return batch
}

const maxEntryBytes = 1 << 20

// settle waits for an entry. Raft does not always answer when it is shut down (its
// issue 498), so nothing else waits for this.
func (p *proposer) settle(f raft.ApplyFuture, batch []proposal) {
	err := f.Error()
	p.mu.Lock()
	p.inFlight--
	if p.idle != nil && p.inFlight == 0 {
		close(p.idle)
		p.idle = nil
	}
	p.mu.Unlock()
	// Raft has applied the entry. The goroutine that applied it wakes up callers, and
	// they make their next updates: both run first, so that these are in the next
	// entry, which is one disk write less for each.
	runtime.Gosched()
	runtime.Gosched()
	p.pump()
	for _, q := range batch {
		q.done(err)
	}
}

// hold lets no more entries be made until release, and waits until none is in
// flight, but not longer than ctx, nor most.
func (p *proposer) hold(ctx context.Context, most time.Duration) {
	p.mu.Lock()
	p.held = true
	if p.idle == nil && p.inFlight > 0 {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	if idle == nil {
		return
	}
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	select {
	case <-idle:
	case <-ctx.Done():
	case <-timeout.C:
	}
}

// release ends hold.
func (p *proposer) release() {
	p.mu.Lock()
	p.held = false
	p.mu.Unlock()
	p.pump()
}

// close refuses what waits and what comes, and waits until nothing is in flight,
// but not longer than most.
func (p *proposer) close(most time.Duration) {
	p.mu.Lock()
	p.closed = true
	refused := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	for _, q := range refused {
		q.done(raft.ErrRaftShutdown)
	}
	p.hold(context.Background(), most)
}
