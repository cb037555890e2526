package durable

import "cmp"

// conflicts are what a transaction has read, which it alone uses until it is ready, and
// what others have done since it began, which is guarded by the machine's mu.
type conflicts[K cmp.Ordered, V any] struct {
	keys  map[K]struct{}
	spans []*span[K]

	written  []K
	tree     *tree[K, V] // the map as the transaction sees it, if others have changed it since, or it has asked
	replaced bool        // the whole map was
	applied  bool
	give     func() // lets the next transaction begin
}

// keep keeps the map as it is in t for the transaction, unless there is an older copy.
func (c *conflicts[K, V]) keep(t *tree[K, V]) {
	if c.tree == nil {
		c.tree = t.Copy()
	}
}

// A span is a range of keys that was read.
type span[K cmp.Ordered] struct {
	all      bool // of them
	from, to K    // as far as all does not say otherwise
	open     bool // there is no to
	ended    bool // the loop has ended with key last
	last     K
}

func (s *span[K]) has(key K) bool {
	switch {
	case s.ended && key > s.last:
		return false
	case s.all:
		return true
	default:
		return key >= s.from && (s.open || key < s.to)
	}
}

// any reports whether there is a conflict. What was looked at once is not looked at
// again.
func (c *conflicts[K, V]) any() bool {
	if c.replaced {
		return true
	}
	for _, key := range c.written {
		if _, ok := c.keys[key]; ok {
			return true
		}
		for _, s := range c.spans {
			if s.has(key) {
				return true
			}
		}
	}
	return false
}

// done says that the transaction was applied. The next one may begin.
func (c *conflicts[K, V]) done() {
	c.applied = true
	c.give()
}
