package stateio_test

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stateio/stateio"
)

// pageModels are files whose last entry is not synced yet when the power fails.
func pageModels() map[string]*model {
	acked := func() *model {
		m := &model{}
		for i := range 40 {
			m.entry(i == 9, bytesOf(uint64(i), 5*i))
		}
		return m
	}
	far := acked().update(bytesOf(1, block-3000)) // the block ends soon
	return map[string]*model{
		"an update":                     acked().update(bytesOf(2, 3000)),
		"a snapshot":                    acked().snapshot(bytesOf(2, 3000)),
		"an update of two blocks":       far.prefix(41).update(bytesOf(2, 5000)),
		"a snapshot of three blocks":    far.prefix(41).snapshot(bytesOf(3, 40_000)),
		"the first update":              (&model{}).update(bytesOf(4, 5000)),
		"the first snapshot":            (&model{}).snapshot(bytesOf(5, 40_000)),
		"an update full of zeros":       acked().update(make([]byte, 3000)),
		"an entry at the block's start": (&model{}).update(bytesOf(6, block-24)).update(bytesOf(7, 45_000)),
	}
}

// Whatever pages of an entry that was not synced a power failure takes, the file
// opens with all that was acknowledged, takes another entry, and has it: G6, G7,
// G7b. The pages lost hold what was there before, nothing, or anything; the
// file's size is the old or the new one, or between them.
func TestEverySubsetOfUnsyncedPagesOpens(t *testing.T) {
	for name, m := range pageModels() {
		for _, page := range []int64{512, 4096} {
			t.Run(fmt.Sprintf("%s, pages of %d", name, page), func(t *testing.T) {
				f := tempFile(t, nil)
				last := m.ops[len(m.ops)-1]
				first := last.start / page
				n := int((last.end-1)/page - first + 1)
				rng := rand.New(rand.NewPCG(uint64(n), uint64(page)))
				states := 0
				try := func(kept func(int64) bool) {
					lostPages(t, f, m, page, kept, rng)
					states++
					if t.Failed() {
						t.FailNow()
					}
				}
				if n <= 12 && (n <= 7 || !testing.Short()) {
					for set := range uint(1) << n {
						try(func(p int64) bool { return set>>(p-first)&1 == 1 })
					}
				} else {
					for range count(400) {
						set := rng.Uint64() | rng.Uint64()&uint64(-rng.Int64N(2)) // half or more
						try(func(p int64) bool { return bits.RotateLeft64(set, int(p-first))&1 == 1 })
					}
				}
				t.Logf("%d states of %d pages", states, n)
			})
		}
	}
}

// lostPages is one state: the pages of the last entry that were not kept are
// lost. What one of them held of earlier entries is still there.
func lostPages(t *testing.T, f *os.File, m *model, page int64, kept func(int64) bool, rng *rand.Rand) {
	t.Helper()
	last := m.ops[len(m.ops)-1]
	acked := m.prefix(len(m.ops) - 1)
	for _, lost := range []string{"old", "zeros", "garbage"} {
		file := bytes.Clone(m.file)
		end, whole := int64(len(acked.file)), true
		for p := last.start / page; p <= (last.end-1)/page; p++ {
			from, to := max(p*page, last.start), min((p+1)*page, last.end)
			switch {
			case kept(p):
				end = to
				continue
			case lost == "garbage" && (len(acked.file) > 0 || kept(0)): // else it may be anybody's file
				copy(file[from:to], bytesOf(rng.Uint64(), int(to-from)))
			default: // beyond its old end a file reads as zeros
				clear(file[from:to])
			}
			whole = whole && bytes.Equal(file[from:to], m.file[from:to])
		}
		if lost == "old" { // the size as it was, or what was kept made it
			file = file[:end]
		}
		want := acked.prefix(len(acked.ops))
		if whole && len(file) == len(m.file) {
			want = m.prefix(len(m.ops))
		}
		fill(t, f, file)
		if err := want.compare(bytes.NewReader(file), int64(len(file))); err != nil {
			t.Errorf("%s in lost pages: restoring: %v", lost, err)
			return
		}
		w, err := stateio.NewFileWriter(f)
		if err != nil {
			t.Errorf("%s in lost pages: opening: %v", lost, err)
			return
		}
		must(t, w, want, []byte("afterwards"))
		if got := content(t, f); !bytes.Equal(got, want.file) {
			t.Errorf("%s in lost pages: the file has %d bytes, want %d", lost, len(got), len(want.file))
		}
	}
}

// With a payload full of records it opens too, as long as the page with the
// entry's header was kept; else it may be refused, but nothing is injected and
// no acknowledged entry is given up.
func TestSubsetsOfUnsyncedPagesOfANestedLog(t *testing.T) {
	f := tempFile(t, nil)
	rng := rand.New(rand.NewPCG(2, 3))
	for _, lead := range []int{30, block - 6000} {
		for _, phase := range []int{16, 512, 4096} {
			m := (&model{}).snapshot(bytesOf(1, 30)).update(bytesOf(2, lead))
			m.update(nestedPayload(len(m.file)+24, 70_000, phase))
			last, acked := m.ops[2], m.prefix(2)
			for range count(60) {
				file := bytes.Clone(m.file)
				headers := true // of the records of the last entry, all kept
				for p := last.start / 4096; p <= (last.end-1)/4096; p++ {
					if rng.IntN(2) == 0 {
						from, to := max(p*4096, last.start), min((p+1)*4096, last.end)
						clear(file[from:to])
						headers = headers && from != last.start && (from%block != 0 || p == 0)
					}
				}
				err := acked.compare(bytes.NewReader(file), int64(len(file)))
				if bytes.Equal(file, m.file) {
					err = m.compare(bytes.NewReader(file), int64(len(file)))
				}
				if err != nil && (headers || bytes.Contains([]byte(err.Error()), []byte(errWrong.Error()))) {
					t.Fatalf("phase %d, headers kept: %v: %v", phase, headers, err)
				}
				injected(t, m, file)
				fill(t, f, file)
				if _, werr := stateio.NewFileWriter(f); (werr == nil) != (err == nil) {
					t.Fatalf("restoring: %v, opening: %v", err, werr)
				}
				if err != nil && !bytes.Equal(content(t, f), file) {
					t.Fatal("a refused file was changed")
				}
			}
		}
	}
}

// The second block of an entry is on disk, the first is not: no silent rollback
// to the epoch before: G6.
func TestAnEntryWhoseFirstBlockIsLostRollsNothingBack(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 50)).update(bytesOf(2, 10)).update(bytesOf(3, 10)).update(bytesOf(4, block-600))
	m.snapshot([]byte("NEW-SNAPSHOT"))
	for i := range 10 {
		m.update(bytesOf(uint64(i), 3))
	}
	acked := m.prefix(len(m.ops))
	m.update(bytesOf(9, 2000))
	last := m.ops[len(m.ops)-1]
	if last.start/block == (last.end-1)/block {
		t.Fatal("the last entry is in one block")
	}
	file := bytes.Clone(m.file)
	clear(file[last.start:block])
	if err := acked.compare(bytes.NewReader(file), int64(len(file))); err != nil {
		t.Fatal(err)
	}
	step := int64(20_000 / count(4000))
	for bit := last.start * 8; bit < last.end*8; bit += max(1, step) { // G6b
		file := bytes.Clone(m.file)
		file[bit/8] ^= 1 << (bit % 8)
		if err := acked.compare(bytes.NewReader(file), int64(len(file))); err != nil && !isCorrupt(err) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}
