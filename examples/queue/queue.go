package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/stateio/stateio/store"
)

// The state machine. It has ApplyAt, and so the time of each update, which is in the
// log: a job is due at the same update whenever that is replayed. No clock is looked at.

// A job is text that is to be written at a time.
type job struct {
	ID      uint64    // the index of the update that added it
	Due     time.Time // when it may be taken
	Attempt int       // how often it was taken
	Text    string
}

// An update is what the store logs: one of its fields is set.
type update struct {
	Add  *add  `json:",omitempty"`
	Take *take `json:",omitempty"`
	Done *done `json:",omitempty"`
}

// add adds a job that is due after a while.
type add struct {
	Text  string
	After time.Duration // in nanoseconds
}

// take takes the job that is due first. If it is not done within the lease, it is due
// again.
type take struct {
	Lease time.Duration // in nanoseconds
}

// done says that the job, as it was taken for the Attempt-th time, is done.
type done struct {
	ID      uint64
	Attempt int
}

// jobs is the state: the jobs that are not done, the one that is due first at the
// front.
type jobs struct {
	store.NoTypedApply[update, job]
	waiting []job
}

// What ApplyAt refuses.
var (
	errNotDue = errors.New("no job is due")
	errGone   = errors.New("the job was done, or taken again since")
)

// ApplyAt makes an update, and returns the job that it was about.
func (q *jobs) ApplyAt(at time.Time, index uint64, u update) (job, error) {
	switch {
	case u.Add != nil:
		j := job{ID: index, Due: at.Add(u.Add.After), Text: u.Add.Text}
		q.insert(j)
		return j, nil
	case u.Take != nil:
		if len(q.waiting) == 0 || q.waiting[0].Due.After(at) {
			return job{}, errNotDue
		}
		j := q.remove(0)
		j.Attempt++
		j.Due = at.Add(u.Take.Lease)
		q.insert(j)
		return j, nil
	case u.Done != nil:
		i := slices.IndexFunc(q.waiting, func(j job) bool { return j.ID == u.Done.ID && j.Attempt == u.Done.Attempt })
		if i < 0 {
			return job{}, errGone
		}
		return q.remove(i), nil
	default:
		return job{}, errors.New("an update that does nothing")
	}
}

func (q *jobs) insert(j job) {
	i, _ := slices.BinarySearchFunc(q.waiting, j, func(a, b job) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	})
	q.waiting = slices.Insert(q.waiting, i, j)
}

func (q *jobs) remove(i int) job {
	j := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return j
}

// Snapshot captures the jobs: a copy of the slice, whose jobs are never changed.
func (q *jobs) Snapshot() (io.WriterTo, error) { return captured(slices.Clone(q.waiting)), nil }

// Restore replaces the jobs by those of a snapshot.
func (q *jobs) Restore(snapshot io.Reader) error {
	var all []job
	if err := json.NewDecoder(snapshot).Decode(&all); err != nil {
		return fmt.Errorf("reading the jobs of a snapshot: %w", err)
	}
	q.waiting = all
	return nil
}

// captured are the jobs of a snapshot.
type captured []job

// WriteTo writes a snapshot.
func (c captured) WriteTo(w io.Writer) (int64, error) {
	b, err := json.Marshal(append([]job{}, c...))
	if err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}
