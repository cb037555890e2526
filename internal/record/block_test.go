package record_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/record"
)

// gaps parses b and returns its gaps.
func gaps(b []byte) []record.Gap {
	var k record.Block
	k.Parse(b)
	return k.Gaps
}

// cat joins records, or what was made of them, to the bytes of a block.
func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// damaged returns a copy of record b with the given byte of it wrong.
func damaged(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x55
	return b
}

// In the last 15 bytes of a block there is no record, whatever they are; in 16
// there may be one.
func TestParseLeavesThePaddingAlone(t *testing.T) {
	for left := range 40 {
		first := rec(1, 0, bytesOf(1, record.MaxData-left))
		got := gaps(cat(first, bytes.Repeat([]byte{0xff}, left)))
		if want := min(1, left/16); len(got) != want {
			t.Errorf("%d bytes are left: gaps %+v, want %d", left, got, want)
		}
	}
	var k record.Block
	k.Parse(cat(rec(1, 0, bytesOf(1, record.MaxData-16)), rec(1, 0, []byte{1})))
	if len(k.Records) != 2 || len(k.Gaps) != 0 {
		t.Errorf("records at %v, gaps %+v", positions(k), k.Gaps)
	}
}

// A log may end anywhere in a block, also within a header.
func TestParseOfABlockThatIsCut(t *testing.T) {
	b := cat(rec(1, 0, bytesOf(1, 30)), rec(1, 0, bytesOf(2, 30)))
	for cut := range len(b) + 1 {
		var k record.Block
		k.Parse(b[:cut])
		in := cut % 45
		if len(k.Records) != cut/45 || len(k.Gaps) != min(1, in) {
			t.Fatalf("cut at %d: records at %v, gaps %+v", cut, positions(k), k.Gaps)
		}
		if in == 0 {
			continue
		}
		want := record.Gap{From: cut - in, To: cut, Claimed: cut - in}
		if in >= record.HeaderSize {
			want.Claimed += 45 // the header tells
		}
		if k.Gaps[0] != want {
			t.Fatalf("cut at %d: %+v, want %+v", cut, k.Gaps[0], want)
		}
	}
}

func TestZerosBehindTheRecordsAreNoGap(t *testing.T) {
	for _, n := range []int{1, 15, 16, 1000} {
		if got := gaps(cat(rec(1, 0, bytesOf(1, 30)), make([]byte, n))); len(got) != 0 {
			t.Errorf("%d zeros: %+v", n, got)
		}
	}
}

func TestASoundRecordOfAnUnknownTypeIsAGapThatSaysSo(t *testing.T) {
	b := cat(rec(1, 0, bytesOf(1, 30)), rec(9, 0, bytesOf(2, 40)), rec(1, 0, bytesOf(3, 30)))
	want := []record.Gap{{From: 45, To: 100, Claimed: 100, Bridged: true, Unknown: true}}
	if got := gaps(b); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// One wrong bit of a length does not hide where the record ends, also when
// nothing follows it that would tell.
func TestOneWrongBitOfALengthIsSeen(t *testing.T) {
	for _, n := range []int{1, 100, 5000, record.MaxData} {
		for bit := range 16 {
			b := rec(1, 0, bytesOf(1, n))
			b[5+bit/8] ^= 1 << (bit % 8)
			want := []record.Gap{{From: 0, To: len(b), Claimed: len(b), Bridged: true}}
			if got := gaps(b); !slices.Equal(got, want) {
				t.Errorf("%d bytes, bit %d: got %+v", n, bit, got)
			}
			b = append(b, make([]byte, record.BlockSize-len(b))...)
			if got := gaps(b); !slices.Equal(got, want) {
				t.Errorf("%d bytes and zeros, bit %d: got %+v", n, bit, got)
			}
		}
	}
}

// What a broken record's header says of its end is taken for it only if such a
// record may stand there.
func TestClaimedIsWhereARecordMayEnd(t *testing.T) {
	const full = record.MaxData // up to the block's end, from its start
	for _, c := range []struct {
		pos    int // of the record, in the block
		kind   byte
		offset uint64
		length int
		ok     bool
	}{
		{0, 1, 0, 100, true},
		{0, 1, 0, full, true},
		{50, 1, 0, full - 50, true},
		{0, 1, 1, 100, false},
		{0, 1, 0, 0, false},
		{0, 1, 0, full + 1, false},
		{50, 1, 0, full - 49, false},
		{0, 2, 0, full, true},
		{50, 2, 0, full - 50, true},
		{0, 2, 1, full, false},
		{0, 2, 0, full - 1, false},
		{0, 2, 0, full + 1, false},
		{0, 3, 99, full, true},
		{0, 3, 99, full - 1, false},
		{50, 3, 99, full - 50, false},
		{0, 4, 99, 100, true},
		{0, 4, 99, full, true},
		{50, 4, 99, 100, false},
		{0, 0, 0, 100, false},
		{0, 5, 0, 100, false},
	} {
		b := make([]byte, record.BlockSize)
		if c.pos > 0 {
			copy(b, rec(1, 0, bytesOf(1, c.pos-record.HeaderSize)))
		}
		broken := damaged(rec(c.kind, c.offset, bytesOf(2, c.length)), 0)
		copy(b[c.pos:], broken)
		want := c.pos
		if c.ok {
			want += len(broken)
		}
		if got := gaps(b); len(got) != 1 || got[0].From != c.pos || got[0].Claimed != want {
			t.Errorf("%+v: got %+v, want Claimed: %d", c, got, want)
		}
	}
}

// After a broken record the next one is taken that must be real, and none that
// may lie in a payload.
func TestWhatLeadsOverABrokenRecord(t *testing.T) {
	var (
		inner = rec(1, 0, bytesOf(1, 20))
		outer = rec(1, 0, cat(inner, inner, inner)) // holds what looks like records
		next  = rec(1, 0, bytesOf(2, 30))
		last  = rec(4, 12345, bytesOf(3, 40))
		long  = func(b []byte) []byte {
			b = bytes.Clone(b)
			binary.LittleEndian.PutUint16(b[5:], 0x1234)
			return b
		}
	)
	const kind, offset, data = 4, 8, 20 // bytes of a record
	for name, c := range map[string]struct {
		broken []byte // at the block's start
		behind []byte
		over   int // bytes of after that are in the gap, too; -1: all, as nothing leads over it
	}{
		"a FULL record's type":                        {damaged(outer, kind), next, 0},
		"a FIRST record's type":                       {damaged(rec(2, 0, bytesOf(4, 40)), kind), next, 0},
		"a MIDDLE record's type":                      {damaged(rec(3, 777, bytesOf(4, 40)), kind), next, 0},
		"a LAST record's type":                        {damaged(last, kind), next, 0},
		"an offset":                                   {damaged(outer, offset), next, 0},
		"a length":                                    {long(outer), next, 0},
		"the data":                                    {damaged(outer, data), next, 0},
		"the data, and those of the next one":         {damaged(outer, data), cat(damaged(next, data), next), len(next)},
		"a type, before one byte":                     {damaged(outer, kind), rec(1, 0, []byte{1}), 0},
		"a type, before a FIRST record":               {damaged(outer, kind), rec(2, 0, bytesOf(5, record.MaxData-len(outer))), 0},
		"a type, before a FIRST record that is short": {damaged(outer, kind), rec(2, 0, bytesOf(5, 30)), -1},
		"a type, before a MIDDLE record":              {damaged(outer, kind), rec(3, 0, bytesOf(5, 30)), -1},
		"a type, before an unknown record":            {damaged(outer, kind), rec(9, 0, bytesOf(5, 30)), -1},
		"a type, before a FULL record of an offset":   {damaged(outer, kind), rec(1, 1, bytesOf(5, 30)), -1},
		"a type, before a broken record":              {damaged(outer, kind), damaged(next, data), -1},
		"a type, before a record without data":        {damaged(outer, kind), cat(rec(1, 0, nil), bytesOf(5, 30)), -1},
		"a type and a length":                         {long(damaged(outer, kind)), next, -1},
		"a type and the data":                         {damaged(damaged(outer, kind), data), next, -1},
		"an offset and the data":                      {damaged(damaged(outer, offset), data), next, -1},
		"a type that was 0":                           {damaged(rec(0, 7, bytesOf(4, 40)), kind), next, -1},
		"a type that was 5":                           {damaged(rec(5, 7, bytesOf(4, 40)), kind), next, -1},
		"the type of a record without data":           {damaged(rec(1, 0, nil), kind), next, -1},
		"the data, before a LAST record":              {damaged(outer, data), last, -1},
		"the data, before no record":                  {damaged(outer, data), bytesOf(5, 100), -1},
	} {
		b := cat(c.broken, c.behind)
		want := record.Gap{To: len(c.broken) + c.over, Bridged: true}
		if c.over < 0 {
			want = record.Gap{To: len(b)}
		}
		got := gaps(b)
		if len(got) == 1 {
			want.Claimed = got[0].Claimed // has a test of its own
		}
		if !slices.Equal(got, []record.Gap{want}) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

// Nothing writes a record without data, so that a bit of a length that would make
// it one is no reason to go on after it.
func TestNoLengthIsTurnedToZero(t *testing.T) {
	b := rec(1, 0, nil)
	b[5] ^= 8
	if got := gaps(cat(b, bytesOf(1, 100))); len(got) != 1 || got[0].Bridged || got[0].To != 115 {
		t.Errorf("got %+v", got)
	}
}
