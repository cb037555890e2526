package view

import (
	"net/http"
	"time"

	"github.com/stateio/stateio/inspect"
)

// A fileSummary is what the page shows of a file at first.
type fileSummary struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Size    int64     `json:"size"`
	Base    uint64    `json:"base"`
	Last    uint64    `json:"last"`
	Updates uint64    `json:"updates"`
	States  uint64    `json:"states"`
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Begun   time.Time `json:"begun,omitzero"` // when reading of it began
	Done    int64     `json:"done"`           // bytes that were read
	Whole   bool      `json:"whole"`
	Sealed  bool      `json:"sealed"`
	Damages int       `json:"damages"`
	Error   string    `json:"error,omitempty"`
}

// A summary is all that the page needs to begin with.
type summary struct {
	Path    string        `json:"path"`
	Store   bool          `json:"store"`
	Live    bool          `json:"live"`
	States  string        `json:"states"` // that can be shown: any, those of snapshots, or none
	Verdict verdict       `json:"verdict"`
	Files   []fileSummary `json:"files"`
	Damages []damage      `json:"damages"`
	More    int           `json:"more"` // damages that are not listed
	Torn    int64         `json:"torn"` // bytes
	Size    int64         `json:"size"`
	Read    int64         `json:"read"` // bytes of Size
	Whole   bool          `json:"whole"`
	Begun   time.Time     `json:"begun,omitzero"` // when reading of the file began that was read first
	Updates uint64        `json:"updates"`
	First   uint64        `json:"first"` // index of the first update
	Last    uint64        `json:"last"`
	Since   time.Time     `json:"since,omitzero"`
	Until   time.Time     `json:"until,omitzero"`

	current int // damages of the current state of a state file
}

// summary tells what there is, and what is wrong.
func (h *handler) summary(*http.Request) (any, error) {
	m, indexes, err := h.source.look()
	if err != nil {
		return nil, err
	}
	s := summary{
		Path: visible(m.Path), Store: m.Store, Live: h.opts.Stats != nil, States: "none",
		Whole: true, Damages: h.source.damages(indexes),
	}
	for i, x := range indexes {
		s.add(x)
		if m.Files[i].Kind == inspect.SnapshotFile {
			s.States = "snapshots"
		}
	}
	if m.Store && h.opts.Machine != nil {
		s.States = "any"
	}
	check, failed := h.source.outcome(len(s.Damages))
	s.Verdict = h.judge(&s, check, failed)
	return s, nil
}

// add adds the file that x is the index of.
func (s *summary) add(x *index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := fileSummary{
		Name: x.name, Kind: x.file.Kind.String(), Size: x.file.Size, Base: x.file.Base, Last: x.last,
		Updates: x.updates, States: x.states, Since: x.since, Until: x.until, Begun: x.seen.begun, Done: min(x.done, x.file.Size),
		Whole: x.whole, Sealed: x.sealed, Damages: len(x.damaged) + x.more,
	}
	if f.Since.IsZero() {
		f.Since = x.file.Time
	}
	if x.whole {
		f.Done = f.Size
	}
	if x.file.Err != nil {
		f.Error = x.file.Err.Error()
	}
	for _, t := range x.tail {
		if t.content == inspect.ContentTorn {
			s.Torn += t.to - t.from
		}
	}
	s.Files = append(s.Files, f)
	s.More += x.more
	s.current += x.current
	s.Size += f.Size
	s.Read += f.Done
	s.Whole = s.Whole && f.Whole
	if s.Begun.IsZero() || !f.Begun.IsZero() && f.Begun.Before(s.Begun) {
		s.Begun = f.Begun
	}
	s.Updates += f.Updates
	s.Last = max(s.Last, f.Last)
	if x.file.Kind == inspect.SnapshotFile {
		return
	}
	if first := f.Base + 1; len(s.Files) == 1 && x.file.Kind == inspect.LogFile {
		s.First = first
	}
	if s.Since.IsZero() || !f.Since.IsZero() && f.Since.Before(s.Since) {
		s.Since = f.Since
	}
	if f.Until.After(s.Until) {
		s.Until = f.Until
	}
}
