package main

import (
	"io"
	"os"
	"runtime"
)

// A color is how a terminal shows a text.
type color string

const (
	red    color = "31" // what is damaged or lost
	yellow color = "33" // what is wrong, and harms nothing that is needed
	green  color = "32" // what is as it should be
)

// in returns a text as w shows it in that colour, if w is a terminal, and its user does not ask
// for none (see https://no-color.org).
func (c color) in(w io.Writer, text string) string {
	if !isTerminal(w) || runtime.GOOS == "windows" || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}
