package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// What is printed never lets a name or a payload speak to the terminal: an escape
// sequence, a control character of any kind, and what changes the direction of writing
// are shown as an escape of Go or, in JSON, as \u and four digits.

// printable returns a path that a terminal shows as it is: quoted, if it must be.
func printable(path string) string {
	if allPrintable(path) {
		return path
	}
	return strconv.Quote(path)
}

// shellWord returns a path as it stands in a command that can be pasted into a shell: one that
// knows escapes, where the path has what a terminal would obey.
func shellWord(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+=:,@%", r)
	}
	switch {
	case runtime.GOOS == "windows": // where no shell knows that
		return printable(path)
	case !allPrintable(path):
		inner := strconv.Quote(path)
		return "$'" + strings.ReplaceAll(inner[1:len(inner)-1], "'", `\'`) + "'"
	case strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }):
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// allPrintable reports whether a terminal shows all of s, and does nothing else.
func allPrintable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// escaped returns a text, such as that of an error, without what a terminal would
// obey. It adds no quotes: the text may have some.
func escaped(s string) string {
	if allPrintable(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// messages returns the lines that tell of err: one for each error that was joined. A
// line break within one is part of a name, and is escaped.
func messages(err error) []string {
	text := err.Error()
	switch e := err.(type) { //nolint:errorlint // it is the wrapping that is looked at
	case interface{ Unwrap() []error }:
		var texts, lines []string
		for _, each := range e.Unwrap() {
			texts = append(texts, each.Error())
			if !onlyClosed(each) { // beside another error, that is none
				lines = append(lines, messages(each)...)
			}
		}
		if text == strings.Join(texts, "\n") {
			return lines
		}
	case interface{ Unwrap() error }:
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		if before, ends := strings.CutSuffix(text, inner.Error()); ends {
			lines := messages(inner)
			lines[0] = escaped(before) + lines[0]
			return lines
		}
		if after, begins := strings.CutPrefix(text, inner.Error()); begins {
			lines := messages(inner)
			lines[len(lines)-1] += escaped(after)
			return lines
		}
	}
	return []string{escaped(text)}
}

// writeJSON writes v as one line of JSON that a terminal shows and does not obey.
func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(asciiControls(b), '\n'))
	return err
}

// asciiControls returns JSON with an escape for each character in its strings that is not
// printable, and for U+FFFD, which stands for what is no UTF-8: json.Marshal escapes that one in
// some versions of Go. Outside of strings JSON has none.
func asciiControls(b []byte) []byte {
	if allPrintable(string(b)) {
		return b
	}
	out := make([]byte, 0, len(b)+32)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case unicode.IsPrint(r) && r != utf8.RuneError:
			out = append(out, b[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}
