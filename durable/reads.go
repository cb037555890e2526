package durable

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
)

// A transaction that says what it has read has, before its changes,
//
//	reads = { 1 key | 2+how [from] [to] } 0
//
// the keys that were looked at one by one, and the spans of those that were gone through,
// where how is a sum of what follows. A span that ends with from or to has all keys there.
const (
	readEnd     = 0
	readKey     = 1
	readSpan    = 2
	readFrom    = 4  // there is from
	readTo      = 8  // there is to, which is not part of the span
	readThrough = 16 // there is to, which is part of the span
)

// mostReads is how many bytes say what was read. A transaction that has read more counts
// as having read everything.
const mostReads = 256 << 10

// reads are what a transaction has read.
type reads[K cmp.Ordered] struct {
	index uint64 // of the last update that it has seen
	keys  []K
	spans []interval[K]
}

// An interval is a range of keys.
type interval[K cmp.Ordered] struct {
	how      byte
	from, to K
}

// past reports whether key, and so all greater ones, lie after the interval.
func (s interval[K]) past(key K) bool {
	return s.how&readTo != 0 && key >= s.to || s.how&readThrough != 0 && key > s.to
}

// interval returns what was read of a span, and false if that is nothing.
func (c keyCodec[K]) interval(s *span[K]) (i interval[K], ok bool) {
	i.how = readSpan
	if !s.all {
		if c.nan(s.from) || !s.open && c.nan(s.to) {
			return i, false
		}
		i.how, i.from = i.how|readFrom, s.from
		if !s.open {
			i.how, i.to = i.how|readTo, s.to
		}
	}
	if s.ended {
		i.how, i.to = i.how&^readTo|readThrough, s.last
	}
	return i, true
}

// appendReads appends what says that a transaction, begun in the state of update index,
// has read r.
func appendReads[K cmp.Ordered, V any](c keyCodec[K], dst []byte, index uint64, r *conflicts[K, V]) []byte {
	dst = binary.AppendUvarint(dst, index)
	start := len(dst)
	for key := range r.keys {
		dst = c.append(append(dst, readKey), key)
	}
	for _, s := range r.spans {
		i, ok := c.interval(s)
		if !ok {
			continue
		}
		dst = append(dst, i.how)
		if i.how&readFrom != 0 {
			dst = c.append(dst, i.from)
		}
		if i.how&(readTo|readThrough) != 0 {
			dst = c.append(dst, i.to)
		}
	}
	if len(dst)-start > mostReads {
		dst = append(dst[:start], readSpan)
	}
	return append(dst, readEnd)
}

// parseReads returns what appendReads has written at the start of body, and what follows.
func (c keyCodec[K]) parseReads(body []byte) (*reads[K], []byte, error) {
	r := &reads[K]{}
	n := 0
	if r.index, n = binary.Uvarint(body); n <= 0 {
		return nil, nil, errReads(errors.New("it ends within the index of what was read"))
	}
	for body = body[n:]; len(body) > 0; {
		how := body[0]
		body = body[1:]
		if how == readEnd {
			return r, body, nil
		}
		var err error
		if body, err = c.parseRead(r, how, body); err != nil {
			return nil, nil, errReads(err)
		}
	}
	return nil, nil, errReads(errors.New("it ends within what was read"))
}

// parseRead parses a key or a span, and returns what follows.
func (c keyCodec[K]) parseRead(r *reads[K], how byte, body []byte) (rest []byte, err error) {
	i := interval[K]{how: how}
	switch {
	case how == readKey:
		i.from, body, err = c.parse(body)
		r.keys = append(r.keys, i.from)
		return body, err
	case how&readSpan == 0 || how >= 2*readThrough || how&readKey != 0 || how&readTo != 0 && how&readThrough != 0:
		return nil, fmt.Errorf("something of kind %d was read", how)
	}
	if how&readFrom != 0 {
		if i.from, body, err = c.parse(body); err != nil {
			return nil, err
		}
	}
	if how&(readTo|readThrough) != 0 {
		i.to, body, err = c.parse(body)
	}
	r.spans = append(r.spans, i)
	return body, err
}

func errReads(err error) error {
	return fmt.Errorf("durable: the update can't be read: %w", err)
}
