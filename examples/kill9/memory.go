package main

import (
	"strings"
	"sync"
)

// A memory is what the parent knows of the accounts, by itself: what it was told is on
// the disk. After each kill it is compared with what the server has. Its methods may be
// called from any number of goroutines at once.
type memory struct {
	mu       sync.Mutex
	accounts map[string]remembered
	acked    uint64 // entries that were acknowledged, ever
	lost     uint64 // of them, what a comparison did not find
	wrong    uint64 // accounts that a comparison found to be other than they must be
}

// remembered is an account as it was last acknowledged.
type remembered struct {
	account
	// sent is the text of an entry of a writer that was not acknowledged: it may be
	// there or not.
	sent *string
}

// writerPrefix begins the names of accounts that only the parent's writers add to: each
// one to its own, one entry after the other.
const writerPrefix = "writer-"

func newMemory() *memory { return &memory{accounts: map[string]remembered{}} }

// sending is called before a writer sends an entry.
func (m *memory) sending(name, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[name]
	a.sent = &text
	m.accounts[name] = a
}

// count returns how many entries of a writer were acknowledged.
func (m *memory) count(name string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.accounts[name].Count
}

// acknowledged is called when the entry that a writer has sent is on the disk. It
// reports whether the answer is the account that it must be.
func (m *memory) acknowledged(name string, answer account) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[name]
	want := a.add(*a.sent)
	m.accounts[name] = remembered{account: want}
	m.acked++
	if answer != want {
		m.wrong++
		return false
	}
	return true
}

// told is called when somebody else than the writers was told that an entry is on the
// disk. Several may add to one account: the answer with the most entries is the last.
func (m *memory) told(name string, answer account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if answer.Count > m.accounts[name].Count {
		m.accounts[name] = remembered{account: answer}
	}
	m.acked++
}

// begin takes over what the server has, which is what an earlier run has left.
func (m *memory) begin(found map[string]account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.adopt(found)
}

// A verdict is the result of a comparison.
type verdict struct {
	Lost  uint64 `json:"lost"`  // entries that were acknowledged, and are not there
	Wrong uint64 `json:"wrong"` // accounts whose entries are not those that were sent
	Extra uint64 `json:"extra"` // entries that are there, and were on their way when the server was killed
}

// compare compares what is remembered with what the server has after a kill, and takes
// that over. No entry may be on its way meanwhile.
func (m *memory) compare(found map[string]account) verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	var v verdict
	for name, want := range m.accounts {
		got := found[name]
		switch {
		case got == want.account:
		case want.sent != nil && got == want.add(*want.sent):
			v.Extra++
		case got.Count < want.Count:
			v.Lost += want.Count - got.Count
		case got.Count > want.Count && !strings.HasPrefix(name, writerPrefix):
			v.Extra += got.Count - want.Count
		default:
			v.Wrong++
		}
	}
	for name, got := range found {
		if _, ok := m.accounts[name]; ok {
			continue
		}
		if strings.HasPrefix(name, writerPrefix) {
			v.Wrong++ // nobody has sent it
		} else {
			v.Extra += got.Count
		}
	}
	m.lost += v.Lost
	m.wrong += v.Wrong
	m.adopt(found)
	return v
}

func (m *memory) adopt(found map[string]account) {
	clear(m.accounts)
	for name, a := range found {
		m.accounts[name] = remembered{account: a}
	}
}

// sums returns how many entries were acknowledged, how many of them were lost, and how
// many accounts were wrong.
func (m *memory) sums() (acked, lost, wrong uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked, m.lost, m.wrong
}
