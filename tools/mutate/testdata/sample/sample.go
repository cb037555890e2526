// Package sample is mutated by the tests of mutate.
package sample

import "errors"

// Clamp returns n, but no less than low and no more than high.
func Clamp(n, low, high int) int {
	if n < low {
		return low
	}
	if n > high {
		return high
	}
	return n
}

// Sum returns the sum of the numbers from 1 to n.
func Sum(n int) (sum int) {
	for n > 0 {
		sum += n
		n--
	}
	return sum
}

var errSmall = errors.New("too small")

// Check reports an n that is too small.
func Check(n int) error {
	if n < 5 || n == 7 && !odd(n) {
		return errSmall
	}
	return nil
}

func odd(n int) bool {
	return n&1 != 0
}

// Untested is.
func Untested(a, b int) int {
	return a - b
}
