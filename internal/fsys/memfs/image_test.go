package memfs

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// oracle is what an image should be, plainly.
type oracle struct {
	data []byte // maxOraclePages pages
	used []bool
	size int64
}

const maxOraclePages = 200

func newOracle() *oracle {
	return &oracle{data: make([]byte, maxOraclePages*testPage), used: make([]bool, maxOraclePages)}
}

func (o *oracle) clone() *oracle {
	return &oracle{data: bytes.Clone(o.data), used: append([]bool(nil), o.used...), size: o.size}
}

func (o *oracle) check(t *testing.T, im *image, step int) {
	t.Helper()
	got := make([]byte, len(o.data))
	im.read(got, 0, testPage)
	if !bytes.Equal(got, o.data) || im.size != o.size {
		t.Fatalf("step %d: the content differs", step)
	}
	var used int64
	for i, u := range o.used {
		if (im.page(int64(i)) != nil) != u {
			t.Fatalf("step %d: page %d is used: %v, want %v", step, i, !u, u)
		}
		if u {
			used++
		}
	}
	if im.pages != used || im.holes(0, maxOraclePages) != maxOraclePages-used {
		t.Fatalf("step %d: %d pages, %d holes; want %d pages of %d", step, im.pages, im.holes(0, maxOraclePages), used, maxOraclePages)
	}
}

// TestImageAgainstOracle does the same random things to images that share
// pages and to plain copies.
func TestImageAgainstOracle(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		images, oracles := []*image{{}}, []*oracle{newOracle()}
		for step := range 200 {
			k := rng.IntN(len(images))
			im, o := images[k], oracles[k]
			i := rng.Int64N(maxOraclePages)
			switch rng.IntN(5) {
			case 0, 1:
				p := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(testPage))
				im.set(i, p)
				clear(o.data[i*testPage:][copy(o.data[i*testPage:], p):testPage])
				o.used[i] = true
			case 2:
				end := min(maxOraclePages, i+1+rng.Int64N(80))
				im.reserve(i, end)
				for j := i; j < end; j++ {
					o.used[j] = true
				}
			case 3:
				size := i*testPage + rng.Int64N(testPage)
				im.truncate(size, testPage)
				o.size = size
				clear(o.data[size:])
				clear(o.used[(size+testPage-1)/testPage:])
			case 4:
				if len(images) < 5 {
					c := im.share()
					images, oracles = append(images, &c), append(oracles, o.clone())
				}
			}
			o.check(t, im, step)
			if step%20 == 19 { // the others, which share its pages, did not change
				for k := range images {
					oracles[k].check(t, images[k], step)
				}
			}
		}
	}
}
