package main

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf8"

	"golang.org/x/term"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(file.Fd()))
}

// A terminalWriter shows on a terminal what is data, and not for it: all but lines and
// tabs is escaped if the terminal would obey it.
type terminalWriter struct {
	w    io.Writer
	rest []byte // the beginning of a character, whose end is not written yet
}

func (t *terminalWriter) Write(b []byte) (int, error) {
	t.rest = append(t.rest, b...)
	whole := wholeRunes(t.rest)
	if err := t.show(whole); err != nil {
		return 0, err
	}
	t.rest = append(t.rest[:0], t.rest[len(whole):]...)
	return len(b), nil
}

// finish shows what is left, which is no character.
func (t *terminalWriter) finish() error {
	err := t.show(t.rest)
	t.rest = nil
	return err
}

func (t *terminalWriter) show(b []byte) error {
	out := bufio.NewWriter(t.w)
	for len(b) > 0 {
		n := bytes.IndexAny(b, "\n\t")
		if n < 0 {
			n = len(b)
		}
		_, _ = out.WriteString(escaped(string(b[:n]))) // Flush reports what went wrong
		if n < len(b) {
			_ = out.WriteByte(b[n])
			n++
		}
		b = b[n:]
	}
	return out.Flush()
}

// wholeRunes returns b without the beginning of a character that is cut off.
func wholeRunes(b []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}
