package storefile

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/ahead"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/record/recordtest"
)

// borders returns numbers of bytes around those that fill some records from off on
// to the last byte of a block, and small ones.
func borders(off int64) (sizes []int) {
	for n := range 8 {
		sizes = append(sizes, n)
	}
	room := record.BlockSize - int(record.Aligned(off)%record.BlockSize) - record.HeaderSize
	for _, fill := range []int{room, room + record.MaxData} {
		for n := fill - maxFrame - 2; n <= fill-frameSize+2; n++ {
			if n >= 8 {
				sizes = append(sizes, n)
			}
		}
	}
	return sizes
}

// Wherever an entry begins and ends in a block, it is read back as it was, and has
// the size for which space was set aside.
func TestEntriesAtTheEdgesOfBlocks(t *testing.T) {
	content := slices.Repeat([]byte("0123456789a"), 2*record.BlockSize/11)
	const salt = 1 << 63
	before := make([]byte, record.BlockSize, 4*record.BlockSize)
	for left := int64(0); left < 110; left++ { // in the block, twice
		want := Tag{Index: 7, Back: 3}
		if left >= 55 {
			want = Tag{Index: 7, Timed: true, Time: 1 << 60}
		}
		off := record.BlockSize - left%55
		for _, n := range borders(off) {
			payload := content[:n]
			file := AppendEntry(before[:off], off, salt, want, payload)
			if size := EntrySize(off, n, want.Timed); off+size != int64(len(file)) {
				t.Errorf("%d bytes, %d before the end of a block: a size of %d, want %d", n, left, size, int64(len(file))-off)
			}
			e := newEntries(bytes.NewReader(file), "", off, int64(len(file)))
			b, err := e.next()
			if err != nil {
				t.Errorf("%d bytes, %d before the end of a block: %v", n, left, err)
				continue
			}
			var got Tag
			p, err := parseFramed(&got, b, salt, e.span)
			if err != nil || got != want || !bytes.Equal(p, payload) {
				t.Errorf("%d bytes, %d before the end of a block: read %+v and %d bytes, %v", n, left, got, len(p), err)
			}
			e.Close()
		}
	}
}

// An entry that fits into the rest of a block, to the last byte, is one record.
func TestAnEntryThatFillsItsBlockIsOneRecord(t *testing.T) {
	const most = record.MaxData - frameSize
	for n, want := range map[int]record.Type{most: record.Full, most + 1: record.First} {
		file := AppendEntry(nil, 0, 1, Tag{Index: 1}, make([]byte, n))
		if h, ok := record.Verify(file[:record.BlockSize]); !ok || h.Type != want {
			t.Errorf("%d bytes begin with a %v record, want %v", n, h.Type, want)
		}
	}
}

// Whether what reads ahead puts entries together makes no difference to what is
// read, of any log.
func TestJoinedEntriesAreTheSame(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 2))
		log := recordtest.Odd(rng, 1+rng.IntN(2*ahead.SegmentSize))
		if seed%10 == 0 {
			log = log[:0]
			for len(log) < 3*ahead.SegmentSize {
				log = record.AppendEntry(log, int64(len(log)), nil, make([]byte, 1+rng.IntN(100_000)))
			}
		}
		limit := int64(len(log))
		for start := int64(0); start < limit; start += record.BlockSize {
			joined := newEntries(bytes.NewReader(log), "", start, limit)
			plain := newEntries(bytes.NewReader(log), "", start, limit)
			plain.segments = ahead.New(bytes.NewReader(log), start, limit)
			for {
				got, err := joined.next()
				want, wantErr := plain.next()
				if !bytes.Equal(got, want) || err != wantErr || joined.pos != plain.pos || joined.Off != plain.Off || joined.Bad != plain.Bad ||
					joined.span != plain.span || joined.digest != plain.digest {
					t.Fatalf("seed %d: the entry at %d: %d bytes up to %d, %v; not joined: %d bytes up to %d, %v",
						seed, plain.Off, len(got), joined.pos, err, len(want), plain.pos, wantErr)
				}
				if err != nil {
					break
				}
				if cap(got) > len(got) && &got[0] != &joined.spill[0] {
					t.Fatalf("seed %d: the entry at %d has room for more, where others are", seed, joined.Off)
				}
			}
			joined.Close()
			plain.Close()
		}
	}
}
