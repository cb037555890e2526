package ahead_test

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/ahead"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/record/recordtest"
)

// spans returns the entries of log after start that go on from block to block,
// with nothing between their records, and end in the segment that they began in:
// by where they end.
func spans(t *testing.T, log []byte, start int64) map[int64]record.Entry {
	t.Helper()
	found := map[int64]record.Entry{}
	origin := start - start%record.BlockSize
	for pos := start; pos < int64(len(log)); {
		e, _, ok, err := record.FindEntry(bytes.NewReader(log), pos, int64(len(log)))
		switch {
		case err != nil:
			t.Fatal(err)
		case !ok:
			// After a record that is not valid, none is known before the next block.
			e.End = pos - pos%record.BlockSize + record.BlockSize
			if h, valid := record.Verify(log[pos:min(e.End, int64(len(log)))]); valid {
				e.End = pos + int64(h.Size())
			}
		default:
			blocks := (e.End-1)/record.BlockSize - e.Start/record.BlockSize + 1
			within := (e.Start-origin)/ahead.SegmentSize == (e.End-1-origin)/ahead.SegmentSize
			if blocks > 1 && within && e.End-e.Start-e.Size == blocks*record.HeaderSize {
				found[e.End] = e
			}
		}
		pos = record.Aligned(e.End)
	}
	return found
}

// data returns the data of entry e of log.
func data(log []byte, e record.Entry) (data []byte) {
	for pos := e.Start; pos < e.End; {
		h := record.Decode(log[pos:])
		data = append(data, log[pos:][record.HeaderSize:h.Size()]...)
		pos += int64(h.Size())
	}
	return data
}

// All of a log can be read from joined segments: the entries that are joined,
// with the headers of their records, and everything else as it was.
func TestEntriesAreJoinedWithinASegment(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := 4*ahead.SegmentSize + rng.IntN(ahead.SegmentSize)
		log := recordtest.Odd(rng, n)
		if seed%2 == 0 {
			log = makeLog(n, 1+rng.IntN(300_000))
		}
		for range rng.IntN(4) {
			log[rng.IntN(len(log))] ^= 1 << rng.IntN(8)
		}
		all := spans(t, log, 0)
		var start int64
		switch rng.IntN(3) {
		case 0:
			start = int64(1+rng.IntN(6)) * record.BlockSize
		case 1: // within a block
			if len(all) > 0 {
				start = all[slices.Min(slices.Collect(maps.Keys(all)))].Start
			}
		}
		want := spans(t, log, start)
		r := ahead.NewJoined(bytes.NewReader(log), start, int64(len(log)))
		for {
			s, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			checkJoined(t, log, start, s, want)
		}
		for _, e := range want {
			t.Fatalf("seed %d: the entry at %d, of %d bytes, was not joined", seed, e.Start, e.Size)
		}
	}
}

// checkJoined takes the entries that s has joined out of want, and compares s
// with log.
func checkJoined(t *testing.T, log []byte, start int64, s *ahead.Segment, want map[int64]record.Entry) {
	t.Helper()
	plain := log[s.Off:][:len(s.Bytes)]
	same := max(start-s.Off, 0) // up to here everything is as it was, or was joined
	for i := 0; i < len(s.Joined); i++ {
		if s.Joined[i].Type == 0 {
			continue
		}
		first := i
		for s.Joined[i].Type == record.Middle {
			i++
		}
		end := int64(i*record.BlockSize + s.Joined[i].Size())
		e, ok := want[s.Off+end]
		if !ok {
			t.Fatalf("no entry of several records ends at %d", s.Off+end)
		}
		delete(want, s.Off+end)
		for j := first; j <= i; j++ {
			if h := record.Decode(plain[j*record.BlockSize:]); s.Joined[j] != h {
				t.Errorf("at %d, %+v stands for %+v", s.Off+int64(j*record.BlockSize), s.Joined[j], h)
			}
		}
		at := e.Start - s.Off + record.HeaderSize
		if !bytes.Equal(s.Bytes[at:at+e.Size], data(log, e)) {
			t.Errorf("the data of the entry at %d, of %d bytes, is not together", e.Start, e.Size)
		}
		if !bytes.Equal(s.Bytes[same:at], plain[same:at]) {
			t.Errorf("something before the entry at %d was changed", e.Start)
		}
		same = end
	}
	if !bytes.Equal(s.Bytes[same:], plain[same:]) {
		t.Errorf("something after %d was changed", s.Off+same)
	}
}
