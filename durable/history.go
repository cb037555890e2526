package durable

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidwall/btree"
)

// How many keys a history has at most, and how many bytes of them. A transaction that takes
// longer than it takes to change so many is made again. All programs must agree on these:
// nodes with other ones would judge otherwise.
const (
	maxHistory      = 1 << 16
	maxHistoryBytes = 4 << 20
)

// A history is which keys were changed lately. It is part of the state of a map, in its
// snapshots as well, so that all that apply the same updates judge alike which
// transactions hold. What it remembers depends on nothing but the updates.
//
// It counts updates by itself: the index of an update may begin anew when a state is moved
// from one store or cluster to another.
type history[K cmp.Ordered] struct {
	keys    keyCodec[K]
	now     int64       // the number of updates applied
	from    int64       // which keys were changed by later updates than this one is known
	changed ranking[K]  // by key, the last update that has changed it
	bytes   int         // of the keys
	limit   historySize // what it may have
}

// A historySize is how many keys there are in a history, and how many bytes of them.
type historySize struct{ keys, bytes int }

func newHistory[K cmp.Ordered](keys keyCodec[K]) *history[K] {
	return &history[K]{keys: keys, changed: newRanking[K](), limit: historySize{maxHistory, maxHistoryBytes}}
}

// note notes that the next update changes key.
func (h *history[K]) note(key K) {
	if h.changed.set(key, h.now+1) {
		h.bytes += h.keys.bytes(key)
	}
}

// applied says that the next update is applied, and forgets what is too much.
func (h *history[K]) applied() {
	h.now++
	for {
		first, ok := h.changed.first()
		if !ok || first.n > h.from && h.changed.of.Len() <= h.limit.keys && h.bytes <= h.limit.bytes {
			return
		}
		h.from = first.n // and with it all that this update has changed
		h.changed.remove(first.key)
		h.bytes -= h.keys.bytes(first.key)
	}
}

// errForeign refuses a transaction on a state that there was not.
var errForeign = errors.New("durable: the transaction has read a later state than that before it")

// judge returns nil if what was read is as it was, for a transaction that is to be made by
// update index.
func (h *history[K]) judge(index uint64, r *reads[K]) error {
	if r.index >= index {
		return errForeign
	}
	behind := index - 1 - r.index // how many updates it has not seen
	if behind > uint64(h.now-h.from) {
		return errConflict // perhaps: it is not known any more
	}
	if behind == 0 {
		return nil
	}
	since := h.now - int64(behind)
	for _, key := range r.keys {
		if n, ok := h.changed.of.Get(key); ok && n > since {
			return errConflict
		}
	}
	for _, s := range r.spans {
		if h.touched(s, since) {
			return errConflict
		}
	}
	return nil
}

// touched reports whether a key in s was changed after update since.
func (h *history[K]) touched(s interval[K], since int64) (yes bool) {
	each := func(key K, n int64) bool {
		if s.past(key) {
			return false
		}
		yes = n > since
		return !yes
	}
	if s.how&readFrom != 0 {
		h.changed.of.Ascend(s.from, each)
	} else {
		h.changed.of.Scan(each)
	}
	return yes
}

// A capturedHistory is a history as it was at a moment.
type capturedHistory[K cmp.Ordered] struct {
	now, from int64
	changed   *btree.Map[K, int64]
}

// capture returns the history as it is, nil if there is none.
func (h *history[K]) capture() *capturedHistory[K] {
	if h == nil {
		return nil
	}
	return &capturedHistory[K]{h.now, h.from, h.changed.of.Copy()}
}

// writeTo writes what readHistory reads.
func (c *capturedHistory[K]) writeTo(out *frameWriter, keys keyCodec[K]) {
	out.write(binary.AppendVarint(binary.AppendVarint(nil, c.now), c.from))
	writeNumbers(out, keys, c.changed)
}

// readHistory returns the history in a snapshot of that version, which may have none:
// then it begins with that snapshot.
func readHistory[K cmp.Ordered](r *bufio.Reader, keys keyCodec[K], version byte) (*history[K], error) {
	h := newHistory(keys)
	if version != withHistory {
		return h, nil
	}
	for _, n := range []*int64{&h.now, &h.from} {
		var err error
		if *n, err = binary.ReadVarint(r); err != nil {
			return nil, fmt.Errorf("durable: the snapshot can't be read: %w", err)
		}
	}
	return h, readNumbers(r, keys, func(key K, n int64) {
		h.changed.set(key, n)
		h.bytes += keys.bytes(key)
	})
}
