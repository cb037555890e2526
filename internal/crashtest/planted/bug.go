package planted

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Bug is a change that makes the code wrong, and who must notice.
type Bug struct {
	Name  string // of its file, without the suffix
	Wrong string // what is wrong, in words

	Package string         // whose tests notice, as the go command takes it
	Test    string         // the name of the one that does, with that of a subtest or without
	Says    *regexp.Regexp // is found in what that test prints

	Edits []Edit
}

// An Edit is a change to one file.
type Edit struct {
	Path  string // in the module, with slashes
	hunks []hunk
}

// A hunk is a replacement of whole lines. Both sides end with a newline.
type hunk struct{ old, new string }

// Parse reads the bug that stands in text, the content of file name.
func Parse(name, text string) (*Bug, error) {
	b := &Bug{Name: strings.TrimSuffix(filepath.Base(name), suffix)}
	head, edits, _ := strings.Cut(text, "\n--- ")
	if err := b.parseHead(head); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for edit := range strings.SplitSeq(edits, "\n--- ") {
		e, err := parseEdit(edit)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if slices.ContainsFunc(b.Edits, func(before Edit) bool { return before.Path == e.Path }) {
			return nil, fmt.Errorf("%s: it changes %s twice: put all hunks of a file after one line with its path", name, e.Path)
		}
		b.Edits = append(b.Edits, e)
	}
	return b, nil
}

// suffix is that of the files of bugs.
const suffix = ".bug"

// parseHead reads what stands before the change.
func (b *Bug) parseHead(head string) (err error) {
	wrong, keys, _ := strings.Cut(head, "\n\n")
	b.Wrong = strings.Join(strings.Fields(wrong), " ")
	for line := range strings.Lines(keys) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "test":
			b.Package, b.Test, _ = strings.Cut(value, " ")
		case "says":
			if b.Says, err = regexp.Compile(value); err != nil {
				return err
			}
		case "":
		default:
			return fmt.Errorf("unknown key %q", key)
		}
	}
	if b.Wrong == "" || b.Test == "" || b.Says == nil {
		return errors.New("it does not tell what is wrong, the test that notices, and what that says")
	}
	return nil
}

// parseEdit reads the change to one file, from its path on.
func parseEdit(text string) (Edit, error) {
	path, body, _ := strings.Cut(text, "\n")
	e := Edit{Path: strings.TrimSpace(path)}
	before, body, _ := strings.Cut(body, "@@\n")
	if before != "" {
		return e, fmt.Errorf("%q stands before the first hunk of %q", before, e.Path)
	}
	for text := range strings.SplitSeq(body, "\n@@\n") {
		var h hunk
		for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
			switch {
			case line == "\n": // an empty line, whose space an editor has removed
				h.old, h.new = h.old+line, h.new+line
			case line[0] == ' ':
				h.old, h.new = h.old+line[1:], h.new+line[1:]
			case line[0] == '-':
				h.old += line[1:]
			case line[0] == '+':
				h.new += line[1:]
			default:
				return e, fmt.Errorf("the line %q begins with neither space, plus nor minus", line)
			}
		}
		if h.old == h.new || strings.TrimSpace(h.old) == "" {
			return e, fmt.Errorf("a hunk of %q changes nothing, or has nothing to go by", e.Path)
		}
		e.hunks = append(e.hunks, h)
	}
	return e, nil
}

// Apply returns src with the change.
func (e Edit) Apply(src string) (string, error) {
	src = "\n" + src // so that every line follows a newline
	for _, h := range e.hunks {
		if n := strings.Count(src, "\n"+h.old); n != 1 {
			return "", fmt.Errorf("these lines should stand in %s once, and do %d times; the code has changed, so plant the bug anew:\n%s", e.Path, n, h.old)
		}
		src = strings.Replace(src, "\n"+h.old, "\n"+h.new, 1)
	}
	return src[1:], nil
}
