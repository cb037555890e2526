package memfs

import (
	"math/rand/v2"
)

// A chooser decides what a crash keeps.
type chooser interface {
	// begin announces that the choices to come are about another file.
	begin()
	// choose returns a number in [0, n). With n = 2, 1 keeps and 0 loses.
	choose(n int) int
}

// dice is a chooser that draws. How likely it keeps things is drawn too, for
// each file: else large sets would always be found half there.
type dice struct {
	rng  *rand.Rand
	bits uint64 // not drawn from yet, 16 of them for one choice of two
	keep uint64 // of 1<<16: how likely a choice of two is 1
}

func (d *dice) begin() { d.keep = d.rng.Uint64N(1<<16 + 1) }

func (d *dice) choose(n int) int {
	if n != 2 {
		// The first and the last of many sizes are the likely ones.
		switch d.rng.Uint64() & 7 {
		case 0, 1:
			return 0
		case 2, 3:
			return n - 1
		}
		return d.rng.IntN(n)
	}
	if d.bits == 0 {
		d.bits = d.rng.Uint64()
	}
	drawn := d.bits & (1<<16 - 1)
	d.bits >>= 16
	if drawn < d.keep {
		return 1
	}
	return 0
}

// odometer is a chooser that makes every sequence of choices once: each run
// through the same code, followed by next, makes another.
type odometer struct {
	wheels []wheel
	pos    int // wheels before it have been read in this run
}

type wheel struct{ digit, n int }

func (o *odometer) begin() {}

func (o *odometer) choose(n int) int {
	if o.pos == len(o.wheels) {
		o.wheels = append(o.wheels, wheel{0, n})
	}
	o.pos++
	return o.wheels[o.pos-1].digit
}

// next turns the odometer and reports whether there is another sequence.
func (o *odometer) next() bool {
	o.pos = 0
	for i := len(o.wheels) - 1; i >= 0; i-- {
		if o.wheels[i].digit++; o.wheels[i].digit < o.wheels[i].n {
			o.wheels = o.wheels[:i+1]
			return true
		}
	}
	return false
}

// noise is what never written pages of a disk may hold.
var noise = newNoise()

func newNoise() (pages [4][]byte) {
	src := rand.NewChaCha8([32]byte{1})
	for i := range pages {
		pages[i] = make([]byte, maxPageSize)
		_, _ = src.Read(pages[i]) // never fails
	}
	return pages
}

// garbage returns what a page shows that has its place on the disk but was
// never written there: zeros, noise, or an older page of the same file.
func (f *inode) garbage(page int64, c chooser, pageSize int) []byte {
	switch c.choose(3) {
	case 0:
		return reservedMark
	case 1:
		if page > 0 {
			if p := f.disk.page(page - 1); len(p) > 0 {
				return p
			}
		}
	}
	return noise[page%int64(len(noise))][:pageSize]
}
