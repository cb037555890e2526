package view

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A line is one of a difference: its Kind is "-" if only the first text has it, "+" if only
// the second has it, " " if both have it, and "…" for those that are left out: Text is how
// many, then.
type line struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

const (
	around      = 3       // lines that are shown around what differs
	maxEdits    = 1000    // for the shortest difference; beyond, all between is shown as changed
	maxCompared = 1 << 16 // lines of each text, from the first that differs on
	maxLines    = 5000    // of a difference
	maxLine     = 2000    // bytes of one of them

	leftOut   = "…"
	onlyFirst = "-"
	onlyAfter = "+"
	both      = " "
)

// difference returns how text b differs from text a, line by line: nothing if it does not.
// It reports whether that is all: of long texts with much that differs it is the beginning.
func difference(a, b string) (lines []line, whole bool) {
	if a == b {
		return []line{}, true
	}
	head, tail := commonOf(a, b)
	before, after := contextOf(a[:head], true), contextOf(a[len(a)-tail:], false)
	x, restX := split(a[head:len(a)-tail], tail > 0)
	y, restY := split(b[head:len(b)-tail], tail > 0)
	if whole = !restX && !restY; !whole {
		after = nil
	}
	lines = append(linesOf(both, before), shortest(x, y)...)
	lines = shorten(append(lines, linesOf(both, after)...))
	if n := strings.Count(a[:head], "\n") - len(before); n > 0 {
		lines = slices.Insert(lines, 0, line{leftOut, count(uint64(n), "line")})
	}
	if n := strings.Count(a[len(a)-tail:], "\n") + 1 - len(after); tail > 0 && whole && n > 0 {
		lines = append(lines, line{leftOut, count(uint64(n), "line")})
	}
	return limited(lines, whole)
}

// commonOf returns how many bytes of whole lines a and b begin with both, and end with: the
// newline before the end is part of neither.
func commonOf(a, b string) (head, tail int) {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	head = strings.LastIndexByte(a[:n], '\n') + 1
	a, b = a[head:], b[head:]
	n = 0
	for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	if i := strings.IndexByte(a[len(a)-n:], '\n'); i >= 0 {
		tail = n - i - 1
	}
	return head, tail
}

// contextOf returns the last lines of a text that ends with a newline, or else the first
// lines of one that does not begin with one.
func contextOf(text string, last bool) []string {
	if text == "" {
		return nil
	}
	if !last {
		lines := strings.SplitN(text, "\n", around+1)
		return lines[:min(len(lines), around)]
	}
	text = text[:len(text)-1]
	at := len(text)
	for range around {
		if at = strings.LastIndexByte(text[:at], '\n'); at < 0 {
			break
		}
	}
	return strings.Split(text[at+1:], "\n")
}

// split returns the first lines of a text, and whether there are more. Ended says that a
// newline ends the last one.
func split(text string, ended bool) (lines []string, more bool) {
	if ended {
		if text == "" {
			return nil, false
		}
		text = strings.TrimSuffix(text, "\n")
	}
	if lines = strings.SplitN(text, "\n", maxCompared+1); len(lines) > maxCompared {
		return lines[:maxCompared], true
	}
	return lines, false
}

// linesOf returns a line of one kind for each text.
func linesOf(kind string, texts []string) []line {
	lines := make([]line, len(texts))
	for i, s := range texts {
		lines[i] = line{kind, s}
	}
	return lines
}

// limited returns the beginning of lines, and of each long one. It reports whether that is
// all, and whole.
func limited(lines []line, whole bool) ([]line, bool) {
	if len(lines) > maxLines {
		rest := line{leftOut, count(uint64(len(lines)-maxLines), "line")}
		lines, whole = append(lines[:maxLines:maxLines], rest), false
	}
	for i, l := range lines {
		if len(l.Text) > maxLine {
			end := maxLine
			for end > maxLine-utf8.UTFMax && !utf8.RuneStart(l.Text[end]) {
				end--
			}
			lines[i].Text, whole = fmt.Sprintf("%s… (%d bytes)", l.Text[:end], len(l.Text)), false
		}
	}
	return lines, whole
}

// shortest returns a shortest way from x to y, by the algorithm of Myers, or, if that is
// long, x gone and y new.
func shortest(x, y []string) []line {
	var trace [][]int
	v := map[int]int{1: 0}
	for d := 0; d <= min(len(x)+len(y), maxEdits); d++ {
		row := make([]int, 2*d+1) // how far along x each diagonal has come
		for k := -d; k <= d; k += 2 {
			i := 0
			if k == -d || k != d && v[k-1] < v[k+1] {
				i = v[k+1]
			} else {
				i = v[k-1] + 1
			}
			for i < len(x) && i-k < len(y) && x[i] == y[i-k] {
				i++
			}
			v[k], row[k+d] = i, i
			if i >= len(x) && i-k >= len(y) {
				return back(append(trace, row), x, y)
			}
		}
		trace = append(trace, row)
	}
	return append(linesOf(onlyFirst, x), linesOf(onlyAfter, y)...)
}

// back returns the way that the rows lead, from its end.
func back(trace [][]int, x, y []string) []line {
	var lines []line
	i, j := len(x), len(y)
	for d := len(trace) - 1; d > 0; d-- {
		k := i - j
		row := trace[d-1]
		at := func(k int) int {
			if k += d - 1; k < 0 || k >= len(row) {
				return -1
			}
			return row[k]
		}
		down := k == -d || k != d && at(k-1) < at(k+1)
		from := k - 1
		if down {
			from = k + 1
		}
		pi := at(from)
		pj := pi - from
		for i > pi && j > pj {
			i, j = i-1, j-1
			lines = append(lines, line{both, x[i]})
		}
		if down {
			j--
			lines = append(lines, line{onlyAfter, y[j]})
		} else {
			i--
			lines = append(lines, line{onlyFirst, x[i]})
		}
	}
	for i > 0 {
		i--
		lines = append(lines, line{both, x[i]})
	}
	slices.Reverse(lines)
	return lines
}

// shorten leaves out what is the same, but for a few lines around what is not.
func shorten(lines []line) []line {
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l.Kind != both {
			for j := max(0, i-around); j <= min(len(lines)-1, i+around); j++ {
				near[j] = true
			}
		}
	}
	out := []line{}
	for i := 0; i < len(lines); i++ {
		if near[i] {
			out = append(out, lines[i])
			continue
		}
		from := i
		for i+1 < len(lines) && !near[i+1] {
			i++
		}
		out = append(out, line{leftOut, count(uint64(i+1-from), "line")})
	}
	return out
}
