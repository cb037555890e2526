package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stateio/stateio/store"
)

const (
	maxGroupBytes   = 512 << 10 // of updates that are sent together
	maxGroupUpdates = 4096
	groupsInFlight  = 2 // that a node has on their way to the log
	// window is how far the numbers of updates may be apart that are waited for. It
	// is less than maxWindow, which is what all versions of this package agree on.
	window = 1 << 17

	firstRetry = time.Millisecond
	lastRetry  = 50 * time.Millisecond
)

// A waiter is an update of this node that is waited for.
type waiter struct {
	seq     uint64
	rec     []byte // the update, encoded
	sent    int    // how often it was sent to a leader; guarded by the outbox, as are the next two
	session uint64 // in which it was sent last
	queued  bool
	done    chan struct{} // closed when the fields below are set

	index  uint64
	result any
	err    error
}

// An outbox holds the updates of this node from the call of Update until the
// machine of this node has applied them. They go to the leader in groups, and each
// again, under the same number, if it is not known what became of it.
//
// They are sent in a session, which the log begins, and forgets one day:
//
//   - none: session is 0. The next parcel asks for one, under a nonce.
//   - asked for: opening is set, until the entry with the nonce is applied here (began), or a
//     snapshot has the nonce in its table (restored). If the parcel fails, or a snapshot does
//     not have the nonce, another one is asked for, under another nonce. What becomes of the
//     first is nothing to this node then: the log has a session too many.
//   - open: session is its number.
//   - forgotten: an entry was not applied since the session is unknown (lostLocked), or it is
//     not in the table of a snapshot (restored). There is none again.
//
// An update that was sent is applied or not, and an entry that this node applies says which. So
// whatever is sent was sent in the session that is open, or in one that an entry has shown to be
// forgotten; only a snapshot, which stands for entries that this node does not see, leaves in
// doubt what was sent in a session that its table does not have.
type outbox struct {
	maxPending int

	mu      sync.Mutex
	queue   []*waiter // to be sent, and some that nobody waits for any more
	open    map[uint64]*waiter
	next    uint64  // number of the next update
	low     uint64  // lowest number in open, or next
	bytes   int     // in open
	turns   []*turn // those that wait for room, in the order in which they get it
	session uint64  // number of this node's session; 0: it has none
	nonce   [nonceSize]byte
	opening bool // a session was asked for
	flying  map[*parcel]struct{}
	fails   int           // sendings that failed since the last that did not
	paused  bool          // after a failure
	ended   error         // with which further updates are refused; nil: they are taken
	empty   chan struct{} // closed when none is in open; nil: nobody waits for that
	resume  *time.Timer
	retries uint64 // sendings of an update after the first

	// send sends a group to the leader and calls settle once, or not at all if the
	// leader is changed meanwhile. It is called without mu.
	send func(to *leader, p *parcel)
	lead func() *leader // that is known now; nil: none
}

// A parcel is a group on its way. Without waiters it begins a session.
type parcel struct {
	to      *leader
	body    []byte
	waiters []*waiter
	nonce   [nonceSize]byte // of the session that it begins
	since   time.Time
}

func newOutbox(maxPending int, lead func() *leader, send func(*leader, *parcel)) *outbox {
	return &outbox{
		maxPending: maxPending, lead: lead, send: send,
		open: map[uint64]*waiter{}, next: 1, low: 1, flying: map[*parcel]struct{}{},
	}
}

// A turn is a call that waits for room.
type turn struct {
	size int           // of its update
	wake chan struct{} // has an element when there may be room
}

// put takes an update, which the caller may change afterwards. It waits while too
// much is pending. An error says that it was not taken: that of ctx, or that of end.
func (o *outbox) put(ctx context.Context, key *[keySize]byte, update []byte) (*waiter, error) {
	size := updateHeadSize + keySize + len(update)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.enterLocked(ctx, size); err != nil {
		return nil, err
	}
	w := &waiter{done: make(chan struct{}), queued: true}
	w.seq = o.next
	o.next++
	w.rec = appendUpdate(make([]byte, 0, size), encodedUpdate{seq: w.seq, key: key, data: update})
	o.open[w.seq] = w
	o.bytes += len(w.rec)
	o.queue = append(o.queue, w)
	o.freedLocked() // there may be room for the next one, too
	return w, nil
}

// enterLocked waits until there is room for so many bytes, and lets go of mu meanwhile. Whoever
// came before goes first: small updates would take all the room that a large one waits for.
func (o *outbox) enterLocked(ctx context.Context, size int) error {
	var t *turn // nil: it has not waited yet
	for {
		if err := cmp.Or(o.ended, ctx.Err()); err != nil {
			o.leaveLocked(t)
			o.freedLocked()
			return err
		}
		if (len(o.turns) == 0 || o.turns[0] == t) && o.fitsLocked(size) {
			o.leaveLocked(t)
			return nil
		}
		if t == nil {
			t = &turn{size, make(chan struct{}, 1)}
			o.turns = append(o.turns, t)
		}
		o.mu.Unlock()
		select {
		case <-t.wake:
		case <-ctx.Done():
		}
		o.mu.Lock()
	}
}

// fitsLocked reports whether there is room for so many bytes. A single update may be larger.
func (o *outbox) fitsLocked(size int) bool {
	return len(o.open) == 0 || o.bytes+size <= o.maxPending && o.next-o.low < window
}

// leaveLocked ends a turn, if there is one.
func (o *outbox) leaveLocked(t *turn) {
	if i := slices.Index(o.turns, t); i >= 0 {
		o.turns = slices.Delete(o.turns, i, i+1)
	}
}

// dispatch sends what waits, as far as it can be sent now.
func (o *outbox) dispatch() {
	for {
		o.mu.Lock()
		to := o.lead()
		if to == nil || o.ended != nil || o.paused || len(o.flying) >= groupsInFlight {
			o.mu.Unlock()
			return
		}
		p := o.nextLocked()
		if p == nil {
			o.mu.Unlock()
			return
		}
		p.to, p.since = to, time.Now()
		o.flying[p] = struct{}{}
		o.mu.Unlock()
		o.send(to, p)
	}
}

// nextLocked returns what is to be sent next, or nil.
func (o *outbox) nextLocked() *parcel {
	o.skipLocked()
	if len(o.queue) == 0 {
		return nil
	}
	if o.session != 0 {
		return o.packLocked()
	}
	if o.opening {
		return nil
	}
	o.opening = true
	_, _ = rand.Read(o.nonce[:]) // never fails
	return &parcel{body: appendSession(nil, o.nonce), nonce: o.nonce}
}

// skipLocked drops from the queue's head those that nobody waits for.
func (o *outbox) skipLocked() {
	for len(o.queue) > 0 && o.open[o.queue[0].seq] != o.queue[0] {
		o.queue = o.queue[1:]
	}
}

// packLocked makes a group of what is in the queue.
func (o *outbox) packLocked() *parcel {
	size, n := groupHeaderSize, 0
	for _, w := range o.queue {
		if n == maxGroupUpdates || n > 0 && size+len(w.rec) > maxGroupBytes {
			break
		}
		size += len(w.rec)
		n++
	}
	p := &parcel{body: make([]byte, groupHeaderSize, size), waiters: make([]*waiter, 0, n)}
	for _, w := range o.queue[:n] {
		if o.open[w.seq] != w {
			continue
		}
		if w.sent++; w.sent > 1 {
			o.retries++
		}
		w.queued, w.session = false, o.session
		p.body = append(p.body, w.rec...)
		p.waiters = append(p.waiters, w)
	}
	if o.queue = o.queue[n:]; len(o.queue) == 0 {
		o.queue = nil
	}
	putGroupHeader(p.body, o.session, o.low, len(p.waiters))
	return p
}

// settle says what has become of a parcel: nil, and it is in the log for good; or
// an error, and that is not known.
func (o *outbox) settle(p *parcel, err error) {
	o.mu.Lock()
	if _, ok := o.flying[p]; !ok {
		o.mu.Unlock()
		return
	}
	o.settleLocked(p, err)
	o.mu.Unlock()
	o.dispatch()
}

func (o *outbox) settleLocked(p *parcel, err error) {
	delete(o.flying, p)
	if err == nil {
		o.fails = 0
		return
	}
	if p.waiters == nil && p.nonce == o.nonce {
		o.opening = false
	}
	o.requeueLocked(p.waiters)
	if o.ended != nil || o.paused {
		return
	}
	o.paused = true
	o.resume = time.AfterFunc(min(firstRetry<<min(o.fails, 10), lastRetry), o.unpause)
	o.fails++
}

// requeueLocked puts those that are still waited for back to the queue's head.
func (o *outbox) requeueLocked(ws []*waiter) {
	var again []*waiter
	for _, w := range ws {
		if o.open[w.seq] == w && !w.queued {
			w.queued = true
			again = append(again, w)
		}
	}
	if len(again) > 0 {
		o.queue = append(again, o.queue...)
	}
}

// unpause goes on after a failure.
func (o *outbox) unpause() {
	o.mu.Lock()
	o.paused = false
	o.mu.Unlock()
	o.dispatch()
}

var errMoved = errors.New("cluster: there is another leader")

// moved says that the leader has changed. What was on its way to another node is
// sent again: raft does not tell whoever is not the leader.
func (o *outbox) moved(to *leader) {
	o.mu.Lock()
	for p := range o.flying {
		if !p.to.self && !p.to.same(to) {
			o.settleLocked(p, errMoved)
		}
	}
	if o.resume != nil {
		o.resume.Stop()
	}
	o.fails, o.paused = 0, false
	o.mu.Unlock()
	o.dispatch()
}

// late returns the leaders that have not answered since before; a large group has more time.
func (o *outbox) late(before time.Time) (tos []*leader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p := range o.flying {
		if large := writeTime(len(p.body)); !p.to.self && p.since.Add(large).Before(before) {
			tos = append(tos, p.to)
		}
	}
	return tos
}

// deliver tells those that wait what became of their updates.
func (o *outbox) deliver(ds []delivery) {
	if len(ds) == 0 {
		return
	}
	o.mu.Lock()
	again := false
	for _, d := range ds {
		w := o.open[d.seq]
		if w == nil {
			continue
		}
		if d.lost {
			o.lostLocked(w, d.session)
			again = true
			continue
		}
		w.index, w.result, w.err = d.index, d.result, d.err
		o.removeLocked(w)
		close(w.done)
	}
	o.freedLocked()
	o.mu.Unlock()
	if again {
		go o.dispatch() // raft must not be asked for anything by the goroutine that it applies in
	}
}

// lostLocked handles an update that was not applied because this node's session
// was forgotten. If it was sent more than once, it may have been applied before.
func (o *outbox) lostLocked(w *waiter, session uint64) {
	if o.session == session {
		o.session = 0
	}
	if w.sent > 1 {
		w.err = unknown(errors.New("it was tried for longer than the cluster remembers"))
		o.removeLocked(w)
		close(w.done)
		return
	}
	w.sent = 0
	o.requeueLocked([]*waiter{w})
}

// removeLocked removes w from those that are waited for. Whoever removes it sets
// its result and closes done.
func (o *outbox) removeLocked(w *waiter) {
	delete(o.open, w.seq)
	o.bytes -= len(w.rec)
	if len(o.open) == 0 && o.empty != nil {
		close(o.empty)
		o.empty = nil
	}
	for o.low < o.next && o.open[o.low] == nil {
		o.low++
	}
}

// freedLocked wakes those that wait for room, and may have it.
func (o *outbox) freedLocked() {
	for _, t := range o.turns {
		if o.ended == nil && !o.fitsLocked(t.size) {
			return
		}
		select {
		case t.wake <- struct{}{}:
		default:
		}
		if o.ended == nil {
			return // the next one is woken by this one
		}
	}
}

// giveUp ends the wait for w, and reports how often it was sent; or false if its
// result is there.
func (o *outbox) giveUp(w *waiter) (sent int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[w.seq] != w {
		return 0, false
	}
	o.removeLocked(w)
	o.freedLocked()
	return w.sent, true
}

// began reports whether the session that was begun with nonce is this node's.
func (o *outbox) began(nonce [nonceSize]byte, id uint64) bool {
	o.mu.Lock()
	if !o.opening || nonce != o.nonce {
		o.mu.Unlock()
		return false
	}
	o.session, o.opening = id, false
	o.mu.Unlock()
	go o.dispatch()
	return true
}

// restored is told the table of a snapshot that was restored, in place of entries that this node
// does not see. Updates that are in it were applied, and this node does not see with what result.
// Nor does it see what has become of those that were sent in a session which is not in the table:
// they may have been applied before that was forgotten, or be refused because it is, or be yet to
// come. It returns this node's session in the snapshot, 0 if there is none.
func (o *outbox) restored(t *table) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.session, o.opening = 0, false
	for id, s := range t.sessions {
		if s.nonce == o.nonce {
			o.session = id
		}
	}
	s := t.sessions[o.session]
	for _, w := range o.open {
		switch {
		case w.sent == 0:
			continue
		case s == nil || w.session != o.session:
			w.err = unknown(errors.New("this node was away for longer than the cluster remembers what it has sent"))
		case s.has(w.seq):
			w.err = unknown(errors.New("it was applied or refused by the others while this node was away, and has reached it as part of a snapshot"))
		default:
			continue
		}
		o.removeLocked(w)
		close(w.done)
	}
	o.freedLocked()
	go o.dispatch()
	return o.session
}

// emptied returns a channel that is closed when no update is waited for; nil: none is.
func (o *outbox) emptied() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.open) > 0 && o.empty == nil {
		o.empty = make(chan struct{})
	}
	return o.empty
}

// close ends all waits.
func (o *outbox) close() { o.end(errClosed(notMadeText), store.ErrClosed) }

// end ends all waits, with notSent for updates that were not sent, those that wait for room and
// those that come later, and with cause as the reason why it is not known what has become of the
// others. What ended them first counts.
func (o *outbox) end(notSent, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended == nil {
		o.ended = notSent
	}
	if o.resume != nil {
		o.resume.Stop()
	}
	o.dropLocked(notSent, cause)
}

// drop ends all waits like end, but for those for room. Later updates are taken.
func (o *outbox) drop(notSent, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLocked(notSent, cause)
}

func (o *outbox) dropLocked(notSent, cause error) {
	for _, w := range o.open {
		if w.sent == 0 {
			w.err = notSent
		} else {
			w.err = unknown(cause)
		}
		o.removeLocked(w)
		close(w.done)
	}
	o.freedLocked()
}

// pending returns the bytes and the number of updates that are waited for.
func (o *outbox) pending() (bytes, updates int, retries uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes, len(o.open), o.retries
}
