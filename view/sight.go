package view

import (
	"hash/maphash"
	"os"
	"time"

	"github.com/stateio/stateio/inspect"
)

// A sight is what was seen of a file when it was read. By it one that was replaced, or
// written over, is noticed: what was read of it is then worth nothing.
type sight struct {
	begun time.Time   // when reading began at the beginning of the file
	info  os.FileInfo // nil if there is none: the file is not one of the operating system
	head  int         // bytes at its beginning
	sum   uint64      // of them
	stale bool        // it was written over
	still bool        // nothing was written to it while it was read to its end
}

// headBytes is how much of the beginning of a file a sight has a sum of.
const headBytes = 4 << 10

var seed = maphash.MakeSeed()

// statOf returns what the operating system says of a file, nil if that is nothing.
func statOf(f inspect.MapFile) os.FileInfo {
	info, err := os.Stat(f.Path)
	if err != nil {
		return nil
	}
	return info
}

// changed reports whether a file was written to, or is another one.
func changed(before, now os.FileInfo) bool {
	return before != nil && now != nil && (!os.SameFile(before, now) || before.Size() != now.Size() || !before.ModTime().Equal(now.ModTime()))
}

// headOf returns the sum of the first n bytes of file i of m, and reports false if they
// can't be read.
func headOf(m *inspect.Map, i, n int) (sum uint64, ok bool) {
	b := make([]byte, n)
	if got, _ := m.ReadAt(i, b, 0); got < n {
		return 0, false
	}
	return maphash.Bytes(seed, b), true
}

// replaced reports whether file i of m can't be what x is the index of: it is another
// file, has become shorter, or what was read of it has changed. Damage to the newest log is
// read anew when another log follows it: only that tells which updates it has cost.
func (x *index) replaced(m *inspect.Map, i int, now os.FileInfo) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := m.Files[i]
	switch {
	case x.seen.stale, f.Size < x.done, x.file.Err != nil && f.Err == nil:
		return true
	case x.newest && len(x.damaged) > 0 && !newest(m, i):
		return true
	case !changed(x.seen.info, now):
		return false
	case !os.SameFile(x.seen.info, now), x.settled():
		return true
	}
	sum, ok := headOf(m, i, x.seen.head) // a new file may have the number of one that is gone
	return ok && sum != x.seen.sum
}

// newest reports whether file i of m is the newest log.
func newest(m *inspect.Map, i int) bool {
	return m.Files[i].Kind == inspect.LogFile && (i+1 == len(m.Files) || m.Files[i+1].Kind != inspect.LogFile)
}

// bring brings x up to date, as walk does, and notes what it sees of file i of m. If the
// file was written to, but nothing was added, or what was added is damaged, then x is of no
// use any more: the file was written over, perhaps. Nor is it if the file ended with damage,
// and goes on now: that may have been what was not there yet of a copy.
func (x *index) bring(m *inspect.Map, i int, wanted func() bool) error {
	before := statOf(m.Files[i])
	x.mu.Lock()
	if x.settled() || x.resting(before) {
		x.mu.Unlock()
		return nil // and what was seen stays: the next look compares
	}
	if x.seen.begun.IsZero() {
		x.seen.begun = time.Now()
	}
	read, had, hurt := x.whole, x.extent(), x.hurt
	written := changed(x.seen.info, before)
	x.mu.Unlock()
	ended, err := x.walk(m, i, wanted)
	if err != nil {
		return err
	}
	after := statOf(m.Files[i])
	x.mu.Lock()
	defer x.mu.Unlock()
	has := x.extent()
	x.seen.still = ended && before != nil && after != nil && !changed(before, after)
	touched := written || changed(x.seen.info, after)
	switch {
	case ended && read && written && has == had,
		touched && had.done > 0 && has.damages > had.damages,
		read && hurt && has.done > had.done:
		x.seen.stale = true
	}
	switch {
	case !ended: // what was written is still to be read
	case x.settled():
		x.seen.info = before // nobody writes to it: what changed meanwhile was not read
	default:
		x.seen.info = after
	}
	if head := int(min(x.done, headBytes)); head > x.seen.head {
		if sum, ok := headOf(m, i, head); ok {
			x.seen.head, x.seen.sum = head, sum
		}
	}
	return nil
}

// resting reports whether a state file is as it was when all of it was read: a walk would come
// to nothing new, and might have to read the state again that the file ends with. A log is
// another thing: what is written to it need not change its size. x.mu is held.
func (x *index) resting(now os.FileInfo) bool {
	return x.file.Kind == inspect.StateFile && x.seen.still && now != nil && !changed(x.seen.info, now)
}

// An extent is how much an index has.
type extent struct {
	done, torn int64
	damages    int
	whole      bool
}

// extent returns how much x has. x.mu is held.
func (x *index) extent() extent {
	e := extent{done: x.done, damages: len(x.damaged) + x.more, whole: x.whole}
	for _, t := range x.tail {
		if t.content == inspect.ContentTorn {
			e.torn += t.to - t.from
		}
	}
	return e
}
