package memfs

import (
	"iter"
	"math/rand/v2"
	"slices"
)

// Crash returns the file system as it may be found after a power cut at this
// moment; rng decides which of the possible states it is. What the rules in the
// package documentation call durable is there; of the rest, each page, size,
// and name is old or new:
//
//   - of the pages written to a file since its last sync, any subset; a page
//     written repeatedly may show any of its states. A page that was never
//     written before and did not make it reads as zeros, or with
//     [Options].Garbage as noise;
//   - a size between the old and the new one; a truncation happened or did not,
//     and pages written past it can only be there if it did;
//   - of the names changed since the last SyncDir, any subset, where changes of
//     one name happen in order, and a rename happens for both its names or for
//     neither.
//
// m is not changed and can be used further, so many states can be drawn at one
// point. Locks are free in the new file system, and it has no open files.
func (m *FS) Crash(rng *rand.Rand) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.crashLocked(&dice{rng: rng})
}

// CrashStates returns every state that Crash may return, for situations small
// enough: n pages not synced make 2^n. Some may be equal. m must not change
// meanwhile.
func (m *FS) CrashStates() iter.Seq[*FS] {
	return func(yield func(*FS) bool) {
		for o := (odometer{}); ; {
			m.mu.Lock()
			state := m.crashLocked(&o)
			m.mu.Unlock()
			if !yield(state) || !o.next() {
				return
			}
		}
	}
}

// Kill returns the file system as the next process finds it when the one that
// uses m dies at this moment and the machine goes on: everything written is
// there, durable or not, locks are free, and what a later Crash may take away
// is what one of m may. m is not changed and can be used further.
func (m *FS) Kill() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := &killer{m: &FS{opts: m.opts, files: m.files}, seen: map[node]node{}}
	k.m.root = k.node(m.root).(*directory)
	for _, st := range m.steps {
		for i, s := range st.sets[:st.n] {
			st.sets[i].dir = k.node(s.dir).(*directory)
			st.sets[i].node = k.node(s.node)
		}
		k.m.steps = append(k.m.steps, st)
	}
	return k.m
}

// Stop makes every operation on m and on its open files fail with fsys.ErrCrashed
// from now on, so that a program that is still running can do no more. Crash,
// CrashStates and Kill go on working.
func (m *FS) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
}

func (m *FS) crashLocked(c chooser) *FS {
	kept := m.chooseSteps(c)
	after := &FS{opts: m.opts, files: m.files}
	after.root = m.crashDir(m.root, kept, c, after, map[*inode]*inode{})
	return after
}

// crashDir returns d as it is after a crash that keeps the steps marked in
// kept, with all below it. seen holds the files with more than one name that were
// met before.
func (m *FS) crashDir(d *directory, kept []bool, c chooser, after *FS, seen map[*inode]*inode) *directory {
	found := d.disk
	for i := range kept {
		for _, s := range m.steps[i].sets[:m.steps[i].n] {
			if kept[i] && s.dir == d {
				found = found.with(s.name, s.node)
			}
		}
	}
	files := make([]inode, len(found))
	found = slices.Clone(found)
	for i := range found {
		switch n := found[i].node.(type) {
		case *inode:
			f := seen[n]
			if f == nil {
				files[i] = n.crash(c, &m.opts)
				f = &files[i]
				after.pages += f.cur.pages
				if n.linked {
					seen[n] = f
				}
			}
			f.links++
			found[i].node = f
		case *directory:
			found[i].node = m.crashDir(n, kept, c, after, seen)
		}
	}
	return &directory{perm: d.perm, cur: found, disk: found}
}

// killer copies the nodes of a file system into another.
type killer struct {
	m    *FS
	seen map[node]node // the copies, by original
}

func (k *killer) node(n node) node {
	if n == nil || k.seen[n] != nil {
		return k.seen[n]
	}
	switch n := n.(type) {
	case *inode:
		f := &inode{perm: n.perm, cur: n.cur.share(), disk: n.disk.share(), pending: slices.Clone(n.pending)}
		f.ino, f.links, f.linked = n.ino, n.links, n.linked
		k.seen[n] = f
		if f.links > 0 {
			k.m.pages += f.cur.pages
		}
	case *directory:
		d := &directory{perm: n.perm}
		k.seen[n] = d
		d.cur, d.disk = k.names(n.cur), k.names(n.disk)
	}
	return k.seen[n]
}

func (k *killer) names(ns names) names {
	ns = slices.Clone(ns)
	for i := range ns {
		ns[i].node = k.node(ns[i].node)
	}
	return ns
}
