package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// accepted holds the survivors that do no harm, with the reason, by file,
// function, and the line as it is and as it is mutated.
type accepted struct {
	name    string
	reasons map[string]string
}

// readAccepted reads the list in the named file. Each entry is a line of fields
// separated by bars: file, function, the line as it is, the line as it is mutated,
// and which one of those that read alike, if it is not the first. A line with a
// reason, indented, follows one or more of them. Lines that begin with # are
// comments.
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
		case strings.Count(line, " | ") < 3:
			return nil, fmt.Errorf("%s:%d: want file | function | line | mutated line", name, n)
		default:
			keys = append(keys, line)
		}
	}
	if len(keys) > 0 {
		return nil, fmt.Errorf("%s: no reason for %q", name, keys[0])
	}
	return a, lines.Err()
}

// stale returns an error that names the lines of the list whose line of code is not
// there any more: what they say of it may be wrong of what is there now.
func (a *accepted) stale(root string) error {
	files := map[string]string{} // without spaces, which differ in what is printed
	var gone []string
	for key := range a.reasons {
		fields := strings.SplitN(key, " | ", 4)
		src, ok := files[fields[0]]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(fields[0])))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			src = spaceless(string(b))
			files[fields[0]] = src
		}
		method := fields[1][strings.LastIndexByte(fields[1], '.')+1:]
		if !strings.Contains(src, spaceless(fields[2])) || !strings.Contains(src, method) {
			gone = append(gone, key)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	return fmt.Errorf("%s: the code of these lines has changed: look at each, and take it out\n%s", a.name, strings.Join(gone, "\n"))
}

func spaceless(s string) string { return strings.Join(strings.Fields(s), "") }

// key returns how m is listed.
func (m *mutant) key(root string) string {
	key := strings.Join([]string{m.path(root), m.fn, m.before(), m.after()}, " | ")
	if m.nth > 1 {
		key += fmt.Sprintf(" | %d", m.nth)
	}
	return key
}

// reads returns what mutants that read alike have in common.
func (m *mutant) reads() string {
	return strings.Join([]string{m.file.name, m.fn, m.before(), m.after()}, "\n")
}

// has reports whether m is listed.
func (a *accepted) has(m *mutant, root string) bool {
	_, ok := a.reasons[m.key(root)]
	return ok
}
