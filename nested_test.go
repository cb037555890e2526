package stateio_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stateio/stateio"
)

// nestedPayload returns n bytes or some more, full of whole, valid entries of a
// state file at every phase of the given size. Each injects a state or an update
// that says so. The entries believe to be at file offset base and on.
func nestedPayload(base, n, phase int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		kind := byte(1 + i%2)
		epoch := uint64(0)
		if kind == 1 && i > 0 {
			epoch = uint64(base + len(b) - phase)
		}
		head := []byte{kind, byte(epoch), byte(epoch >> 8), byte(epoch >> 16), 0, 0, 0, 0, 0}
		switch {
		case phase < 64: // one record, and as many as fit, of a log's entry of one byte
			b = appendRecord(b, 1, 0, []byte{kind})
		case i%3 == 0:
			b = appendRecord(b, 1, 0, append(head, "INJECTED"...))
		default:
			b = appendRecord(b, 1, 0, append(head, bytes.Repeat([]byte("INJECTED"), (phase-24)/8)...))
		}
		for len(b)%phase != 0 {
			b = append(b, 0xA5)
		}
	}
	return b
}

// nestedModel is a file whose payloads are nested logs, at every phase.
func nestedModel(rng *rand.Rand) *model {
	m := &model{}
	phases := []int{16, 32, 64, 512, 4096, block}
	for len(m.ops) < 12 {
		size := rng.IntN(9000)
		if rng.IntN(5) == 0 {
			size = rng.IntN(3 * block)
		}
		// So that the nested records' phase is that of the file, too.
		lead := make([]byte, rng.IntN(16))
		p := append(lead, nestedPayload(len(m.file), size, phases[rng.IntN(len(phases))])...)
		m.entry(rng.IntN(3) == 0, p)
	}
	return m
}

// injected reports whether restoring the file, or one of its epochs, gives
// anything that was not written to it as an entry.
func injected(t *testing.T, m *model, file []byte) {
	t.Helper()
	limit := int64(len(file))
	r := bytes.NewReader(file)
	state, _, updates, err := stateio.Restore(r, limit)
	if err == nil {
		m.onlyReal(t, state, updates)
	}
	for e, err := range stateio.Epochs(r, limit) {
		if err != nil {
			continue
		}
		if state, updates, err := stateio.RestoreEpoch(r, limit, e.Offset); err == nil {
			m.onlyReal(t, state, updates)
		}
	}
}

// onlyReal fails the test if a state or update is not an entry of the model.
func (m *model) onlyReal(t *testing.T, state []byte, updates *stateio.Reader) {
	t.Helper()
	written := func(snapshot bool, b []byte) bool {
		return slices.ContainsFunc(m.ops, func(o op) bool { return o.snapshot == snapshot && bytes.Equal(o.data, b) })
	}
	if state != nil && !written(true, state) {
		t.Fatalf("a state of %d bytes was never written: %.40q", len(state), state)
	}
	for u, err := range updates.All() {
		if err == nil && !written(false, u) {
			t.Fatalf("an update of %d bytes was never written: %.40q", len(u), u)
		}
	}
}

// A payload full of valid records is never taken for entries, wherever the file
// is cut, flipped, loses pages or its front.
func TestRecordsInPayloadsAreNeverInjected(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range count(20) {
		m := nestedModel(rng)
		if err := m.compare(bytes.NewReader(m.file), int64(len(m.file))); err != nil {
			t.Fatal(err)
		}
		for range 12 {
			injected(t, m, m.file[:rng.IntN(len(m.file))])

			file := bytes.Clone(m.file)
			file[rng.IntN(len(file))] ^= 1 << rng.IntN(8)
			injected(t, m, file)

			file = bytes.Clone(m.file)
			page := rng.IntN(len(file)/512) * 512
			clear(file[page : page+512])
			injected(t, m, file)

			if m.ops[0].end > 512 {
				injected(t, m, m.file[512*(1+rng.IntN(int(m.ops[0].end)/512)):])
			}
		}
	}
}

// A wrong bit in a header makes no record of the payload an entry.
func TestFlippedHeadersOverNestedLogsInjectNothing(t *testing.T) {
	phases := []int{32, 512, 16, 64, 4096}
	if testing.Short() {
		phases = phases[:2]
	}
	for _, phase := range phases {
		m := (&model{}).update(bytesOf(1, 9)).snapshot(bytesOf(2, 20))
		m.update(nestedPayload(len(m.file)+24, 12_000, phase))
		for _, file := range [][]byte{m.file, append(bytes.Clone(m.file), make([]byte, 5000)...), m.prefix(3).update(bytesOf(3, 9)).file} {
			for _, o := range m.ops {
				// Type and length at every bit, the rest sampled.
				for bit := o.start * 8; bit < (o.start+24)*8; bit++ {
					if in := bit - o.start*8; (in < 32 || in >= 56) && in%13 != 0 {
						continue
					}
					flipped := bytes.Clone(file)
					flipped[bit/8] ^= 1 << (bit % 8)
					injected(t, m.prefix(3).update(bytesOf(3, 9)), flipped)
				}
			}
		}
	}
}

// A crafted last entry whose page with the header was lost is refused, because
// the records in its payload can't be told from acknowledged ones; nothing is
// injected, and nothing cut.
func TestLostHeaderBeforeNestedLogIsRefused(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 300)).update(nestedPayload(0, 8192, 512))
	file := bytes.Clone(m.file)
	clear(file[m.ops[1].start:1024])
	if err := m.compare(bytes.NewReader(file), int64(len(file))); !errors.Is(err, stateio.ErrCorrupt) {
		t.Fatalf("got %v, want a corrupt file", err)
	}
	f := tempFile(t, file)
	if _, err := stateio.NewFileWriter(f); !errors.Is(err, stateio.ErrCorrupt) {
		t.Fatalf("got %v, want a corrupt file", err)
	}
	if !bytes.Equal(content(t, f), file) {
		t.Fatal("the file was changed")
	}
}
