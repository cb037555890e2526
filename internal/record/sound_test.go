package record_test

import (
	"testing"

	"github.com/stateio/stateio/internal/record"
)

func TestSoundEndsBeforeTheFirstRecordThatIsNot(t *testing.T) {
	whole := append(append(rec(4, 99, bytesOf(1, 10)), rec(1, 0, bytesOf(2, 200))...), rec(2, 0, bytesOf(3, 5))...)
	// check compares Sound of b with what is known of its first n bytes.
	check := func(b []byte, n int, what string, at int) {
		t.Helper()
		sound, last, start := 0, 0, 0
		for _, end := range []int{25, 240, 260} {
			if end <= n {
				sound, last = end, start
			}
			start = end
		}
		if gotSound, gotLast := record.Sound(b); gotSound != sound || gotLast != last {
			t.Fatalf("%s %d: %d bytes, the last from %d, not %d and %d", what, at, gotSound, gotLast, sound, last)
		}
	}
	for cut := range len(whole) + 1 {
		check(whole[:cut], cut, "cut at", cut)
	}
	for bit := range len(whole) * 8 {
		whole[bit/8] ^= 1 << (bit % 8)
		check(whole, bit/8, "flipped bit", bit)
		whole[bit/8] ^= 1 << (bit % 8)
	}
	check(append(whole, rec(1, 0, nil)...), len(whole), "before a record without data, at", len(whole))
}
