package statetest_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

var errRefused = errors.New("refused")

// A machine of each style, all with the same commands: "set key value",
// "add key text", "mov from to", "del key"; the last two refuse a key that is
// not there, and mov one that is.

// cloned is a map; a snapshot is a clone of it.
type cloned struct{ m map[string]string }

func newCloned() store.Machine { return &cloned{map[string]string{}} }

func (c *cloned) Apply(update []byte) (any, error) {
	f := strings.Fields(string(update))
	if len(f) < 2 {
		return nil, errRefused
	}
	old, ok := c.m[f[1]]
	switch f[0] {
	case "set":
		c.m[f[1]] = f[2]
	case "add":
		c.m[f[1]] = old + f[2]
	case "mov":
		if _, taken := c.m[f[2]]; !ok || taken {
			return nil, errRefused
		}
		delete(c.m, f[1])
		c.m[f[2]] = old
	case "del":
		if !ok {
			return nil, errRefused
		}
		delete(c.m, f[1])
	default:
		return nil, errRefused
	}
	return old, nil
}

func (c *cloned) Snapshot() (io.WriterTo, error) { return lines(maps.Clone(c.m)), nil }

func (c *cloned) Restore(r io.Reader) (err error) {
	c.m, err = parse(r)
	return err
}

// lines writes a map, in the order of its keys.
type lines map[string]string

func (l lines) WriteTo(w io.Writer) (n int64, err error) {
	for _, k := range slices.Sorted(maps.Keys(l)) {
		i, err := fmt.Fprintf(w, "%s %s\n", k, l[k])
		n += int64(i)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func parse(r io.Reader) (map[string]string, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 2 {
			return nil, fmt.Errorf("bad line %q", line)
		}
		m[f[0]] = f[1]
	}
	return m, nil
}

// tree is a persistent search tree; a snapshot is its root.
type tree struct{ root *node }

type node struct {
	key, value  string
	left, right *node
}

func newTree() store.Machine { return &tree{} }

func (n *node) get(key string) (string, bool) {
	switch {
	case n == nil:
		return "", false
	case key < n.key:
		return n.left.get(key)
	case key > n.key:
		return n.right.get(key)
	}
	return n.value, true
}

func (n *node) with(key, value string) *node {
	if n == nil {
		return &node{key: key, value: value}
	}
	c := *n
	switch {
	case key < n.key:
		c.left = n.left.with(key, value)
	case key > n.key:
		c.right = n.right.with(key, value)
	default:
		c.value = value
	}
	return &c
}

func (n *node) without(key string) *node {
	c := *n
	switch {
	case key < n.key:
		c.left = n.left.without(key)
	case key > n.key:
		c.right = n.right.without(key)
	case n.left == nil:
		return n.right
	default:
		last := n.left
		for last.right != nil {
			last = last.right
		}
		c = node{last.key, last.value, n.left.without(last.key), n.right}
	}
	return &c
}

func (t *tree) Apply(update []byte) (any, error) {
	f := strings.Fields(string(update))
	old, ok := t.root.get(f[1])
	switch f[0] {
	case "set":
		t.root = t.root.with(f[1], f[2])
	case "add":
		t.root = t.root.with(f[1], old+f[2])
	case "mov":
		if _, taken := t.root.get(f[2]); !ok || taken {
			return nil, errRefused
		}
		t.root = t.root.without(f[1]).with(f[2], old)
	case "del":
		if !ok {
			return nil, errRefused
		}
		t.root = t.root.without(f[1])
	}
	return old, nil
}

func (t *tree) Snapshot() (io.WriterTo, error) { return t.root, nil }

func (n *node) WriteTo(w io.Writer) (int64, error) {
	if n == nil {
		return 0, nil
	}
	a, err := n.left.WriteTo(w)
	if err != nil {
		return a, err
	}
	b, err := fmt.Fprintf(w, "%s %s\n", n.key, n.value)
	if err != nil {
		return a + int64(b), err
	}
	c, err := n.right.WriteTo(w)
	return a + int64(b) + c, err
}

func (t *tree) Restore(r io.Reader) error {
	m, err := parse(r)
	if err != nil {
		return err
	}
	t.root = nil
	for _, k := range slices.Sorted(maps.Keys(m)) {
		t.root = t.root.with(k, m[k])
	}
	return nil
}

// encoded is a map; Snapshot encodes it at once.
type encoded struct{ cloned }

func newEncoded() store.Machine { return &encoded{cloned{map[string]string{}}} }

func (e *encoded) Snapshot() (io.WriterTo, error) {
	var b bytes.Buffer
	_, err := lines(e.m).WriteTo(&b)
	return &b, err
}

// gobbed is a map encoded by gob, in any order, so it needs Options.Equal.
type gobbed struct{ cloned }

func newGobbed() store.Machine { return &gobbed{cloned{map[string]string{}}} }

func (g *gobbed) Snapshot() (io.WriterTo, error) {
	var b bytes.Buffer
	return &b, gob.NewEncoder(&b).Encode(g.m)
}

func (g *gobbed) Restore(r io.Reader) error {
	g.m = map[string]string{}
	return gob.NewDecoder(r).Decode(&g.m)
}

func equalGobbed(a, b store.Machine) bool { return maps.Equal(a.(*gobbed).m, b.(*gobbed).m) }

// locked has WriteTo keep Apply waiting, and counts states not closed.
type locked struct {
	cloned
	mu   sync.Mutex
	open int
}

func newLocked() store.Machine { return &locked{cloned: cloned{map[string]string{}}} }

func (l *locked) Apply(update []byte) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cloned.Apply(update)
}

func (l *locked) Snapshot() (io.WriterTo, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	return &lockedState{l, maps.Clone(l.m)}, nil
}

type lockedState struct {
	l *locked
	m map[string]string
}

func (s *lockedState) WriteTo(w io.Writer) (int64, error) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return lines(s.m).WriteTo(w)
}

func (s *lockedState) Close() error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.open--
	s.m = nil
	return nil
}

func TestMachinesOfEveryStylePass(t *testing.T) {
	var opts statetest.Options
	if testing.Short() {
		opts.Updates = 80
	}
	for name, newMachine := range map[string]func() store.Machine{
		"map with clone": newCloned, "persistent tree": newTree, "encode at once": newEncoded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustPass(t, newMachine, commands(1), &opts)
		})
	}
	t.Run("any order", func(t *testing.T) {
		t.Parallel()
		mustPass(t, newGobbed, commands(1), &statetest.Options{Equal: equalGobbed, Updates: opts.Updates})
	})
	t.Run("lock while writing", func(t *testing.T) {
		t.Parallel()
		var made []*locked
		mustPass(t, func() store.Machine {
			m := newLocked()
			made = append(made, m.(*locked))
			return m
		}, commands(1), &opts)
		for _, m := range made {
			if m.open != 0 {
				t.Fatalf("%d captured states were not closed", m.open)
			}
		}
	})
}
