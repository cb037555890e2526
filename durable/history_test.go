package durable

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A plainHistory judges by all changes that there ever were.
type plainHistory []map[string]bool // of each update, which keys it has changed

func (p plainHistory) changed(since int, r *reads[string]) bool {
	for _, update := range p[since:] {
		for key := range update {
			for _, k := range r.keys {
				if k == key {
					return true
				}
			}
			for _, s := range r.spans {
				if (s.how&readFrom == 0 || key >= s.from) && !s.past(key) {
					return true
				}
			}
		}
	}
	return false
}

// A history judges as one does that has everything, as long as it goes back far enough, and
// else refuses; and it does so after it was written and read, wherever indexes begin.
func TestAHistoryJudgesLikeOneThatHasEverything(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	keys := newKeyCodec[string]()
	key := func() string { return fmt.Sprintf("%02d", rnd.IntN(40)) }
	reading := func() *reads[string] {
		r := &reads[string]{}
		for range rnd.IntN(3) {
			r.keys = append(r.keys, key())
		}
		if rnd.IntN(2) == 0 {
			how := []byte{readSpan, readSpan | readFrom, readSpan | readTo, readSpan | readFrom | readThrough, readSpan | readFrom | readTo}[rnd.IntN(5)]
			r.spans = append(r.spans, interval[string]{how: how, from: key(), to: key()})
		}
		return r
	}
	var refused, conflicts, held int
	for _, limit := range []historySize{{20, 1 << 20}, {1000, 15 * 18}, {1000, 1 << 20}} {
		h, all, base := newHistory(keys), plainHistory{}, 0
		h.limit = limit
		for range 3000 {
			update := map[string]bool{}
			for range 1 + rnd.IntN(4) {
				update[key()] = true
			}
			for k := range update {
				h.note(k)
			}
			h.applied()
			all = append(all, update)
			if n := h.changed.of.Len(); n > limit.keys || h.bytes > limit.bytes || h.changed.order.Len() != n {
				t.Fatalf("%d keys of %d bytes, and the limit is %+v", n, h.bytes, limit)
			}
			if rnd.IntN(50) == 0 {
				h = rewritten(t, h)
				h.limit = limit
				base = rnd.IntN(2) * len(all) // as where a state is moved to
			}
			if base >= len(all) {
				continue
			}
			r, since := reading(), max(base, len(all)-rnd.IntN(12))
			r.index = uint64(since - base)
			err := h.judge(uint64(len(all)-base+1), r)
			known := int64(len(all)-since) <= h.now-h.from
			switch changed := all.changed(since, r); {
			case !known && err != errConflict:
				t.Fatalf("judged by what is not known: %v", err)
			case known && changed != (err == errConflict):
				t.Fatalf("read %+v of %d of %d: %v", r, since, len(all), err)
			case !known:
				refused++
			case changed:
				conflicts++
			default:
				held++
			}
		}
	}
	if refused < 100 || conflicts < 100 || held < 100 {
		t.Errorf("%d not known, %d in conflict, %d held: too few for a test", refused, conflicts, held)
	}
	if err := newHistory(keys).judge(5, &reads[string]{index: 5}); err != errForeign {
		t.Errorf("one that has read the future: %v", err)
	}
}

// rewritten returns what is read from what h writes.
func rewritten(t *testing.T, h *history[string]) *history[string] {
	t.Helper()
	var b bytes.Buffer
	out := &frameWriter{w: &b}
	h.capture().writeTo(out, h.keys)
	if out.err != nil {
		t.Fatal(out.err)
	}
	got, err := readHistory(bufio.NewReader(&b), h.keys, withHistory)
	if err != nil {
		t.Fatal(err)
	}
	if got.now != h.now || got.from != h.from || got.bytes != h.bytes || got.changed.of.Len() != h.changed.of.Len() {
		t.Fatalf("%+v became %+v", h, got)
	}
	return got
}

// What a transaction has read is parsed as it was written, and what is cut or nonsense is an
// error.
func TestReadsAreParsedAsTheyWereWritten(t *testing.T) {
	keys := newKeyCodec[string]()
	c := &conflicts[string, int]{keys: map[string]struct{}{"a": {}}, spans: []*span[string]{
		{all: true},
		{all: true, ended: true, last: "l"},
		{from: "f", to: "t"},
		{from: "f", open: true},
		{from: "f", to: "t", ended: true, last: "l"},
		{from: "f", open: true, ended: true, last: "l"},
	}}
	b := appendReads(keys, nil, 300, c)
	r, rest, err := keys.parseReads(append(b[:len(b):len(b)], "rest"...))
	if err != nil || string(rest) != "rest" || r.index != 300 || len(r.keys) != 1 || r.keys[0] != "a" || len(r.spans) != len(c.spans) {
		t.Fatalf("%+v, rest %q, %v", r, rest, err)
	}
	for i, s := range r.spans {
		for _, key := range []string{"", "e", "f", "g", "l", "la", "s", "t", "u"} {
			if has := (s.how&readFrom == 0 || key >= s.from) && !s.past(key); has != c.spans[i].has(key) {
				t.Errorf("span %d, which was %+v, has %q: %v", i, c.spans[i], key, has)
			}
		}
	}
	for n := range b {
		if _, _, err := keys.parseReads(b[:n]); err == nil {
			t.Errorf("%d of %d bytes can be read", n, len(b))
		}
	}
	for _, how := range []byte{3, 4, 8, 12, 26, 32, 34, 255} {
		if _, _, err := keys.parseReads([]byte{1, how, 1, 'a', 1, 'b', 0}); err == nil {
			t.Errorf("something of kind %d was read", how)
		}
	}
	floats := newKeyCodec[float64]()
	nan := func() float64 { var zero float64; return zero / zero }()
	none := appendReads(floats, nil, 1, &conflicts[float64, int]{spans: []*span[float64]{{from: nan, open: true}, {from: 1, to: nan}}})
	if got, _, err := floats.parseReads(none); err != nil || len(got.spans) != 0 {
		t.Errorf("of NaN: %+v, %v", got, err)
	}
}
