package crashtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/store"
)

// A History knows what a store may hold. It is not safe for concurrent use.
type History struct {
	chain []uint64 // chain[k] is the digest of the first k updates
	parts []bool   // parts[k] says that the first k updates end within a change of several
	acked int      // that many updates were acknowledged
	turns uint64   // makes updates different that are submitted after a crash
}

// NewHistory returns the history of a new store.
func NewHistory() *History { return &History{chain: []uint64{0}, parts: []bool{false}} }

// ResumeHistory returns the history that goes on from what m holds, in a process
// that knows nothing of the updates before. turns is how often Recovered was
// called in all, this time included.
func ResumeHistory(m *Machine, turns int) *History {
	h := &History{chain: make([]uint64, m.Count+1), parts: make([]bool, m.Count+1), turns: uint64(turns)}
	h.chain[m.Count], h.acked = m.Digest, int(m.Count)
	return h
}

// Clone returns a copy that goes its own way.
func (h *History) Clone() *History {
	c := *h
	c.chain = h.chain[:len(h.chain):len(h.chain)]
	c.parts = h.parts[:len(h.parts):len(h.parts)]
	return &c
}

// Len returns the number of updates submitted.
func (h *History) Len() int { return len(h.chain) - 1 }

// Turns returns how often Recovered was called.
func (h *History) Turns() int { return int(h.turns) }

// Next returns the next update to submit, of that size at least. It counts as
// submitted from now on.
func (h *History) Next(size int) []byte {
	u := make([]byte, max(size, 16))
	binary.LittleEndian.PutUint64(u, uint64(len(h.chain)))
	binary.LittleEndian.PutUint64(u[8:], h.turns)
	fill(u[16:], 16*int(h.turns|1)+7*len(h.chain), int(h.turns|1))
	h.chain = append(h.chain, link(h.chain[len(h.chain)-1], u))
	h.parts = append(h.parts, false)
	return u
}

// NextState returns a state that takes the place of all updates so far, and counts as the
// next one. A snapshot of it has that size at least.
func (h *History) NextState(size int) *Machine {
	m := &Machine{Count: uint64(len(h.chain)), Digest: link(h.turns, []byte("a state")) + uint64(len(h.chain)), Size: size}
	h.chain = append(h.chain, m.Digest)
	h.parts = append(h.parts, false)
	return m
}

// Joined says that the last n updates are those of one change.
func (h *History) Joined(n int) {
	parts := append([]bool(nil), h.parts...)
	for i := 1; i < n; i++ {
		parts[len(parts)-1-i] = true
	}
	h.parts = parts
}

// Refused takes back the update submitted last, which was not applied.
func (h *History) Refused() {
	h.chain = h.chain[:len(h.chain)-1]
	h.parts = h.parts[:len(h.parts)-1]
}

// Acked notes that the first n updates are acknowledged.
func (h *History) Acked(n int) { h.acked = max(h.acked, n) }

// Check tells what is wrong with a machine that was recovered.
func (h *History) Check(m *Machine) error {
	k := int(m.Count)
	switch {
	case k < h.acked:
		return fmt.Errorf("%d updates were acknowledged, and %d are there", h.acked, k)
	case k > h.Len():
		return fmt.Errorf("%d updates were submitted, and %d are there", h.Len(), k)
	case h.parts[k]:
		return fmt.Errorf("a change is there in part: %d of its updates, and not the next", k)
	case m.Digest != h.chain[k]:
		return fmt.Errorf("the state is not that of the first %d updates", k)
	}
	return nil
}

// Recovered makes the first m.Count updates the history that counts.
func (h *History) Recovered(m *Machine) {
	h.chain = h.chain[: m.Count+1 : m.Count+1]
	h.parts = h.parts[: m.Count+1 : m.Count+1]
	h.acked = int(m.Count)
	h.turns++
}

// link returns the digest of the updates after digest and one more.
func link(digest uint64, update []byte) uint64 {
	return (digest+1)*0x9E3779B97F4A7C15 ^ xxhash.Sum64(update)
}

// A Machine is a state machine that keeps a digest of all updates. Its
// snapshots are as large as it is told.
type Machine struct {
	Count  uint64
	Digest uint64
	Size   int // bytes that a snapshot has at least
}

var (
	_ store.Machine  = (*Machine)(nil)
	_ store.Digester = (*Machine)(nil)
)

// Apply implements store.Machine.
func (m *Machine) Apply(update []byte) (any, error) {
	m.Count++
	m.Digest = link(m.Digest, update)
	return nil, nil
}

// StateDigest implements store.Digester.
func (m *Machine) StateDigest() uint64 { return m.Digest + m.Count }

// Snapshot implements store.Machine.
func (m *Machine) Snapshot() (io.WriterTo, error) {
	c := *m
	return &c, nil
}

const stateHead = 24

// WriteTo writes the state: count, digest, and padding that Restore checks.
func (m *Machine) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, stateHead, stateHead+m.Size)
	binary.LittleEndian.PutUint64(b, m.Count)
	binary.LittleEndian.PutUint64(b[8:], m.Digest)
	binary.LittleEndian.PutUint64(b[16:], uint64(m.Size))
	b = b[:cap(b)]
	fill(b[stateHead:], int(m.Digest), 1)
	n, err := w.Write(b)
	return int64(n), err
}

// Restore implements store.Machine.
func (m *Machine) Restore(r io.Reader) error {
	var b [stateHead]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("crashtest: the head of the snapshot: %w", err)
	}
	m.Count = binary.LittleEndian.Uint64(b[:])
	m.Digest = binary.LittleEndian.Uint64(b[8:])
	size := binary.LittleEndian.Uint64(b[16:])
	return m.checkPadding(r, size)
}

// checkPadding makes sure that the padding follows, as WriteTo makes it, and nothing
// after it.
func (m *Machine) checkPadding(r io.Reader, size uint64) error {
	var got, want [4 * period]byte
	fill(want[:], int(m.Digest), 1)
	for at := uint64(0); ; {
		n, err := io.ReadFull(r, got[:])
		if !bytes.Equal(got[:n], want[:n]) {
			return fmt.Errorf("crashtest: the snapshot is wrong within %d bytes of padding from %d on", n, at)
		}
		at += uint64(n)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if at != size {
				return fmt.Errorf("crashtest: the snapshot has %d bytes of padding, not %d", at, size)
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// period is after how many bytes what fill makes repeats itself.
const period = 256

// fill makes byte i of b first + i*step, without what is over a byte.
func fill(b []byte, first, step int) {
	n := min(len(b), period)
	for i := range n {
		b[i] = byte(first + i*step)
	}
	for n < len(b) {
		n += copy(b[n:], b[:n])
	}
}
