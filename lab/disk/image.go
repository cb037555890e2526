// Package disk is a disk in memory that records what is written to it, and draws
// the states that a power cut may leave it in.
package disk

import (
	"fmt"
	"io"
	"maps"
)

// pageSize is the unit in which images share their content, in bytes.
const pageSize = 4096

// An Image is the content of a disk. What was never written reads as zeros and
// takes no memory. It is not safe for concurrent use.
type Image struct {
	size  int64
	pages map[int64]*[pageSize]byte // by number; never changed, they are shared by clones
}

// NewImage returns a disk of size bytes of zeros.
func NewImage(size int64) *Image {
	return &Image{size: size, pages: make(map[int64]*[pageSize]byte)}
}

// ReadImage returns a disk with the content of r, of size bytes.
func ReadImage(r io.ReaderAt, size int64) (*Image, error) {
	im := NewImage(size)
	b := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(b)) {
		n, err := r.ReadAt(b[:min(int64(len(b)), size-off)], off)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if _, err := im.WriteAt(b[:n], off); err != nil {
			return nil, err
		}
	}
	return im, nil
}

// Size returns the size in bytes.
func (im *Image) Size() int64 { return im.size }

// Clone returns a copy, cheaply.
func (im *Image) Clone() *Image { return &Image{im.size, maps.Clone(im.pages)} }

// ReadAt implements io.ReaderAt.
func (im *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > im.size {
		return 0, fmt.Errorf("disk: reading at offset %d of %d", off, im.size)
	}
	n := int(min(int64(len(p)), im.size-off))
	for done := 0; done < n; {
		number, from := (off+int64(done))/pageSize, (off+int64(done))%pageSize
		part := p[done:min(n, done+pageSize-int(from))]
		if page := im.pages[number]; page != nil {
			copy(part, page[from:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. It does not keep p.
func (im *Image) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > im.size {
		return 0, fmt.Errorf("disk: writing %d bytes at offset %d of %d", len(p), off, im.size)
	}
	for done := 0; done < len(p); {
		number, from := (off+int64(done))/pageSize, (off+int64(done))%pageSize
		part := p[done:min(len(p), done+pageSize-int(from))]
		im.write(number, int(from), part)
		done += len(part)
	}
	return len(p), nil
}

// write replaces the part of a page that begins at byte from.
func (im *Image) write(number int64, from int, part []byte) {
	page := new([pageSize]byte)
	if old := im.pages[number]; old != nil {
		*page = *old
	}
	copy(page[from:], part)
	if *page == [pageSize]byte{} {
		delete(im.pages, number)
		return
	}
	im.pages[number] = page
}

// WriteTo writes what is not zeros to w, at its place.
func (im *Image) WriteTo(w io.WriterAt) error {
	for number, page := range im.pages {
		n := min(pageSize, im.size-number*pageSize)
		if _, err := w.WriteAt(page[:n], number*pageSize); err != nil {
			return err
		}
	}
	return nil
}
