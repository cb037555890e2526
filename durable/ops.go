package durable

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// An update of a map is
//
//	update = head | body
//	head   = version<<5 | class<<3 | kind, one byte
//	body   = key | value                 of a put
//	       | key ttl asked value         of a put with a time to live
//	       | key                         of a delete
//	       | { op key [ttl] [length value] } [8 asked]   of a batch or transaction, up to the end
//	       | index reads { op key ... }   of a transaction that says what it has read
//	       | { key }                     of keys whose time has come
//
// where class is that of the keys, op is the kind of one change in one byte, and ttl, in
// nanoseconds, index and length are uvarints. What reads are is said in reads.go.
//
// The varint asked is when the update was asked for, in nanoseconds since 1970, by the clock
// that the log has its times from; 0 if that is not said. A time to live counts from then, or
// from the time of the log, whichever is later: a commit has the time of its first update,
// and this one may have been asked for a while after that. A map says it on a store, whose
// clock it shares. The time on a cluster is one at which the leader had the update already,
// and the clock of another node is no measure for it.
//
// A kind is never 0, in no version: that is how the head of a map's update is told from
// that of a value's, see valueformat.go.

// A kind is what an update does.
type kind byte

const (
	putKind    kind = 1
	deleteKind kind = 2
	batchKind  kind = 3
	txnKind    kind = 4 // as a batch; when it is made, what it has read must still hold
	ttlKind    kind = 5
	readKind   kind = 6 // a transaction that holds if what it has read at index is as it was
	expireKind kind = 7 // all of the keys are there, and due by the time of the log
)

const (
	// opsVersion is that of the encoding of updates.
	opsVersion = 0
	// kindMask has the bits of a head that are its kind.
	kindMask = 7
	// askedMark stands where an op might, and before when all were asked for.
	askedMark byte = 8
)

// kindOf returns the kind of a put.
func kindOf(ttl time.Duration) kind {
	if ttl > 0 {
		return ttlKind
	}
	return putKind
}

// appendPut appends what comes before the value of a put that begins with first.
func (c keyCodec[K]) appendPut(dst []byte, first byte, key K, ttl time.Duration) []byte {
	dst = c.append(append(dst, first), key)
	if ttl > 0 {
		dst = binary.AppendUvarint(dst, uint64(ttl))
	}
	return dst
}

func head(k kind, c class) byte { return opsVersion<<5 | byte(c)<<3 | byte(k) }

// An op is one change that an update makes.
type op[K cmp.Ordered] struct {
	key    K
	value  []byte // encoded; part of the update
	delete bool
	ttl    time.Duration // 0: for ever
	asked  int64         // of one with a ttl by itself: when, or 0
}

var (
	errEmpty      = errors.New("durable: the update is empty: no map has made it")
	errShortValue = errors.New("it ends within a value")
)

// parseHead returns the kind of an update, and its body.
func (c keyCodec[K]) parseHead(update []byte) (kind, []byte, error) {
	if len(update) == 0 {
		return 0, nil, errEmpty
	}
	h := update[0]
	switch k := kind(h & kindMask); {
	case isValueHead(h):
		return 0, nil, errHoldsValue
	case h>>5 != opsVersion:
		return 0, nil, fmt.Errorf("durable: the update is of version %d, and this program knows version %d: it was made by a newer one, use that", h>>5, opsVersion)
	case class(h>>3&3) != c.class:
		return 0, nil, fmt.Errorf("durable: the map has keys that are %v, not %v: open it with the type of keys that it was made with", class(h>>3&3), c.class)
	case k < putKind:
		return 0, nil, fmt.Errorf("durable: the update is of kind %d, which no map has made", k)
	default:
		return k, update[1:], nil
	}
}

// parseOne returns the op that the body of a put or delete stands for.
func (c keyCodec[K]) parseOne(k kind, body []byte) (op[K], error) {
	key, rest, err := c.parse(body)
	if err == nil && k == deleteKind && len(rest) > 0 {
		err = errors.New("something follows the key")
	}
	if err != nil {
		return op[K]{}, fmt.Errorf("durable: the update can't be read: %w", err)
	}
	o := op[K]{key: key, delete: k == deleteKind}
	if k == ttlKind {
		o.ttl, rest, err = parseTTL(rest)
		if err == nil {
			o.asked, rest, err = parseAsked(rest)
		}
		if err != nil {
			return o, fmt.Errorf("durable: the update can't be read: %w", err)
		}
	}
	o.value = rest
	return o, nil
}

// parseMany calls do for each op in the body of a batch, and returns when that was asked
// for, or 0.
func (c keyCodec[K]) parseMany(body []byte, do func(op[K]) error) (asked int64, err error) {
	for len(body) > 0 {
		if body[0] == askedMark {
			asked, rest, err := parseAsked(body[1:])
			if err == nil && len(rest) > 0 {
				err = errors.New("something follows the time")
			}
			if err != nil {
				return 0, fmt.Errorf("durable: the update can't be read: %w", err)
			}
			return asked, nil
		}
		k := kind(body[0])
		if k != putKind && k != deleteKind && k != ttlKind {
			return 0, fmt.Errorf("durable: the update can't be read: a change of kind %d", k)
		}
		o := op[K]{delete: k == deleteKind}
		o.key, body, err = c.parse(body[1:])
		if err == nil && k == ttlKind {
			o.ttl, body, err = parseTTL(body)
		}
		if err == nil && !o.delete {
			o.value, body, err = parseValue(body)
		}
		if err != nil {
			return 0, fmt.Errorf("durable: the update can't be read: %w", err)
		}
		if err := do(o); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// parseKeys calls do for each key in the body of an update that deletes some.
func (c keyCodec[K]) parseKeys(body []byte, do func(op[K]) error) error {
	for len(body) > 0 {
		o := op[K]{delete: true}
		var err error
		if o.key, body, err = c.parse(body); err != nil {
			return fmt.Errorf("durable: the update can't be read: %w", err)
		}
		if err := do(o); err != nil {
			return err
		}
	}
	return nil
}

// parseValue returns the value, with its length before it, at the start of b.
func parseValue(b []byte) (value, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, errShortValue
	}
	end := w + int(n)
	return b[w:end:end], b[end:], nil
}

// parseTTL returns the time to live at the start of b.
func parseTTL(b []byte) (ttl time.Duration, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n == 0 || n > math.MaxInt64 {
		return 0, nil, errors.New("it has no time to live where one should be")
	}
	return time.Duration(n), b[w:], nil
}

// parseAsked returns the time at the start of b.
func parseAsked(b []byte) (asked int64, rest []byte, err error) {
	n, w := binary.Varint(b)
	if w <= 0 {
		return 0, nil, errors.New("it has no time where one should be")
	}
	return n, b[w:], nil
}

// ops calls do for each change that update makes, of whichever kind it is.
func (c keyCodec[K]) ops(update []byte, do func(op[K]) error) error {
	k, body, err := c.parseHead(update)
	if err != nil {
		return err
	}
	switch k {
	case batchKind, txnKind:
		_, err := c.parseMany(body, do)
		return err
	case readKind:
		_, body, err := c.parseReads(body)
		if err == nil {
			_, err = c.parseMany(body, do)
		}
		return err
	case expireKind:
		return c.parseKeys(body, do)
	}
	o, err := c.parseOne(k, body)
	if err != nil {
		return err
	}
	return do(o)
}

// A batchWriter encodes the ops of a batch.
type batchWriter[K cmp.Ordered] struct {
	keys keyCodec[K]
	buf  []byte // the update, from its head on
	n    int    // ops in it
	ttls bool   // one of them has a time to live
}

func (b *batchWriter[K]) reset(k kind) {
	b.buf = append(b.buf[:0], head(k, b.keys.class))
	b.n, b.ttls = 0, false
}

// put adds a put, with a time to live unless ttl is 0.
func (b *batchWriter[K]) put(key K, value []byte, ttl time.Duration) {
	b.buf = b.keys.appendPut(b.buf, byte(kindOf(ttl)), key, ttl)
	b.buf = append(binary.AppendUvarint(b.buf, uint64(len(value))), value...)
	b.n++
	b.ttls = b.ttls || ttl > 0
}

// end ends the batch, and says when it was asked for, if that matters.
func (b *batchWriter[K]) end(asked time.Time) {
	if b.ttls {
		b.buf = binary.AppendVarint(append(b.buf, askedMark), asked.UnixNano())
	}
}

func (b *batchWriter[K]) delete(key K) {
	b.buf = b.keys.append(append(b.buf, byte(deleteKind)), key)
	b.n++
}
