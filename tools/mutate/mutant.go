package main

import (
	"bytes"
	"fmt"
	"go/token"
	"path/filepath"
	"strings"
)

// A mutant is one planted bug.
type mutant struct {
	id   int
	file *file
	fn   string // the function it is in, or empty
	line int
	from int    // offset in the file of what is replaced
	to   int    // and its end
	text string // what the bug is instead
	nth  int    // of those in the function that read alike, from 1
}

// place returns the file's path below root, and the line.
func (m *mutant) place(root string) string {
	return fmt.Sprintf("%s:%d", m.path(root), m.line)
}

func (m *mutant) path(root string) string {
	name, err := filepath.Rel(root, m.file.name)
	if err != nil {
		name = m.file.name
	}
	return filepath.ToSlash(name)
}

// before returns the lines that the mutant is in, as one.
func (m *mutant) before() string {
	from, to := m.lines()
	return oneLine(m.file.text[from:to])
}

// after returns the lines that the mutant is in as the bug has them, as one.
func (m *mutant) after() string {
	from, to := m.lines()
	t := m.file.text
	return oneLine(t[from:m.from], []byte(m.text), t[m.to:to])
}

func (m *mutant) lines() (from, to int) {
	t := m.file.text
	from = bytes.LastIndexByte(t[:m.from], '\n') + 1
	to = len(t)
	if i := bytes.IndexByte(t[m.to:], '\n'); i >= 0 {
		to = m.to + i
	}
	return from, to
}

// oneLine joins parts, with each stretch of space as one blank.
func oneLine(parts ...[]byte) string {
	return strings.Join(strings.Fields(string(bytes.Join(parts, nil))), " ")
}

// A site is a part of a file that is rewritten so that it holds mutants. Sites
// nest.
type site struct {
	from, to int
	// base returns the part with its own operands behind a switch; nil: the
	// part as it is. inner rewrites what lies between two places of the file.
	base  func(inner func(from, to token.Pos) string) string
	wraps []func(string) string // around the base, the first is the innermost
	inner []*site
}

// render returns the text from from to to with the sites therein rewritten.
func render(f *file, from, to int, sites []*site) string {
	var b strings.Builder
	for _, s := range sites {
		if s.from < from || s.to > to {
			continue
		}
		b.Write(f.text[from:s.from])
		b.WriteString(s.render(f))
		from = s.to
	}
	b.Write(f.text[from:to])
	return b.String()
}

func (s *site) render(f *file) string {
	var text string
	if s.base == nil {
		text = render(f, s.from, s.to, s.inner)
	} else {
		start := int(f.syntax.FileStart)
		text = s.base(func(from, to token.Pos) string {
			return render(f, int(from)-start, int(to)-start, s.inner)
		})
	}
	for _, wrap := range s.wraps {
		text = wrap(text)
	}
	return text
}
