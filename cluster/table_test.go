package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// TestASessionKnowsWhatWasApplied compares sessions with a set.
func TestASessionKnowsWhatWasApplied(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, low := &session{}, uint64(0)
		applied := map[uint64]bool{}
		for range 500 {
			switch r.IntN(4) {
			case 0:
				low += r.Uint64N(100)
				s.raise(low)
				s.raise(low - min(low, 5)) // an older group that comes later
			default:
				seq := low + r.Uint64N(300)
				if !s.has(seq) {
					s.add(seq)
				} else if !applied[seq] {
					t.Fatalf("seed %d: %d counts as applied, above %d", seed, seq, low)
				}
				applied[seq] = true
			}
			for seq := low - min(low, 70); seq < low+400; seq++ {
				if want := seq < low || applied[seq]; s.has(seq) != want {
					t.Fatalf("seed %d: has(%d) is %v, above %d", seed, seq, !want, low)
				}
			}
			if len(s.done) > 8 {
				t.Fatalf("seed %d: %d words for 300 numbers", seed, len(s.done))
			}
		}
	}
}

func TestATableSurvivesASnapshot(t *testing.T) {
	a := newTable()
	for i := range 5 {
		id := a.begin([nonceSize]byte{byte(i)}, int64(i))
		a.sessions[id].raise(uint64(100 * i))
		a.sessions[id].add(uint64(100*i + 77))
	}
	for i := range 300 {
		a.remember(onceKey{key: *hashKey(fmt.Sprint(i)), time: int64(i) * int64(time.Minute), index: uint64(i), refused: i%3 == 0})
		a.expire(int64(i) * int64(time.Minute))
	}
	c := a.capture()
	a.sessions[1].add(500) // what comes later is not in it
	a.remember(onceKey{key: *hashKey("later")})
	var buf bytes.Buffer
	if err := c.writeTo(&buf); err != nil {
		t.Fatal(err)
	}
	b, err := readTable(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.capture(); got.last != c.last || !reflect.DeepEqual(got.ids, c.ids) || !reflect.DeepEqual(got.order, c.order) {
		t.Errorf("the table is %v, and was %v", got, c)
	}
	for i := range 300 {
		k, ok := b.once(hashKey(fmt.Sprint(i)))
		if want := i >= 299-60; ok != want || ok && (k.index != uint64(i) || k.refused != (i%3 == 0)) {
			t.Errorf("key %d is remembered: %v, as %v", i, ok, k)
		}
	}
	if b.sessions[1].has(500) || !b.sessions[2].has(177) || b.sessions[2].has(178) {
		t.Error("a session is another one after a snapshot")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	a := newTable()
	for i := range maxSessions + 100 {
		a.begin([nonceSize]byte{}, int64(i))
	}
	if len(a.sessions) != maxSessions {
		t.Fatalf("%d sessions are remembered", len(a.sessions))
	}
	if a.sessions[100] != nil || a.sessions[101] == nil {
		t.Error("it was not the oldest that were forgotten")
	}
	last := a.begin([nonceSize]byte{}, int64(sessionLife)+1<<40)
	if len(a.sessions) != 1 || a.sessions[last] == nil {
		t.Errorf("%d sessions are remembered after their time", len(a.sessions))
	}
}
