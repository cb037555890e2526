package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// accepted holds the survivors that do no harm, by file, function and mutated
// line, with the reason.
type accepted struct {
	name    string
	reasons map[string]string
}

// readAccepted reads the list in the named file. Each entry is two lines: where
// and what, separated by bars, and then the reason, indented. Lines that begin
// with # are comments.
func readAccepted(name string) (*accepted, error) {
	a := &accepted{name: name, reasons: map[string]string{}}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var keys []string // that wait for their reason
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "\t"):
			if len(keys) == 0 {
				return nil, fmt.Errorf("%s:%d: a reason without a mutant", name, n)
			}
			for _, key := range keys {
				a.reasons[key] = strings.TrimSpace(line)
			}
			keys = nil
		case strings.Count(line, " | ") < 2:
			return nil, fmt.Errorf("%s:%d: want file | function | mutated line", name, n)
		default:
			keys = append(keys, line)
		}
	}
	if len(keys) > 0 {
		return nil, fmt.Errorf("%s: no reason for %q", name, keys[0])
	}
	return a, lines.Err()
}

// key returns how m is listed.
func (m *mutant) key(root string) string {
	return strings.Join([]string{m.path(root), m.fn, m.after()}, " | ")
}

// has reports whether m is listed.
func (a *accepted) has(m *mutant, root string) bool {
	_, ok := a.reasons[m.key(root)]
	return ok
}
