package memfs

import (
	"cmp"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/stateio/stateio/internal/fsys"
)

// node is what has a name: a *inode or a *directory.
type node interface {
	info() fsys.Info
}

func (f *inode) info() fsys.Info {
	return fsys.Info{Mode: f.perm, Size: f.cur.size, Links: f.links, ID: fsys.FileID{Ino: f.ino}}
}

// directory is a directory of an FS, whose mutex guards it.
type directory struct {
	perm   fs.FileMode
	cur    names // what programs see
	disk   names // what a power cut can't take away
	locked bool  // by LockDir
}

func (d *directory) info() fsys.Info { return fsys.Info{Mode: fs.ModeDir | d.perm, Links: 1} }

// names are the entries of a directory, sorted. A slice of them is never
// changed once it is in a directory.
type names []name

type name struct {
	name string
	node node
}

func (ns names) find(s string) (int, bool) {
	return slices.BinarySearchFunc(ns, s, func(n name, s string) int { return cmp.Compare(n.name, s) })
}

func (ns names) get(s string) node {
	if i, ok := ns.find(s); ok {
		return ns[i].node
	}
	return nil
}

// with returns names in which s is n, or is not if n is nil.
func (ns names) with(s string, n node) names {
	i, ok := ns.find(s)
	out := make(names, 0, len(ns)+1)
	out = append(out, ns[:i]...)
	if n != nil {
		out = append(out, name{s, n})
	}
	if ok {
		i++
	}
	return append(out, ns[i:]...)
}

// A step changes one name, or two at once (rename), and is not yet on the disk.
type step struct {
	sets [2]set
	n    int // of sets in use
}

// set gives a name to a node, or to nothing if node is nil.
type set struct {
	place
	node node
}

type place struct {
	dir  *directory
	name string
}

// take makes a step happen in memory and records it.
func (m *FS) take(sets ...set) {
	var st step
	st.n = copy(st.sets[:], sets)
	for _, s := range sets {
		s.dir.cur = s.dir.cur.with(s.name, s.node)
	}
	m.steps = append(m.steps, st)
}

// syncSteps makes durable every step that touches dir, and the earlier ones
// that these build on because they share a name with them.
func (m *FS) syncSteps(dir *directory) {
	var needed []place
	synced := make([]bool, len(m.steps))
	for i := len(m.steps) - 1; i >= 0; i-- {
		for _, s := range m.steps[i].sets[:m.steps[i].n] {
			synced[i] = synced[i] || s.dir == dir || slices.Contains(needed, s.place)
		}
		if synced[i] {
			for _, s := range m.steps[i].sets[:m.steps[i].n] {
				if s.dir != dir {
					needed = append(needed, s.place)
				}
			}
		}
	}
	var left []step
	for i, st := range m.steps {
		if !synced[i] {
			left = append(left, st)
			continue
		}
		for _, s := range st.sets[:st.n] {
			s.dir.disk = s.dir.disk.with(s.name, s.node)
		}
	}
	m.steps = left
}

// chooseSteps tells which steps a power cut keeps: any, but none whose name has
// an earlier step that is lost.
func (m *FS) chooseSteps(c chooser) []bool {
	if len(m.steps) == 0 {
		return nil
	}
	c.begin()
	kept := make([]bool, len(m.steps))
	var lost []place
	for i := range m.steps {
		sets := m.steps[i].sets[:m.steps[i].n]
		blocked := slices.ContainsFunc(sets, func(s set) bool { return slices.Contains(lost, s.place) })
		if !blocked && c.choose(2) == 1 {
			kept[i] = true
			continue
		}
		for _, s := range sets {
			lost = append(lost, s.place)
		}
	}
	return kept
}

// lookup walks to path. It returns the directory that holds its last element,
// that element's name, and what has the name, nil if nothing. The root has no
// directory and no name.
func (m *FS) lookup(path string) (place, node, error) {
	var at place
	var n node = m.root
	for elem := range strings.SplitSeq(filepath.ToSlash(filepath.Clean(path)), "/") {
		if elem == "" || elem == "." {
			continue
		}
		if n == nil {
			return place{}, nil, syscall.ENOENT
		}
		d, ok := n.(*directory)
		if !ok {
			return place{}, nil, syscall.ENOTDIR
		}
		at = place{d, elem}
		n = d.cur.get(elem)
	}
	return at, n, nil
}

func (m *FS) lookupDir(path string) (*directory, error) {
	_, n, err := m.lookup(path)
	if err != nil {
		return nil, err
	}
	switch n := n.(type) {
	case nil:
		return nil, syscall.ENOENT
	case *directory:
		return n, nil
	}
	return nil, syscall.ENOTDIR
}
