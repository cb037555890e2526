package view

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/stateio/stateio/inspect"
)

// contents is how many contents there are, and one more for what is not known yet.
const contents = int(inspect.ContentStranded) + 1

// A bucket says what a stretch of a file holds, and where a walk can begin in it.
type bucket struct {
	bytes  [contents]uint32 // of each content
	mark   inspect.Mark
	marked bool
	index  uint64 // of the update at the mark
	time   time.Time
}

// add adds the bucket after b.
func (b *bucket) add(after bucket) {
	for i, n := range after.bytes {
		b.bytes[i] += n
	}
	if !b.marked {
		b.mark, b.marked, b.index, b.time = after.mark, after.marked, after.index, after.time
	}
}

// A piece is a range of a file of one content.
type piece struct {
	from, to int64
	content  inspect.Content
	reason   string
}

// A damage is what is wrong somewhere. Offsets are in bytes.
type damage struct {
	File      string    `json:"file"`
	Offset    int64     `json:"offset"`
	Length    int64     `json:"length"`
	Place     string    `json:"place,omitempty"`
	Reason    string    `json:"reason"`
	LostFirst uint64    `json:"lostFirst,omitempty"`
	LostLast  uint64    `json:"lostLast,omitempty"`
	After     time.Time `json:"after,omitzero"`
}

// leastBucket is the size of the buckets of a small file, in bytes. It doubles when there
// are too many.
const leastBucket = 256

// maxDamage is how many damages of a file are kept.
const maxDamage = 200

// An index is what is known of one file. Its memory does not grow with the file. Safe for
// concurrent use.
type index struct {
	name string // of the file

	mu      sync.Mutex
	file    inspect.MapFile
	seen    sight
	most    int // buckets
	size    int64
	buckets []bucket
	done    int64 // all before this offset is in buckets
	tail    []piece
	whole   bool // a walk came to the end

	mark    inspect.Mark // the last one
	updates uint64       // and states, of a state file
	states  uint64
	last    uint64 // index of the last update
	since   time.Time
	until   time.Time
	sealed  bool
	damaged []damage
	more    int  // damages that are not kept
	current int  // damages, kept or not, of the current state of a state file
	hurt    bool // what was read last is damage
	newest  bool // no later log was there when it was read from the beginning on

	mostDamage int // how many are
}

// sizes of indexes: what all files may have is divided among them.
const (
	maxBuckets  = 1 << 16 // about
	leastShare  = 8
	maxDamages  = 4000
	leastDamage = 5
)

// shares returns how many buckets and damages an index of one of n files may have.
func shares(n int) (buckets, damages int) {
	n = max(1, n)
	return max(leastShare, maxBuckets/n), min(maxDamage, max(leastDamage, maxDamages/n))
}

// share makes x one of n indexes. What it has too much of is given up: buckets are joined.
func (x *index) share(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.most, x.mostDamage = shares(n)
	if len(x.buckets) > x.most {
		for len(x.buckets) > x.most {
			x.double()
		}
		x.buckets = slices.Clip(slices.Clone(x.buckets))
	}
	if rest := len(x.damaged) - x.mostDamage; rest > 0 {
		x.damaged = slices.Clone(x.damaged[:x.mostDamage])
		x.more += rest
	}
}

func newIndex(f inspect.MapFile, most int) *index {
	return &index{name: nameOf(f), file: f, most: most, mostDamage: maxDamage, size: leastBucket, last: f.Base}
}

// walk brings x up to date: from where it is, to the end of the file, for as long as it is
// wanted. It reports whether it came to the end. The file is number i of m.
func (x *index) walk(m *inspect.Map, i int, wanted func() bool) (ended bool, err error) {
	x.mu.Lock()
	from, done := x.mark, x.done
	x.mu.Unlock()
	var tail []piece
	for p, err := range m.Parts(i, from) {
		switch {
		case err != nil:
			return false, err
		case p.Offset < done: // it was counted before
		case p.Content == inspect.ContentFree || p.Content == inspect.ContentTorn:
			tail = append(tail, piece{p.Offset, p.End, p.Content, p.Reason}) // until more is written
		case p.Nth == 0 && !wanted():
			return false, nil
		default:
			x.count(p)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tail, x.whole = tail, true
	return true, nil
}

// settled reports whether the file was read, and nothing is ever added to it. x.mu is held.
func (x *index) settled() bool {
	return x.whole && (x.sealed || x.file.Kind == inspect.SnapshotFile || x.file.Err != nil)
}

// count takes part p, the next one.
func (x *index) count(p inspect.Part) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch p.Content {
	case inspect.ContentUpdate:
		x.updates++
		x.last = p.Index
	case inspect.ContentState:
		x.states++
		x.supersede()
	case inspect.ContentEnd:
		x.sealed = true
	case inspect.ContentDamage:
		x.damage(p)
	}
	x.hurt = p.Content == inspect.ContentDamage
	if !p.Time.IsZero() {
		if x.since.IsZero() {
			x.since = p.Time
		}
		x.until = p.Time
	}
	if p.Nth > 0 {
		return
	}
	x.fill(p.Content, x.done, p.End)
	if mark, ok := p.Mark(); ok && mark.Offset() > 0 && x.file.Kind != inspect.SnapshotFile {
		x.mark = mark
		if b := x.at(p.Offset); !b.marked {
			b.mark, b.marked, b.index, b.time = mark, true, p.Index, p.Time
		}
	}
	x.done = max(x.done, p.End)
}

// damage keeps what is wrong in part p.
func (x *index) damage(p inspect.Part) {
	d := damage{
		File: x.name, Offset: p.Offset, Length: p.End - p.Offset, Place: p.Place.String(), Reason: p.Reason,
		LostFirst: p.LostFirst, LostLast: p.LostLast, After: p.Time,
	}
	n := len(x.damaged)
	if n > 0 && x.damaged[n-1].Offset == d.Offset && x.damaged[n-1].Reason == d.Reason {
		return // seen again
	}
	if x.file.Kind != inspect.StateFile {
		d.Place = ""
	} else if p.Place == inspect.Current {
		x.current++
	}
	switch {
	case n >= x.mostDamage:
		x.more++
	default:
		x.damaged = append(x.damaged, d)
	}
}

// supersede is for where a state of a state file begins: damage before it is of no
// consequence for the current one.
func (x *index) supersede() {
	if x.current == 0 {
		return
	}
	x.current = 0
	for i, d := range x.damaged {
		if d.Place == inspect.Current.String() {
			x.damaged[i].Place = inspect.Obsolete.String()
		}
	}
}

// at returns the bucket of an offset.
func (x *index) at(off int64) *bucket {
	for off/x.size >= int64(x.most) {
		x.double()
	}
	i := int(off / x.size)
	if i >= len(x.buckets) {
		x.buckets = slices.Grow(x.buckets, i+1-len(x.buckets))[:i+1]
	}
	return &x.buckets[i]
}

// double makes each two buckets one.
func (x *index) double() {
	half := x.buckets[:0]
	for i := 0; i < len(x.buckets); i += 2 {
		b := x.buckets[i]
		if i+1 < len(x.buckets) {
			b.add(x.buckets[i+1])
		}
		half = append(half, b)
	}
	clear(x.buckets[len(half):])
	x.buckets, x.size = half, 2*x.size
}

// fill counts the bytes of a range of one content.
func (x *index) fill(c inspect.Content, from, to int64) {
	if to > from {
		x.at(to - 1) // doubles, if need be, before the range is cut
	}
	for from < to {
		end := min(to, from-from%x.size+x.size)
		x.at(from).bytes[c] += uint32(end - from)
		from = end
	}
}

// markBefore returns the last mark at an offset or before it: the zero mark if there is
// none.
func (x *index) markBefore(off int64) inspect.Mark {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := min(off/x.size, int64(len(x.buckets))-1); i >= 0; i-- {
		if b := x.buckets[i]; b.marked && b.mark.Offset() <= off {
			return b.mark
		}
	}
	return inspect.Mark{}
}

// read reports whether all before an offset was read.
func (x *index) read(off int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.whole || x.done >= off
}

// markOf returns a mark from which a walk soon comes to the update of that index, or to
// that time.
func (x *index) markOf(before func(b bucket) bool) inspect.Mark {
	x.mu.Lock()
	defer x.mu.Unlock()
	var marked []bucket
	for _, b := range x.buckets {
		if b.marked {
			marked = append(marked, b)
		}
	}
	i := sort.Search(len(marked), func(i int) bool { return !before(marked[i]) })
	if i == 0 {
		return inspect.Mark{}
	}
	return marked[i-1].mark
}
