package view

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"github.com/stateio/stateio/inspect"
)

const (
	defaultRows = 100
	maxRows     = 500
	// workTime is how long one request reads before it ends with what it has come to: the
	// page asks on.
	workTime = time.Second
)

// A row is one of the list: an update, a state, damage, or what else a file holds.
type row struct {
	File      string    `json:"file"`
	Offset    int64     `json:"offset"`
	End       int64     `json:"end"`
	Content   string    `json:"content"`
	Index     uint64    `json:"index,omitempty"`
	Nth       int       `json:"nth,omitempty"`
	Begins    bool      `json:"begins,omitempty"`
	State     bool      `json:"state,omitempty"` // an update that is a whole state
	Time      time.Time `json:"time,omitzero"`
	Epoch     uint64    `json:"epoch,omitempty"`
	Size      int64     `json:"size"`
	Prefix    []byte    `json:"prefix,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	LostFirst uint64    `json:"lostFirst,omitempty"`
	LostLast  uint64    `json:"lostLast,omitempty"`
}

func rowOf(f inspect.MapFile, p inspect.Part) row {
	return row{
		File: nameOf(f), Offset: p.Offset, End: p.End, Content: p.Content.String(), Index: p.Index, Nth: p.Nth,
		Begins: p.Begins, State: p.State, Time: p.Time, Epoch: p.Epoch, Size: p.Size, Prefix: append([]byte(nil), p.Prefix...),
		Reason: p.Reason, LostFirst: p.LostFirst, LostLast: p.LostLast,
	}
}

// rows are what a list shows, and where it goes on.
type rows struct {
	Rows []row `json:"rows"`
	// Next is where what follows begins; nil at the end.
	Next *place `json:"next,omitempty"`
	Read int64  `json:"read"` // bytes that were looked at
}

// A place is one in a file: a part at an offset, and which of a group.
type place struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Nth    int    `json:"nth"`
}

// A walk goes through parts from a place on, through one file or, from one log to the next,
// all updates of a store.
type walk struct {
	ctx   context.Context
	m     *inspect.Map
	i     int // of the file
	mark  inspect.Mark
	start place // skip what is before
	one   bool  // stay in this file
	over  bool  // begin with the part that start lies in
	// unread says that the index has not come to start yet: it may be far from the mark.
	unread bool
}

// run calls f for each part until that returns false, or it has taken long. It reports where
// it has stopped, nil at the end. Where start is not read yet, that may be start, with no part
// before it: the index will have come nearer then.
func (w *walk) run(f func(file inspect.MapFile, p inspect.Part) bool) (*place, error) {
	begun, late := false, lateAfter(workTime)
	for n := 0; w.i < len(w.m.Files); w.i++ {
		file := w.m.Files[w.i]
		if n > 0 && (w.one || file.Kind != inspect.LogFile) {
			break
		}
		for p, err := range w.m.Parts(w.i, w.mark) {
			here := place{nameOf(file), p.Offset, p.Nth}
			switch {
			case errors.Is(err, fs.ErrNotExist) && n > 0:
			case err != nil:
				return nil, err
			case w.ctx.Err() != nil:
				return nil, w.ctx.Err()
			case n == 0 && w.skips(here, p.End):
				if w.unread && late() {
					return &w.start, nil
				}
			case begun && late(), !f(file, p):
				return &here, nil
			default:
				begun = true // each request goes on, however slow the disk is
			}
		}
		n++
		w.mark = inspect.Mark{}
	}
	return nil, nil
}

// lateAfter returns a function that reports whether so much time has passed since.
func lateAfter(d time.Duration) func() bool {
	end := time.Now().Add(d)
	return func() bool { return time.Now().After(end) }
}

// skips reports whether what is at p, and ends at end, is before the start.
func (w *walk) skips(p place, end int64) bool {
	if w.over && end > w.start.Offset {
		return false
	}
	return p.File == w.start.File && p.before(w.start)
}

func (p place) before(q place) bool {
	return p.Offset < q.Offset || p.Offset == q.Offset && p.Nth < q.Nth
}

// from returns the walk that r asks for: from a file and an offset on, or from the update of
// an index, or from a time on.
func (h *handler) from(r *http.Request) (*walk, error) {
	q := r.URL.Query()
	w := &walk{ctx: r.Context(), one: q.Has("one"), over: q.Has("over")}
	index, err1 := number(r, "index", 0, 0, 1<<62)
	ms, err2 := number(r, "at", 0, 0, 1<<53)
	off, err3 := number(r, "offset", 0, 0, 1<<62)
	nth, err4 := number(r, "nth", 0, 0, 1<<31)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, badRequest{err}
	}
	if name := q.Get("file"); name != "" {
		m, indexes, i, err := h.source.file(name)
		if err != nil {
			return nil, err
		}
		w.m, w.i, w.mark, w.start = m, i, indexes[i].markBefore(off), place{name, off, int(nth)}
		w.unread = !indexes[i].read(off)
		return w, nil
	}
	m, indexes, err := h.source.look()
	if err != nil {
		return nil, err
	}
	w.m = m
	t := time.UnixMilli(ms)
	for i, f := range m.Files {
		if f.Kind == inspect.LogFile && (q.Has("at") && f.Time.Before(t) || !q.Has("at") && f.Base < uint64(index)) {
			w.i = i
		}
	}
	if q.Has("at") {
		w.mark = indexes[w.i].markOf(func(b bucket) bool { return b.time.Before(t) })
	} else {
		w.mark = indexes[w.i].markOf(func(b bucket) bool { return b.index <= uint64(index) })
	}
	return w, nil
}

// entries answers with the parts from a place on, those before an index or a time left out.
// Where that is not read yet there may be none, and a place to go on at.
func (h *handler) entries(r *http.Request) (any, error) {
	w, err := h.from(r)
	limit, err2 := number(r, "limit", defaultRows, 1, maxRows)
	index, _ := number(r, "index", 0, 0, 1<<62) // from has checked it
	ms, _ := number(r, "at", 0, 0, 1<<53)
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	out := &rows{Rows: []row{}}
	q := r.URL.Query()
	skips := q.Has("index") || q.Has("at")
	out.Next, err = w.run(func(f inspect.MapFile, p inspect.Part) bool {
		if int64(len(out.Rows)) == limit {
			return false
		}
		isUpdate := p.Content == inspect.ContentUpdate
		early := isUpdate && (p.Index < uint64(index) || p.Time.UnixMilli() < ms) || !isUpdate && len(out.Rows) == 0 && p.Content != inspect.ContentDamage
		if skips && early || p.Content == inspect.ContentFree && !w.one {
			return true
		}
		out.Rows = append(out.Rows, rowOf(f, p))
		return true
	})
	return out, err
}
