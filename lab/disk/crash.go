package disk

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// A Record is the history of a disk, from which crash states are drawn in the
// order of time. It is not safe for concurrent use.
type Record struct {
	events  []event
	at      int // the power cut comes before this event
	flushed int // index after the last flush before at
	durable *Image
	mark    any // the last one before at
}

// A State is what a power cut left.
type State struct {
	Image *Image
	Mark  any    // the last mark before the cut, or nil
	About string // what was kept of what
}

// Len returns the number of moments at which the power can be cut: before each
// write, flush and mark, and at the end.
func (r *Record) Len() int { return len(r.events) + 1 }

// Count returns the number of writes and of flushes.
func (r *Record) Count() (writes, flushes int) {
	for i := range r.events {
		switch e := &r.events[i]; {
		case e.data != nil:
			writes++
		case e.isFlush():
			flushes++
		}
	}
	return writes, flushes
}

// Advance goes to a moment in time, which must not lie before the last one.
func (r *Record) Advance(at int) {
	if at < r.at || at > len(r.events) {
		panic(fmt.Sprintf("disk: advancing from %d to %d of %d", r.at, at, len(r.events)))
	}
	for ; r.at < at; r.at++ {
		switch e := &r.events[r.at]; {
		case e.mark != nil:
			r.mark = e.mark
		case e.isFlush():
			for _, w := range r.volatile() {
				keep(r.durable, w.off, w.data)
			}
			r.flushed = r.at + 1
		}
	}
}

// volatile returns the writes since the last flush.
func (r *Record) volatile() []event {
	var writes []event
	for _, e := range r.events[r.flushed:r.at] {
		if e.data != nil {
			writes = append(writes, e)
		}
	}
	return writes
}

// keep puts on the image what a write left of itself. The recorder has accepted
// it, so it fits.
func keep(im *Image, off int64, data []byte) {
	if _, err := im.WriteAt(data, off); err != nil {
		panic(err)
	}
}

// Draw returns a state that a power cut at this moment may leave: all that was
// flushed, and of what was written since any part, in units of unit bytes. Later
// writes of a unit replace earlier ones. A write of the page of 4 KiB at one of the
// offsets whole is not torn.
func (r *Record) Draw(rng *rand.Rand, unit int, whole ...int64) State {
	im, writes := r.durable.Clone(), r.volatile()
	kept, total := 0, 0
	choose := chooser(rng, len(writes))
	for i, w := range writes {
		for from := 0; from < len(w.data); {
			n := min(len(w.data)-from, piece(w.off+int64(from), unit, whole))
			total++
			if choose(i) {
				kept++
				keep(im, w.off+int64(from), w.data[from:from+n])
			}
			from += n
		}
	}
	return State{Image: im, Mark: r.mark, About: fmt.Sprintf(
		"a power cut before event %d of %d that kept %d of %d units of %d bytes, of %d writes that were not flushed",
		r.at, len(r.events), kept, total, unit, len(writes))}
}

// piece returns how many bytes at an offset are written or not, never in part.
func piece(off int64, unit int, whole []int64) int {
	if in := off % pageSize; slices.Contains(whole, off-in) {
		return int(pageSize - in)
	}
	return unit - int(off%int64(unit))
}

// chooser returns a function that chooses what is kept of n writes: it is called
// for each unit of each.
func chooser(rng *rand.Rand, n int) func(write int) bool {
	share := rng.Float64()
	switch rng.IntN(6) {
	case 0: // nothing
		return func(int) bool { return false }
	case 1: // everything
		return func(int) bool { return true }
	case 2: // whole writes
		whole := make([]bool, n)
		for i := range whole {
			whole[i] = rng.Float64() < share
		}
		return func(write int) bool { return whole[write] }
	case 3: // all before one that is torn, and nothing after
		torn := rng.IntN(n + 1)
		return func(write int) bool { return write < torn || write == torn && rng.Float64() < share }
	case 4: // all but one write
		lost := rng.IntN(n + 1)
		return func(write int) bool { return write != lost }
	}
	return func(int) bool { return rng.Float64() < share }
}
