package view

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// patience is for how long reading goes on after the last request.
const patience = time.Minute

// A source is what is shown: the files, and an index of each, which is filled in the
// background while pages ask for it.
type source struct {
	path      string
	freshness time.Duration // for how long what is known of the files is not looked at again

	mu      sync.Mutex
	m       *inspect.Map
	indexes []*index // of the files of m
	looked  time.Time
	reading chan struct{}      // closed when the goroutine that fills the indexes ends; nil: there is none
	end     context.CancelFunc // has it end
	idle    *time.Timer        // calls end when nobody has asked for a while
	readErr error
	missing []damage // what is wrong with the files as a whole
	state   stateCheck
	edition uint64 // counts when files were replaced, or all are to be read again
}

func newSource(path string) *source { return &source{path: path, freshness: time.Second} }

// nameOf returns the name by which a file is asked for: one that JSON does not change.
func nameOf(f inspect.MapFile) string { return visible(filepath.Base(f.Path)) }

// visible returns a path as it is shown: with an escape for each byte that is not UTF-8, and for
// what can't be seen, or turns the direction of writing.
func visible(path string) string {
	var b strings.Builder
	for len(path) > 0 {
		r, n := utf8.DecodeRuneInString(path)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, path[0])
		case unicode.IsPrint(r):
			b.WriteString(path[:n])
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		path = path[n:]
	}
	return b.String()
}

// look returns the files and their indexes as they are now, and has the indexes filled.
func (s *source) look() (*inspect.Map, []*index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading != nil {
		s.idle.Reset(patience)
	}
	now := time.Now()
	if s.m != nil && now.Sub(s.looked) < s.freshness {
		return s.m, s.indexes, nil
	}
	m, err := inspect.OpenMap(s.path)
	if err != nil {
		return nil, nil, err
	}
	s.m, s.indexes, s.looked = m, s.indexesOf(m), now
	if s.reading == nil {
		ctx, cancel := context.WithCancel(context.Background())
		s.reading, s.end, s.idle = make(chan struct{}), cancel, time.AfterFunc(patience, cancel)
		go s.read(ctx, m, s.indexes)
	}
	return m, s.indexes, nil
}

// indexesOf returns an index of each file of m: the one that there is, unless the file is
// another one by now. s.mu is held.
func (s *source) indexesOf(m *inspect.Map) []*index {
	had := map[string]*index{}
	for _, x := range s.indexes {
		had[x.name] = x
	}
	indexes := make([]*index, len(m.Files))
	known, replaced := 0, false
	for i, f := range m.Files {
		x, now := had[nameOf(f)], statOf(f)
		if x != nil {
			known++
			if x.replaced(m, i, now) {
				x, replaced = nil, true
			}
		}
		if x == nil {
			x = newIndex(f, maxBuckets)
			x.seen.info, x.newest = now, newest(m, i)
		}
		x.mu.Lock()
		x.file = f
		x.mu.Unlock()
		x.share(len(m.Files))
		indexes[i] = x
	}
	if replaced || known == 0 {
		s.renew()
	}
	return indexes
}

// renew begins another edition: what is being read is worth nothing any more. s.mu is held.
func (s *source) renew() {
	s.edition++
	s.missing, s.readErr = nil, nil
	if s.reading != nil {
		s.end()
	}
}

// again has all files read anew.
func (s *source) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indexes, s.looked = nil, time.Time{}
	s.renew()
}

// current returns a number that is another one when files were replaced.
func (s *source) current() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.edition
}

// read fills the indexes, and finds out what that means for the whole, until ctx ends.
func (s *source) read(ctx context.Context, m *inspect.Map, indexes []*index) {
	failed := fill(ctx, m, indexes)
	var missing []damage
	if ctx.Err() == nil {
		var err error
		missing, err = missingOf(s.path, indexes)
		failed = errors.Join(failed, err)
	}
	s.mu.Lock()
	if ctx.Err() == nil { // else they are not all, or of another edition
		s.missing, s.readErr = missing, failed
	}
	s.mu.Unlock()
	s.check(ctx, m, indexes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	s.idle.Stop()
	close(s.reading)
	s.reading = nil
}

// fill fills the indexes, until ctx ends: of the logs from the newest on, then of the
// snapshots.
func fill(ctx context.Context, m *inspect.Map, indexes []*index) error {
	var failed error
	for _, kind := range []inspect.FileKind{inspect.LogFile, inspect.SnapshotFile, inspect.StateFile} {
		for i := len(indexes) - 1; i >= 0; i-- {
			if m.Files[i].Kind != kind || ctx.Err() != nil {
				continue
			}
			err := indexes[i].bring(m, i, func() bool { return ctx.Err() == nil })
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // else it was dropped
				failed = errors.Join(failed, err)
			}
		}
	}
	return failed
}

// file returns the number of the file of that name.
func (s *source) file(name string) (m *inspect.Map, indexes []*index, i int, err error) {
	if m, indexes, err = s.look(); err != nil {
		return nil, nil, 0, err
	}
	for i, f := range m.Files {
		if nameOf(f) == name {
			return m, indexes, i, nil
		}
	}
	return nil, nil, 0, fmt.Errorf("view: there is no file %q in %s; the store may have dropped it: %w", name, s.path, fs.ErrNotExist)
}

// damages returns all that is wrong as far as it is known.
func (s *source) damages(indexes []*index) []damage {
	all := []damage{}
	for _, x := range indexes {
		x.mu.Lock()
		all = append(all, x.damaged...)
		x.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(all, s.missing...)
}

// missingOf returns what is wrong with the files at path as a whole, once all was read. It
// lists them anew: a store that is open may have begun a log, or dropped some, meanwhile.
// A listing that is made while that happens may show neither what goes nor what comes, so
// what is missing must be missing in two.
func missingOf(path string, indexes []*index) ([]damage, error) {
	known := map[string]*index{}
	for _, x := range indexes {
		x.mu.Lock()
		whole := x.whole
		x.mu.Unlock()
		if !whole {
			return nil, nil // it was dropped
		}
		known[x.name] = x
	}
	first, err := missingNow(path, known)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	second, err := missingNow(path, known)
	return slices.DeleteFunc(first, func(d damage) bool { return !slices.Contains(second, d) }), err
}

// missingNow is missingOf by one listing. known are the indexes by the names of files.
func missingNow(path string, known map[string]*index) ([]damage, error) {
	m, err := inspect.OpenMap(path)
	if err != nil {
		return nil, err
	}
	var all []damage
	for _, err := range m.Missing(func(i int) (uint64, bool) {
		x := known[nameOf(m.Files[i])]
		if x == nil {
			return m.Files[i].Base, false
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.last, x.sealed && len(x.damaged) == 0
	}) {
		d := damage{Reason: err.Error()}
		var c *store.CorruptError
		if errors.As(err, &c) {
			d.File, d.Reason = filepath.Base(c.Path), c.Err.Error()
		}
		if gone := known[d.File]; gone == nil || there(m, d.File) {
			all = append(all, d) // else it was there a moment ago: the store has dropped it
		}
	}
	return all, nil
}

// there reports whether m has a file of that name.
func there(m *inspect.Map, name string) bool {
	return slices.ContainsFunc(m.Files, func(f inspect.MapFile) bool { return nameOf(f) == name })
}
