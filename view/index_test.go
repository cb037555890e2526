package view

import (
	"reflect"
	"testing"

	"github.com/stateio/stateio/inspect"
)

// indexOf reads file i of m into an index of at most so many buckets, and gives up after
// each so many parts.
func indexOf(t *testing.T, m *inspect.Map, i, most, steps int) *index {
	t.Helper()
	x := newIndex(m.Files[i], most)
	for walks := 0; !x.whole; walks++ {
		n := 0
		if _, err := x.walk(m, i, func() bool { n++; return n <= steps }); err != nil {
			t.Fatal(err)
		}
		if walks > 10_000 {
			t.Fatalf("%s: no end, at offset %d", x.name, x.done)
		}
	}
	return x
}

// Reading that stops, because nobody asks any more, goes on where it was; and an index that
// has fewer buckets counts the same bytes.
func TestReadingGoesOnWhereItWas(t *testing.T) {
	dir := bankStore(t, 600)
	breakFile(t, dir, "00000000000000000200.log", 5000, 300)
	breakFile(t, dir, "00000000000000000200.snap", 200, 1)
	m, err := inspect.OpenMap(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Files {
		whole := indexOf(t, m, i, maxBuckets, 1<<30)
		for _, steps := range []int{1, 7, 100} {
			x := indexOf(t, m, i, maxBuckets, steps)
			if !reflect.DeepEqual(x, whole) {
				t.Errorf("%s: in steps of %d parts, %d updates and %v, not %d and %v", x.name, steps, x.updates, x.damaged, whole.updates, whole.damaged)
			}
		}
		few := indexOf(t, m, i, 5, 50)
		if len(few.buckets) > 5 || sum(few) != sum(whole) || few.updates != whole.updates {
			t.Errorf("%s: %d buckets with %v bytes, not %v", few.name, len(few.buckets), sum(few), sum(whole))
		}
		total := int64(0)
		for _, n := range sum(few) {
			total += n
		}
		for _, p := range few.tail {
			total += p.to - p.from
		}
		if total != m.Files[i].Size {
			t.Errorf("%s: %d bytes of %d", few.name, total, m.Files[i].Size)
		}
	}
}

// sum returns how many bytes of each content x has in its buckets.
func sum(x *index) (all [contents]int64) {
	for _, b := range x.buckets {
		for c, n := range b.bytes {
			all[c] += int64(n)
		}
	}
	return all
}
