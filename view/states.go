package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/stateio/stateio/store"
)

const (
	maxState   = 4 << 20 // bytes of a state that are shown
	keptStates = 4
	keptBytes  = 16 << 20 // of their texts
)

// A stateText is a state as it is shown.
type stateText struct {
	Index     uint64        `json:"index"`
	Kind      string        `json:"kind"` // json, text or hex
	Text      string        `json:"text"`
	Size      int64         `json:"size"` // bytes that Show has written
	Truncated bool          `json:"truncated"`
	Took      time.Duration `json:"took_ns"`
}

// states restores states, one at a time, and keeps the last ones. Safe for concurrent use;
// a request that can be given up takes its turn first.
type states struct {
	dir  string
	opts Options

	mu      sync.Mutex
	kept    []*stateText // the one used last comes last
	edition uint64       // of the files that they are of
}

// get returns the state of index in that edition of the files.
func (s *states) get(ctx context.Context, index, edition uint64) (*stateText, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.edition != edition {
		s.kept, s.edition = nil, edition
	}
	for i, t := range s.kept {
		if t.Index == index {
			s.kept = append(append(s.kept[:i:i], s.kept[i+1:]...), t)
			return t, nil
		}
	}
	begun := time.Now()
	b := &bounded{}
	if err := s.show(ctx, wantedWriter{ctx, b}, index); err != nil {
		return nil, err
	}
	t := textOf(b)
	t.Index, t.Took = index, time.Since(begun)
	s.keep(t)
	return t, nil
}

// keep keeps t, and drops what is then too much.
func (s *states) keep(t *stateText) {
	s.kept = append(s.kept, t)
	bytes := 0
	for i := len(s.kept) - 1; i >= 0; i-- {
		bytes += len(s.kept[i].Text)
		if i < len(s.kept)-1 && (bytes > keptBytes || len(s.kept)-i > keptStates) {
			s.kept = slices.Clone(s.kept[i+1:])
			return
		}
	}
}

// show writes the state of index to w, unless ctx ends before.
func (s *states) show(ctx context.Context, w io.Writer, index uint64) error {
	if s.opts.Machine == nil {
		return showFile(w, s.dir, index)
	}
	m := s.opts.Machine()
	if err := store.RestoreAt(ctx, s.dir, m, index, nil); err != nil {
		return err
	}
	show := s.opts.Show
	if show == nil {
		show = showSnapshot
	}
	if err := show(w, m); err != nil {
		return fmt.Errorf("view: showing the state of update %d: %w", index, err)
	}
	return nil
}

// A wantedWriter takes what is written for as long as a request is not given up: a state may
// be large.
type wantedWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w wantedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// textOf returns what was written as it is shown.
func textOf(b *bounded) *stateText {
	t := &stateText{Size: b.size, Truncated: b.size > int64(b.Len())}
	data := b.Bytes()
	if t.Truncated {
		for i := 0; i < utf8.UTFMax && len(data) > 0 && !utf8.Valid(data); i++ {
			data = data[:len(data)-1] // a rune that was cut
		}
	}
	var pretty []byte
	if !t.Truncated {
		pretty = indented(data)
	}
	switch {
	case pretty != nil:
		t.Kind, t.Text = "json", string(pretty)
	case utf8.Valid(data) && !bytes.ContainsRune(data, 0):
		t.Kind, t.Text = "text", string(data)
	default:
		t.Kind, t.Text = "hex", dump(data[:min(len(data), 64<<10)])
		t.Truncated = t.Truncated || len(data) > 64<<10
	}
	return t
}

// dump returns bytes as lines of 16.
func dump(b []byte) string {
	var out bytes.Buffer
	for at := 0; at < len(b); at += 16 {
		line := b[at:min(at+16, len(b))]
		text := make([]byte, len(line))
		for i, c := range line {
			if text[i] = '.'; c >= ' ' && c < 0x7f {
				text[i] = c
			}
		}
		fmt.Fprintf(&out, "%08x  %-48s %s\n", at, fmt.Sprintf("% x", line), text)
	}
	return out.String()
}

// A bounded buffer keeps the first bytes that are written to it.
type bounded struct {
	bytes.Buffer
	size int64
}

func (b *bounded) Write(p []byte) (int, error) {
	b.size += int64(len(p))
	if room := maxState - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// state answers with the state of an index.
func (h *handler) state(r *http.Request) (any, error) {
	index, err := number(r, "index", 0, 0, 1<<62)
	if err != nil {
		return nil, err
	}
	t, err := h.stateAt(r.Context(), index)
	return orWhyNot(t, err)
}

// stateAt returns the state of an index in the files as they are now.
func (h *handler) stateAt(ctx context.Context, index int64) (*stateText, error) {
	if _, _, err := h.source.look(); err != nil {
		return nil, err
	}
	return h.states.get(ctx, uint64(index), h.source.current())
}

// orWhyNot returns v, or as an answer why there is none: of a damaged store that is no
// failure of this program.
func orWhyNot(v any, err error) (any, error) {
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotRetained) {
		return map[string]string{"error": err.Error()}, nil
	}
	return v, err
}

// diff answers with what differs between the states of the indexes a and b.
func (h *handler) diff(r *http.Request) (any, error) {
	a, err1 := number(r, "a", 0, 0, 1<<62)
	b, err2 := number(r, "b", 0, 0, 1<<62)
	if err := errors.Join(err1, err2); err != nil {
		return nil, badRequest{err}
	}
	before, err := h.stateAt(r.Context(), a)
	if err != nil {
		return orWhyNot(nil, err)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err // nobody waits for it any more
	}
	after, err := h.stateAt(r.Context(), b)
	if err != nil {
		return orWhyNot(nil, err)
	}
	lines, whole := difference(before.Text, after.Text)
	return struct {
		A     uint64 `json:"a"`
		B     uint64 `json:"b"`
		Lines []line `json:"lines"`
		Whole bool   `json:"whole"` // all of both states was compared, and all is in Lines
	}{before.Index, after.Index, lines, whole && !before.Truncated && !after.Truncated}, nil
}
