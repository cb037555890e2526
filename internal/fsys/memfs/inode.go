package memfs

import (
	"io/fs"
	"slices"
	"time"
)

// inode is a regular file of an FS, whose mutex guards it.
//
// What programs see is cur. It is disk with pending applied, but for the pages
// that a failed Sync lost: they are in cur alone.
type inode struct {
	perm    fs.FileMode
	ino     uint64 // its identity
	cur     image
	disk    image    // what a power cut can't take away
	pending []change // since the last sync, oldest first; a power cut keeps some

	changed time.Time // of the last change; zero without Options.Now

	links  int64 // names in cur of directories
	linked bool  // has had more than one
	locked bool
	opens  int // open files and locks
}

// change is one thing that happened to a file and has not reached the disk.
type change struct {
	kind changeKind
	page int64  // setPage: which; reserve: the first
	data []byte // setPage: what it holds now; never changed
	size int64  // grow and cut: the new size; reserve: the page after the last
	from int64  // grow: the size before
}

type changeKind uint8

const (
	setPage  changeKind = iota // a page was written
	growStep                   // size grew by a write: page by page, as it is written back
	grow                       // size grew in one step
	cut                        // size shrank, or was set: what lies beyond is gone
	reserve                    // holes became reserved pages
)

// maxPending is when the oldest changes of a file are written back without
// having been asked for, as kernels do: it bounds memory. Large enough not to
// narrow what crashes find after ordinary work.
const maxPending = 1 << 14

// record notes a change that cur has seen.
func (f *inode) record(c change, pageSize int) {
	if len(f.pending) >= maxPending {
		half := len(f.pending) / 2
		f.disk.applyAll(f.pending[:half], pageSize)
		f.pending = slices.Delete(f.pending, 0, half)
	}
	f.pending = append(f.pending, c)
}

// expect makes room for n changes.
func (f *inode) expect(n int) { f.pending = slices.Grow(f.pending, min(n, maxPending)) }

// change makes c happen in memory.
func (f *inode) change(c change, pageSize int) {
	f.cur.apply(c, pageSize)
	f.record(c, pageSize)
}

// sync makes durable what is pending.
func (f *inode) sync(pageSize int) {
	f.disk.applyAll(f.pending, pageSize)
	f.forgetPending()
}

// failSync is a sync during which the disk refused all pages: none reaches it,
// and the kernel forgets that they should. The cache goes on showing them
// (Linux with ext4 or XFS), or with revert shows again what the disk has.
// Changes of the size stay pending: they are the journal's, not the pages'.
func (f *inode) failSync(revert bool, pageSize int) {
	f.pending = slices.DeleteFunc(f.pending, func(c change) bool { return c.kind == setPage })
	if revert {
		f.dropCache(pageSize)
	}
}

// dropCache makes reads see the disk, with what is pending on top.
func (f *inode) dropCache(pageSize int) {
	f.cur = f.disk.share()
	f.cur.applyAll(f.pending, pageSize)
}

func (f *inode) forgetPending() {
	clear(f.pending) // so that no page is kept alive
	f.pending = f.pending[:0]
}

func (im *image) applyAll(changes []change, pageSize int) {
	for i := range changes {
		im.apply(changes[i], pageSize)
	}
}

func (im *image) apply(c change, pageSize int) {
	switch c.kind {
	case setPage:
		im.set(c.page, c.data)
	case growStep, grow:
		im.size = c.size
	case cut:
		im.truncate(c.size, pageSize)
	case reserve:
		im.reserve(c.page, c.size)
	}
}

// crash returns the file as a power cut may leave it.
//
// Cuts are journaled, so they happen in order: the first few did, the others
// did not. A page written after a cut that did not happen is lost with it if it
// lies past that cut, for its place on disk was found after the cut; any other
// page was written back or was not, page by page, and one that was written
// repeatedly may be found in any state between. The size is one that the file
// had between the last cut that happened and the next.
func (f *inode) crash(c chooser, opts *Options) inode {
	im := f.disk.share()
	if len(f.pending) > 0 {
		c.begin()
		f.crashPending(&im, c, opts)
	}
	return inode{perm: f.perm, ino: f.ino, linked: f.linked, disk: im.share(), cur: im.share()}
}

func (f *inode) crashPending(im *image, c chooser, opts *Options) {
	happened := chooseCuts(f.pending, c)
	size := chooseSize(f.pending, f.disk.size, happened, c, opts.PageSize)
	ps := int64(opts.PageSize)
	past := int64(1) << 62 // where the first page begins that a cut took which did not happen
	cuts := 0
	for i := range f.pending {
		switch ch := &f.pending[i]; ch.kind {
		case cut:
			if cuts++; cuts <= happened {
				im.truncate(ch.size, opts.PageSize)
			} else {
				past = min(past, ch.size/ps)
			}
		case reserve:
			if cuts <= happened && (ch.size-1)*ps < size {
				im.reserve(ch.page, ch.size)
			}
		case setPage:
			if ch.page >= past || cuts >= happened && ch.page*ps >= size {
				continue
			}
			if c.choose(2) == 1 {
				im.set(ch.page, ch.data)
			} else if opts.Garbage && len(im.page(ch.page)) == 0 {
				im.set(ch.page, f.garbage(ch.page, c, opts.PageSize))
			}
		}
	}
	im.truncate(size, opts.PageSize)
}

// chooseCuts returns how many of the cuts happened.
func chooseCuts(pending []change, c chooser) int {
	cuts := 0
	for i := range pending {
		if pending[i].kind == cut {
			cuts++
		}
	}
	if cuts == 0 {
		return 0
	}
	return c.choose(cuts + 1)
}

// chooseSize returns one of the sizes between the last cut that happened and
// the next: size at first, if there was none.
func chooseSize(pending []change, size int64, happened int, c chooser, pageSize int) int64 {
	i := 0
	for cuts := 0; cuts < happened; i++ {
		if pending[i].kind == cut {
			cuts, size = cuts+1, pending[i].size
		}
	}
	sizes := []int64{size}
	for ; i < len(pending) && pending[i].kind != cut; i++ {
		switch ch := &pending[i]; ch.kind {
		case growStep:
			for s := (ch.from/int64(pageSize) + 1) * int64(pageSize); s < ch.size; s += int64(pageSize) {
				sizes = append(sizes, s)
			}
			sizes = append(sizes, ch.size)
		case grow:
			sizes = append(sizes, ch.size)
		}
	}
	if len(sizes) == 1 {
		return size
	}
	return sizes[c.choose(len(sizes))]
}
