package logio_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stateio/stateio/logio"
)

// As the original's test: one byte wrong gives ErrCorrupted by ==, and the
// entries from the next block on.
func TestAFlippedByteIsErrCorruptedAndTheReaderResyncs(t *testing.T) {
	if logio.ErrCorrupt != logio.ErrCorrupted {
		t.Fatal("ErrCorrupt is another error than ErrCorrupted")
	}
	m := &model{}
	for i := range 200 {
		m.add(bytesOf(uint64(i), 1+i*600%(128<<10)))
	}
	m.file[1] ^= 1
	r := logio.NewReader(bytes.NewReader(m.file), 0)
	if _, err := r.Read(); err != logio.ErrCorrupted {
		t.Fatalf("got %v, want ErrCorrupted", err)
	}
	if r.Offset() != 0 {
		t.Fatalf("the damage is said to be at %d, not 0", r.Offset())
	}
	// The first entry that starts in a later block.
	i := slices.IndexFunc(m.entries, func(e entry) bool { return e.start >= block })
	for ; i < len(m.entries); i++ {
		if b, err := r.Read(); err != nil || !bytes.Equal(b, m.entries[i].data) {
			t.Fatalf("entry %d: %d bytes, %v", i, len(b), err)
		}
	}
	if _, err := r.Read(); err != io.EOF {
		t.Fatalf("got %v, want io.EOF", err)
	}
}

// Whatever bit is wrong: entries come in order, none is changed, and what is
// missing is reported.
func TestEveryFlippedBitIsReported(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	m := randomModel(rng, 40)
	for range count(4000) {
		at, bit := rng.IntN(len(m.file)), byte(1)<<rng.IntN(8)
		m.file[at] ^= bit
		next, damaged := 0, false
		for _, b := range readAll(t, logio.NewReader(bytes.NewReader(m.file), 0)) {
			if b == nil {
				damaged = true
				continue
			}
			i := next + slices.IndexFunc(m.entries[next:], func(e entry) bool { return bytes.Equal(e.data, b) })
			if i < next || i > next && !damaged {
				t.Fatalf("byte %d: an entry of %d bytes after entry %d, damage reported: %v", at, len(b), next-1, damaged)
			}
			next = i + 1
		}
		if next < len(m.entries) && !damaged {
			t.Fatalf("byte %d: %d entries of %d, and no error", at, next, len(m.entries))
		}
		m.file[at] ^= bit
	}
}

// Each cut of a log gives the whole entries, and an error if it is in one.
func TestEveryCutGivesTheWholeEntries(t *testing.T) {
	m := (&model{}).add([]byte("one"), bytesOf(2, 100), bytesOf(3, block+200), bytesOf(4, 40), bytesOf(5, block))
	r := logio.NewReader(nil, 0)
	step := 61
	if count(1) > 1 {
		step = 1
	}
	for cut := 0; cut < len(m.file); cut++ {
		if cut > 200 && cut%block > 40 && cut%block < block-40 && cut%step != 0 {
			continue
		}
		r.Reset(bytes.NewReader(m.file[:cut]), 0)
		for i, e := range m.entries {
			b, err := r.Read()
			switch {
			case e.end <= int64(cut):
				if err != nil || !bytes.Equal(b, e.data) {
					t.Fatalf("cut at %d, entry %d: %d bytes, %v", cut, i, len(b), err)
				}
			case e.start < int64(cut):
				if err != logio.ErrCorrupted {
					t.Fatalf("cut at %d, in entry %d: %d bytes, %v", cut, i, len(b), err)
				}
			case err != io.EOF:
				t.Fatalf("cut at %d, before entry %d: %d bytes, %v", cut, i, len(b), err)
			}
		}
	}
}

// A FIRST that was never finished, up to a block's end, takes nothing with it:
// G19.
func TestFullRecordsAfterAnUnfinishedFirstAreKept(t *testing.T) {
	m := (&model{}).add([]byte("one"), bytesOf(1, 2*block))
	m.file, m.entries = m.file[:block], m.entries[:1]
	for i := range 300 {
		m.add(bytesOf(uint64(i), 10))
	}
	want := append([][]byte{m.entries[0].data, nil}, m.datas(1)...)
	expect(t, m.file, 0, want...)
}

// A FIRST after an unfinished entry is kept as well.
func TestAFirstAfterAnUnfinishedFirstIsKept(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 3*block))
	m.file, m.entries = m.file[:block], nil
	m.add(bytesOf(2, 3*block))
	expect(t, m.file, 0, nil, m.entries[0].data)
}

// A log that is read from a block that begins inside of an entry gives all that
// is whole after it: G20.
func TestALeadingLastIsPassedOver(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 3*block))
	for i := range 1000 {
		m.add(bytesOf(uint64(i), 30))
	}
	for _, off := range []int64{block, 2 * block, 3 * block} {
		expect(t, m.file, off, m.datas(1)...)
	}
	front := m.file[2*block:] // and where the front of the log is gone
	expect(t, front, 0, m.datas(1)...)
}

// After entries that were read, the rest of one that began before the reader
// did is damage: something else stood there.
func TestAMiddleBehindOtherEntriesIsDamage(t *testing.T) {
	m := (&model{}).add(bytesOf(1, block-15), bytesOf(2, block-15), bytesOf(3, block-15), []byte("after"))
	other := (&model{}).add(bytesOf(4, 5*block))
	copy(m.file[2*block:3*block], other.file[2*block:])
	expect(t, m.file, block, m.entries[1].data, nil, []byte("after"))
}

// The records of an entry must be its own: G17.
func TestRecordsOfAnotherEntryAreNotSplicedIn(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 2*block-200), bytesOf(2, block), []byte("three"))
	// Block 1 holds the end of the first and the start of the second.
	file := append(bytes.Clone(m.file[:block]), m.file[2*block:]...)
	expect(t, file, 0, nil, []byte("three"))

	long := (&model{}).add(bytesOf(3, 5*block), []byte("after"))
	for _, order := range [][]int{{0, 2, 1, 3, 4, 5}, {0, 1, 1, 2, 3, 4, 5}, {0, 1, 3, 4, 5}} {
		var file []byte
		for _, i := range order {
			file = append(file, long.file[i*block:min(len(long.file), (i+1)*block)]...)
		}
		expect(t, file, 0, nil, []byte("after"))
	}
}

// A record of unknown type is reported, and harms no other: G29.
func TestUnknownRecordTypesAreReportedAndHarmNoOther(t *testing.T) {
	for _, kind := range []byte{0, 5, 9, 255} {
		m := (&model{}).add([]byte("one"))
		m.file = appendRecord(m.file, kind, 0, []byte("from the future"))
		at := int64(len(m.file)) - 30
		m.add([]byte("two"))
		expect(t, m.file, 0, []byte("one"), nil, []byte("two"))
		r := logio.NewReader(bytes.NewReader(m.file), 0)
		_, _ = r.Read()
		if _, err := r.Read(); err != logio.ErrCorrupted || r.Offset() != at {
			t.Fatalf("type %d: %v at %d, want damage at %d", kind, err, r.Offset(), at)
		}
	}
}

// ... inside of an entry as well.
func TestUnknownRecordTypesInsideAnEntryAreReported(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 2*block))
	file := appendRecord(bytes.Clone(m.file[:block]), 9, block, bytesOf(2, 10))
	file = appendRecord(file, 1, 0, []byte("after"))
	expect(t, file, 0, nil, []byte("after"))
}

// A FULL or FIRST that says it is not the first record of its entry is none.
func TestAFirstRecordWithAnOffsetIsDamage(t *testing.T) {
	file := appendRecord(nil, 1, 7, []byte("odd"))
	file = appendRecord(file, 1, 0, []byte("even"))
	expect(t, file, 0, nil, []byte("even"))
}

// Records in payloads are none: the reader looks for them at the start of
// blocks only.
func TestRecordsInPayloadsAreNeverRead(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var inner []byte
	for len(inner) < 50_000 {
		inner = appendRecord(inner, 1, 0, []byte("X"))
	}
	m := &model{}
	for i := range 60 {
		m.add(append(make([]byte, i%16), inner[:rng.IntN(len(inner))]...), bytesOf(uint64(i), 1+rng.IntN(100)))
	}
	for range count(2000) {
		file := bytes.Clone(m.file[:1+rng.IntN(len(m.file)-1)])
		file[rng.IntN(len(file))] ^= 1 << rng.IntN(8)
		if rng.IntN(2) == 0 { // a block is missing
			at := rng.IntN(len(file)/block+1) * block
			file = append(file[:at], file[min(at+block, len(file)):]...)
		}
		if slices.ContainsFunc(readAll(t, logio.NewReader(bytes.NewReader(file), 0)), func(b []byte) bool { return string(b) == "X" }) {
			t.Fatal("a record of a payload was read")
		}
	}
}

// A record without data, which no writer makes, is an empty entry, and harms no
// other.
func TestARecordWithoutDataIsAnEmptyEntry(t *testing.T) {
	file := appendRecord(appendRecord(nil, 1, 0, nil), 1, 0, []byte("after"))
	expect(t, file, 0, []byte{}, []byte("after"))
}

// An entry that says it starts where the reader does, but is not its first
// record, is damage: nothing of it lies before.
func TestALastThatStartsHereIsDamage(t *testing.T) {
	file := appendRecord(appendRecord(nil, 4, 0, []byte("rest")), 1, 0, []byte("after"))
	expect(t, file, 0, nil, []byte("after"))
}

func TestAFullRecordWithAnOffsetIsDamage(t *testing.T) {
	for _, offset := range []uint64{1, 77} {
		odd := appendRecord(nil, 1, offset, []byte("odd"))
		expect(t, appendRecord(odd, 1, 0, []byte("after")), 0, nil, []byte("after"))
		file := append(appendRecord(nil, 1, 0, []byte("before")), odd...)
		expect(t, appendRecord(file, 1, 0, []byte("after")), 0, []byte("before"), nil, []byte("after"))
	}
}

// ... also with the offset that a record of the entry would have.
func TestAnUnknownRecordIsNoPartOfAnEntry(t *testing.T) {
	file := appendRecord(nil, 2, 0, bytesOf(1, block-15))
	file = appendRecord(file, 9, block, bytesOf(2, block-15))
	file = appendRecord(file, 4, 2*block, []byte("end"))
	file = appendRecord(file, 1, 0, []byte("after"))
	expect(t, file, 0, nil, []byte("after"))
}

// An entry that breaks off is told also where reading failed in between.
func TestAnUnfinishedEntryIsToldAfterAReadError(t *testing.T) {
	for _, before := range []int{0, 1} {
		m := &model{}
		for i := range before {
			m.add(bytesOf(uint64(i), block-15))
		}
		start := len(m.file)
		m.file = appendRecord(m.file, 2, 0, bytesOf(9, block-15))
		cut := len(m.file)
		m.file = appendRecord(m.file, 1, 0, []byte("after"))
		r := logio.NewReader(&steps{{data: m.file[:cut]}, {err: errDisk}, {data: m.file[cut:]}}, 0)
		for range before {
			if _, err := r.Read(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Read(); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		if _, err := r.Read(); err != logio.ErrCorrupted || r.Offset() != int64(start) {
			t.Errorf("from block %d: %v at %d, want damage at %d", before, err, r.Offset(), start)
		}
		if b, err := r.Read(); string(b) != "after" {
			t.Errorf("after it: %q, %v", b, err)
		}
	}
}
