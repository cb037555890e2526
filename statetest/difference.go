package statetest

import (
	"bytes"
	"errors"
	"fmt"
)

// difference returns nil if the two snapshots are equal, and else shows where
// they are not.
func difference(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%w\n(If they are the same state in other words, give Options.Equal, a function that compares two machines.)",
		excerpts(got, want))
}

// excerpts shows two slices where they begin to differ.
func excerpts(got, want []byte) error {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	return errors.New(line("got", got, at) + "\n" + line("want", want, at))
}

const (
	contextBefore = 24  // bytes shown before the one in question
	contextAll    = 160 // bytes shown at most
)

// line shows b around its byte at.
func line(name string, b []byte, at int) string {
	from := max(0, at-contextBefore)
	if len(b) <= contextAll {
		from = 0
	}
	return fmt.Sprintf("  %-4s %s", name, excerpt(b, from))
}

// plural returns n with what is counted.
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// quote shows an update.
func quote(b []byte) string { return excerpt(b, 0) }

// excerpt quotes b from an index on.
func excerpt(b []byte, from int) string {
	to := min(len(b), from+contextAll)
	s := fmt.Sprintf("%#q", b[from:to])
	if from > 0 {
		s = "..." + s
	}
	if to < len(b) {
		s += "..."
	}
	if from > 0 || to < len(b) {
		s += fmt.Sprintf(" (from byte %d of %d)", from, len(b))
	}
	return s
}
