package record_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/record"
)

// rec is a record as the format has it, made without the package under test.
func rec(kind byte, offset uint64, data []byte) []byte {
	b := binary.LittleEndian.AppendUint16([]byte{0, 0, 0, 0, kind}, uint16(len(data)))
	b = append(binary.LittleEndian.AppendUint64(b, offset), data...)
	binary.LittleEndian.PutUint32(b, uint32(xxhash.Sum64(b[4:])))
	return b
}

func bytesOf(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestSealIsTheFormatsHeader(t *testing.T) {
	for kind, ends := range map[byte][2]bool{1: {true, true}, 2: {true, false}, 3: {false, false}, 4: {false, true}} {
		for _, n := range []int{1, 2, 255, 256, record.MaxData} {
			for _, offset := range []uint64{0, 1, 1 << 31, 1<<56 + 12345, 1<<64 - 1} {
				want := rec(kind, offset, bytesOf(1, n))
				got := bytes.Clone(want)
				clear(got[:record.HeaderSize])
				record.Seal(got, ends[0], ends[1], offset)
				if !bytes.Equal(got, want) {
					t.Fatalf("type %d, %d bytes, offset %d: got % x, want % x", kind, n, offset, got[:15], want[:15])
				}
				h, ok := record.Verify(got)
				if !ok || h.Type != record.Type(kind) || h.Length != n || h.Offset != offset || h.Size() != len(want) {
					t.Fatalf("Verify: %+v, %v", h, ok)
				}
			}
		}
	}
}

func TestVerifyNoticesEveryBitAndEveryCut(t *testing.T) {
	b := rec(1, 0, bytesOf(1, 100))
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if h, ok := record.Verify(b); ok {
			t.Fatalf("bit %d: %+v", bit, h)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	for n := range b {
		if h, ok := record.Verify(b[:n]); ok {
			t.Fatalf("cut at %d: %+v", n, h)
		}
	}
	if h, ok := record.Verify(rec(1, 0, nil)); !ok {
		t.Fatalf("without data: %+v", h)
	}
	if h, ok := record.Verify(make([]byte, 100)); ok {
		t.Fatalf("zeros: %+v", h)
	}
}

// What EntrySize says is what AppendEntry appends, at every room and size, with
// the head in any part of it. Room is more, where an entry begins in the header
// that a torn one left, too.
func TestEntrySizeIsWhatAppendEntryAppends(t *testing.T) {
	for room := 1; room <= record.BlockSize; room++ {
		if room == 60 {
			room = record.BlockSize - 20
		}
		for _, size := range []int{0, 1, 9, 12, 20, 45, record.MaxData, record.MaxData + 20, 3 * record.BlockSize} {
			for _, base := range []int64{0, 1 << 40} {
				off := base + record.BlockSize - int64(room)
				data := bytesOf(uint64(size), size)
				split := min(9, size)
				got := record.AppendEntry([]byte("before"), off, data[:split], data[split:])
				if int64(len(got)-6) != record.EntrySize(off, int64(size)) || len(got)-6 > record.Room(size) || string(got[:6]) != "before" {
					t.Fatalf("%d bytes with %d left: appended %d, EntrySize %d, Room %d", size, room, len(got)-6, record.EntrySize(off, int64(size)), record.Room(size))
				}
				if !bytes.Equal(got, record.AppendEntry([]byte("before"), off, nil, data)) {
					t.Fatalf("%d bytes with %d left: the head makes a difference", size, room)
				}
			}
		}
	}
}

func TestEntryOfARecord(t *testing.T) {
	for _, c := range []struct {
		offset uint64
		pos    int64
		want   int64
		ok     bool
	}{{0, 5, 5, true}, {5, 5, 0, true}, {6, 5, 0, false}, {1 << 63, 1 << 62, 0, false}, {1<<64 - 1, 0, 0, false}} {
		if got, ok := (record.Header{Offset: c.offset}).Entry(c.pos); got != c.want || ok != c.ok {
			t.Errorf("offset %d at %d: %d, %v", c.offset, c.pos, got, ok)
		}
	}
}

func TestTypesSayWhatTheyAre(t *testing.T) {
	want := []string{"unknown type 0", "FULL", "FIRST", "MIDDLE", "LAST", "unknown type 5"}
	for i, name := range want {
		if got := record.Type(i).String(); got != name || record.Type(i).Known() != (1 <= i && i <= 4) {
			t.Errorf("type %d: %s, known: %v", i, got, record.Type(i).Known())
		}
	}
}

func TestZero(t *testing.T) {
	for _, n := range []int{0, 1, 15, record.BlockSize - 1, record.BlockSize, record.BlockSize + 1, 3*record.BlockSize + 7} {
		b := make([]byte, n)
		if !record.Zero(b) {
			t.Errorf("%d zeros are not zero", n)
		}
		for _, i := range []int{0, n / 2, n - 1} {
			if n == 0 {
				continue
			}
			b[i] = 1
			if record.Zero(b) {
				t.Errorf("byte %d of %d is not noticed", i, n)
			}
			b[i] = 0
		}
	}
}

// A block whose records are all whole is nothing but these; one broken record
// among them hides no other, whichever bit is wrong.
func TestParseFindsEveryRecordButTheBrokenOne(t *testing.T) {
	var b []byte
	var at []int
	for i, n := range []int{1, 100, 5000, 30, 17} {
		at = append(at, len(b))
		b = append(b, rec(1, 0, bytesOf(uint64(i), n))...)
	}
	var k record.Block
	k.Parse(b)
	if got := positions(k); got != fmt.Sprint(at) || len(k.Gaps) != 0 {
		t.Fatalf("got %v and %v, want records at %v", got, k.Gaps, at)
	}
	for i, pos := range at[:4] {
		want := fmt.Sprint(append(append([]int{}, at[:i]...), at[i+1:]...))
		for bit := pos * 8; bit < min(at[i+1], pos+40)*8; bit++ {
			b[bit/8] ^= 1 << (bit % 8)
			k.Parse(b)
			if got := positions(k); got != want || len(k.Gaps) != 1 || k.Gaps[0].From != pos || k.Gaps[0].To != at[i+1] || !k.Gaps[0].Bridged {
				t.Fatalf("record %d, bit %d: records at %v, gaps %+v, want %v", i, bit-pos*8, got, k.Gaps, want)
			}
			if k.Covers(pos+1) || i > 0 && !k.Covers(1) {
				t.Fatal("a gap is covered, or a record is not")
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// ... types and lengths that are wholly wrong included.
func TestParseBridgesAnyWrongLengthOrTypeOrOffset(t *testing.T) {
	first, second := rec(1, 0, bytesOf(1, 700)), rec(1, 0, bytesOf(2, 30))
	var k record.Block
	try := func(what string, change func(b []byte)) {
		b := append(bytes.Clone(first), second...)
		change(b)
		if k.Parse(b); positions(k) != fmt.Sprint([]int{len(first)}) {
			t.Fatalf("%s: records at %v", what, positions(k))
		}
	}
	for length := range 1 << 16 {
		if length != 700 && length%7 == 0 {
			try(fmt.Sprint("length ", length), func(b []byte) { binary.LittleEndian.PutUint16(b[5:], uint16(length)) })
		}
	}
	for kind := range 256 {
		if kind != 1 {
			try(fmt.Sprint("type ", kind), func(b []byte) { b[4] = byte(kind) })
		}
	}
	for _, offset := range []uint64{1, 1 << 40, 1<<64 - 1} {
		try(fmt.Sprint("offset ", offset), func(b []byte) { binary.LittleEndian.PutUint64(b[7:], offset) })
	}
}

func positions(k record.Block) string {
	at := []int{}
	for _, r := range k.Records {
		at = append(at, r.Pos)
	}
	return fmt.Sprint(at)
}

func TestAlignedLeavesRoomForARecord(t *testing.T) {
	for off := range int64(3 * record.BlockSize) {
		at := record.Aligned(off)
		in := at % record.BlockSize
		if at < off || at-off > record.BlockSize || record.BlockSize-in <= record.HeaderSize || 0 < in && in < record.HeaderSize || record.Aligned(at) != at {
			t.Fatalf("Aligned(%d) = %d", off, at)
		}
		if in := off % record.BlockSize; at != off && record.HeaderSize <= in && in < record.MaxData {
			t.Fatalf("Aligned(%d) = %d, but there is room", off, at)
		}
	}
}

// Room is enough for an entry of any length at any offset, and not much more.
func TestRoomIsEnoughAndNotMuchMore(t *testing.T) {
	for _, n := range []int{1, 100, record.MaxData, record.MaxData + 1, 1 << 30, math.MaxInt / 2} {
		for _, off := range []int64{0, 1, record.HeaderSize, record.MaxData - 1, record.MaxData} {
			need, room := record.EntrySize(off, int64(n)), int64(record.Room(n))
			if room < need || room > need+2*record.BlockSize {
				t.Errorf("%d bytes at offset %d: Room is %d, EntrySize %d", n, off, room, need)
			}
		}
	}
}
