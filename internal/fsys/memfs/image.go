package memfs

import (
	"bytes"
	"slices"
)

// chunkPages is the number of pages in a chunk.
const chunkPages = 32

// image is the content of a file: pages of equal size, most of them shared with
// other images. A copy costs a few words, a change copies one chunk of page
// pointers. Pages themselves are never changed once they are in an image.
type image struct {
	size     int64    // bytes; pages at and past it are holes
	pages    int64    // pages that are not holes: written or reserved
	chunks   []*chunk // chunk i holds pages i*chunkPages and on; nil: all holes
	reserved int64    // pages past the last chunk and before this one are reserved
	owner    *owner   // may change chunks, and each chunk that it owns; nil: copy all first
}

// chunk holds pages, each nil (a hole), reserved, or written. What is left out at the
// end of a written page, of which there is at least a byte, is zeros.
type chunk struct {
	owner *owner
	pages [chunkPages][]byte
}

// owner is an identity. Its size is not zero so that no two are equal.
type owner struct{ _ byte }

var (
	// reservedMark is the page that has space on the disk and was never written.
	// It reads as zeros; its length tells it from a written page.
	reservedMark = []byte{}
	// reservedChunk stands for any chunk whose pages are all reserved.
	reservedChunk = newReservedChunk()
)

func newReservedChunk() *chunk {
	c := &chunk{owner: new(owner)}
	for i := range c.pages {
		c.pages[i] = reservedMark
	}
	return c
}

// page returns page i; a hole is nil and a reserved page empty, both read as
// zeros.
func (im *image) page(i int64) []byte {
	switch c := i / chunkPages; {
	case c >= int64(len(im.chunks)):
		if i < im.reserved {
			return reservedMark
		}
	case im.chunks[c] != nil:
		return im.chunks[c].pages[i%chunkPages]
	}
	return nil
}

// set makes p page i; nil makes a hole. The image keeps p.
func (im *image) set(i int64, p []byte) {
	old := im.page(i)
	if old == nil && p == nil {
		return
	}
	if old == nil {
		im.pages++
	}
	if p == nil {
		im.pages--
	}
	im.own(int(i / chunkPages)).pages[i%chunkPages] = p
}

// own returns chunk c for changing.
func (im *image) own(c int) *chunk {
	im.ownChunks(c + 1)
	old := im.chunks[c]
	switch {
	case old == nil:
		im.chunks[c] = &chunk{owner: im.owner}
	case old.owner != im.owner:
		im.chunks[c] = &chunk{owner: im.owner, pages: old.pages}
	}
	return im.chunks[c]
}

// ownChunks makes im.chunks at least n long and free to be changed.
func (im *image) ownChunks(n int) {
	if im.owner == nil {
		im.owner = new(owner)
		im.chunks = slices.Clone(im.chunks)
	}
	for c := len(im.chunks); c < n; c++ {
		im.chunks = append(im.chunks, im.reservedChunk(int64(c)*chunkPages))
	}
}

// reservedChunk returns what stands for the chunk of page first, which is past
// the last chunk.
func (im *image) reservedChunk(first int64) *chunk {
	switch {
	case im.reserved <= first:
		return nil
	case im.reserved >= first+chunkPages:
		return reservedChunk
	}
	c := &chunk{owner: im.owner}
	copy(c.pages[:im.reserved-first], reservedChunk.pages[:])
	return c
}

// share returns a copy that does not change with im, nor im with it.
func (im *image) share() image {
	im.owner = nil
	return *im
}

// reserve turns the holes of pages [first, end) into reserved pages.
func (im *image) reserve(first, end int64) {
	if last := im.last(); end > last {
		if first > last { // holes remain before first: chunks must say so
			im.ownChunks(int(first/chunkPages) + 1)
			last = im.last()
		}
		if end > last {
			im.pages += end - last
			im.reserved = end
		}
	}
	for i := first; i < min(end, im.chunked()); i++ {
		if im.page(i) == nil {
			im.set(i, reservedMark)
		}
	}
}

// holes counts the holes among pages [first, end).
func (im *image) holes(first, end int64) (n int64) {
	for i := first; i < min(end, im.chunked()); i++ {
		if im.page(i) == nil {
			n++
		}
	}
	return n + max(0, end-max(first, im.last()))
}

// chunked returns the number of pages that chunks hold.
func (im *image) chunked() int64 { return int64(len(im.chunks)) * chunkPages }

// last returns the first page that is past all chunks and all reserved pages.
func (im *image) last() int64 { return max(im.chunked(), im.reserved) }

// truncate sets the size and makes holes of all that lies past it; the rest of
// the last page becomes zeros.
func (im *image) truncate(size int64, pageSize int) {
	im.size = size
	end := (size + int64(pageSize) - 1) / int64(pageSize)
	if im.reserved > end {
		im.pages -= max(0, im.reserved-max(end, im.chunked()))
		im.reserved = end
	}
	if keep := int((end + chunkPages - 1) / chunkPages); keep < len(im.chunks) {
		im.ownChunks(0)
		for _, c := range im.chunks[keep:] {
			im.pages -= c.used()
		}
		im.chunks = slices.Delete(im.chunks, keep, len(im.chunks))
	}
	for i := end; i < im.chunked(); i++ {
		if im.page(i) != nil {
			im.set(i, nil)
		}
	}
	if n := int(size % int64(pageSize)); n > 0 {
		if p := im.page(end - 1); len(p) > n {
			im.set(end-1, p[:n:n])
		}
	}
}

// used counts the pages of c that are not holes.
func (c *chunk) used() (n int64) {
	if c == nil {
		return 0
	}
	for _, p := range c.pages {
		if p != nil {
			n++
		}
	}
	return n
}

// read copies bytes from offset off on into p. They must be within the size.
func (im *image) read(p []byte, off int64, pageSize int) {
	for len(p) > 0 {
		i, at := off/int64(pageSize), int(off%int64(pageSize))
		n := min(len(p), pageSize-at)
		k := 0
		if page := im.page(i); len(page) > at {
			k = copy(p[:n], page[at:])
		}
		clear(p[k:n])
		p, off = p[n:], off+int64(n)
	}
}

// zeros is as long as the largest page.
var zeros [maxPageSize]byte

// zero tells whether p, of at most a page, is all zeros.
func zero(p []byte) bool { return bytes.Equal(p, zeros[:len(p)]) }
