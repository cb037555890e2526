package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tidwall/btree"

	"github.com/stateio/stateio/store"
)

// PutTTL sets the value of key as Put does, and has the key deleted when ttl has passed
// since the call, and not before, by the clock of the log, which never goes back: that of
// the store, or of the node that leads, where ttl counts from when that has the call. A
// later Put of the key takes that back. On a keeper of another kind it counts from the time
// that [store.TimedMachine] gets.
//
// So while the clock of the machine is ahead, keys are deleted that are due by it. When it
// is set right after a change, the time of the log stands still, and a deadline counts from
// that: keys that are put then stay longer, until the clock has caught up.
//
// A key is deleted within moments of its time, or a second on a cluster, by an update of
// the map's own that readers and Watch see like any other: until then it is there. After the
// clock was set forward, or the machine has slept, it takes up to ten seconds more. What
// falls due while the map is not open is deleted when it is. A key that is longer than an update
// may be by now, since Options.MaxUpdate was larger when it was put, stays. The error is that of
// Put, or says that ttl is not positive.
func (m *Map[K, V]) PutTTL(ctx context.Context, key K, value V, ttl time.Duration) error {
	if ttl <= 0 {
		return errTTL(ttl)
	}
	return m.put(ctx, key, value, ttl)
}

// PutTTL sets the value of key as [Map.PutTTL] does; the time begins with the end of the
// transaction. The transaction fails with an error if ttl is not positive.
func (tx *Tx[K, V]) PutTTL(key K, value V, ttl time.Duration) {
	if ttl <= 0 && tx.err == nil {
		tx.err = errTTL(ttl)
	}
	tx.put(key, value, ttl)
}

// asked returns when an update with that time to live is asked for, or 0; see ops.go.
func (m *Map[K, V]) asked(ttl time.Duration) int64 {
	if ttl <= 0 || m.store == nil {
		return 0
	}
	return time.Now().UnixNano()
}

// later returns the time from which the times to live of an update of that time count.
func later(at time.Time, asked int64) time.Time {
	if t := time.Unix(0, asked); asked > 0 && t.After(at) {
		return t
	}
	return at
}

func errTTL(ttl time.Duration) error {
	return fmt.Errorf("durable: a time to live of %v: it must be positive", ttl)
}

// Deadline returns when key will be deleted, by the clock of the log, and whether there is
// such a time. There is none for a key that is not there, and between Get and Deadline one may
// be deleted: what asks for both asks a View.
func (m *Map[K, V]) Deadline(key K) (at time.Time, ok bool) {
	return moment(m.m.deadline(key))
}

// Deadline returns when key was to be deleted, as [Map.Deadline] does: a key of the view
// without one was to stay, whatever has become of it since.
func (v *View[K, V]) Deadline(key K) (at time.Time, ok bool) {
	if v.ends == nil || v.m.keys.nan(key) {
		return at, false
	}
	return moment(v.ends.Get(key))
}

// moment returns the time n, in nanoseconds since 1970, if there is one.
func moment(n int64, ok bool) (time.Time, bool) {
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(0, n), true
}

// deadlines are the times, in nanoseconds since 1970, at which keys are to be deleted.
type deadlines[K cmp.Ordered] struct {
	ranking[K]
	sooner chan struct{} // the machine's: has a token when there is a new first one
}

func newDeadlines[K cmp.Ordered](sooner chan struct{}) deadlines[K] {
	return deadlines[K]{newRanking[K](), sooner}
}

// set sets the deadline of key.
func (d *deadlines[K]) set(key K, at int64) {
	d.ranking.set(key, at)
	if first, _ := d.first(); first.key == key {
		d.changed()
	}
}

// copy returns the deadlines as they are; nil if there are none.
func (d *deadlines[K]) copy() *btree.Map[K, int64] {
	if d.of.Len() == 0 {
		return nil
	}
	return d.of.Copy()
}

// changed has the sweeper look at the deadlines again.
func (d *deadlines[K]) changed() {
	select {
	case d.sooner <- struct{}{}:
	default: // there is a token already
	}
}

// after returns the time ttl after at.
func after(at time.Time, ttl time.Duration) int64 {
	n := at.UnixNano()
	if n > math.MaxInt64-int64(ttl) {
		return math.MaxInt64
	}
	return n + int64(ttl)
}

// deadline returns the deadline of key.
func (m *machine[K, V]) deadline(key K) (int64, bool) {
	if m.keys.nan(key) {
		return 0, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.deadlines.of.Get(key)
}

// How many keys are deleted at a time, and about how many bytes of them.
const (
	sweepBatch = 1000
	sweepBytes = 256 << 10
)

// due returns up to most keys that are to be deleted by now, but for some, and when to look again.
func (m *machine[K, V]) due(now int64, most int, not map[K]bool) (keys []K, next int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	next = math.MaxInt64
	bytes := 0
	m.deadlines.order.Scan(func(d ranked[K]) bool {
		if d.n > now || len(keys) == most || bytes > sweepBytes {
			next = d.n
			return false
		}
		if not[d.key] {
			return true
		}
		keys = append(keys, d.key)
		bytes += m.keys.bytes(d.key)
		return true
	})
	return keys, next
}

// errNotDue refuses to delete keys whose time has not come by the clock of the log, or that
// are not there any more.
var errNotDue = errors.New("durable: a key is not due")

// keeperDone returns a channel that is closed when k is, by whomever; nil, which never is,
// if k does not tell.
func keeperDone(k store.Keeper) <-chan struct{} {
	if k, ok := k.(interface{ Done() <-chan struct{} }); ok {
		return k.Done()
	}
	return nil
}

// sweep deletes the keys that are due, until the map is closed, or its keeper is.
func (m *Map[K, V]) sweep(ctx context.Context) {
	const (
		retry = time.Second // after an error, as of a full disk, or of a node that waits for a snapshot
		soon  = 10 * time.Millisecond
	)
	pause := soon                           // after a refusal; longer and longer, as when the clock of the log is slow
	most, large := sweepBatch, map[K]bool{} // what no update can delete: it stays, and keeps nothing else
	done := keeperDone(m.keeper)
	for {
		now := time.Now().UnixNano()
		keys, next := m.m.due(now, most, large)
		wait := untilLook(now, next) + m.grace()
		if len(keys) > 0 {
			switch err := m.expire(ctx, keys); {
			case err == nil:
				pause, most = soon, min(2*most, sweepBatch)
			case m.store != nil && errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed), ctx.Err() != nil:
				return
			case errors.Is(err, errNotDue):
				wait, pause = pause, min(2*pause, retry)
			case errors.Is(err, store.ErrTooLarge) && len(keys) > 1:
				wait, most = 0, len(keys)/2
			case errors.Is(err, store.ErrTooLarge):
				wait, large[keys[0]] = 0, true
			default:
				wait = retry
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-m.m.sooner:
		case <-done:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// untilLook returns how long to wait until deadlines are looked at again, of which the next is
// at that time. Timers stand still while the machine sleeps, and know nothing of a clock that
// is set: so it is never long, unless there is none.
func untilLook(now, next int64) time.Duration {
	const atMost, idle = 10 * time.Second, time.Hour
	switch {
	case next == math.MaxInt64: // a new one wakes the sweeper
		return idle
	case next > now+int64(atMost):
		return atMost
	}
	return max(0, time.Duration(next-now))
}

// grace is how much later than at its time this Map deletes a key: where several do that,
// so that most of the time one of them is first, and the others find nothing left to do.
func (m *Map[K, V]) grace() time.Duration {
	if m.store != nil {
		return 0
	}
	return rand.N(maxGrace)
}

const maxGrace = 500 * time.Millisecond

// expire deletes keys, all of them or none. A panic in a function of an index fails the
// store, which has told of it, with the stack, in its log; here is no caller to go on to.
func (m *Map[K, V]) expire(ctx context.Context, keys []K) (err error) {
	defer func() {
		if m.store == nil || !isClosed(m.store.Failed()) {
			return // a panic goes on
		}
		if v := recover(); v != nil {
			err = fmt.Errorf("durable: panic while keys were deleted: %v: %w", v, store.ErrFailed)
		}
	}()
	update := []byte{head(expireKind, m.m.keys.class)}
	for _, key := range keys {
		update = m.m.keys.append(update, key)
	}
	_, err = m.update(ctx, update)
	return err
}

// isClosed reports whether c is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// applyExpire deletes the keys in body, if all of them are due at that time.
func (m *machine[K, V]) applyExpire(at time.Time, index uint64, body []byte) error {
	var keys []K
	err := m.keys.parseKeys(body, func(o op[K]) error {
		keys = append(keys, o.key)
		return nil
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		if due, ok := m.deadlines.of.Get(key); !ok || due > at.UnixNano() {
			return errNotDue
		}
	}
	changes := make([]change[K, V], len(keys))
	for i, key := range keys {
		changes[i] = change[K, V]{key: key, delete: true}
	}
	m.make(changes, at)
	m.changed(index)
	return nil
}
