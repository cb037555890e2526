package record_test

import (
	"testing"

	"github.com/stateio/stateio/internal/record"
)

func TestSoundEndsBeforeTheFirstRecordThatIsNot(t *testing.T) {
	whole := append(append(rec(4, 99, bytesOf(1, 10)), rec(1, 0, bytesOf(2, 200))...), rec(2, 0, bytesOf(3, 5))...)
	for cut := range len(whole) + 1 {
		want := 0
		for _, end := range []int{25, 240, 260} {
			if end <= cut {
				want = end
			}
		}
		if got := record.Sound(whole[:cut]); got != want {
			t.Fatalf("cut at %d: %d bytes, not %d", cut, got, want)
		}
	}
	for bit := range len(whole) * 8 {
		want := 0
		for _, end := range []int{25, 240, 260} {
			if end <= bit/8 {
				want = end
			}
		}
		whole[bit/8] ^= 1 << (bit % 8)
		if got := record.Sound(whole); got != want {
			t.Fatalf("bit %d flipped: %d bytes, not %d", bit, got, want)
		}
		whole[bit/8] ^= 1 << (bit % 8)
	}
	if got := record.Sound(append(whole, rec(1, 0, nil)...)); got != len(whole) {
		t.Errorf("before a record without data: %d bytes, not %d", got, len(whole))
	}
}
