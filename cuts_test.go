package stateio_test

import (
	"bytes"
	"os"
	"testing"
)

// cutModels are the files that are cut at every byte.
func cutModels(t testing.TB) map[string]*model {
	small, smallSnaps := &model{}, &model{}
	for i := range 60 {
		small.update(bytesOf(uint64(i), i%40))
		smallSnaps.entry(i%7 == 3, bytesOf(uint64(i), i%40))
	}
	models := map[string]*model{
		"many small updates":               small,
		"many small epochs":                smallSnaps,
		"first entry, an update":           (&model{}).update(bytesOf(1, 300)),
		"first entry, a snapshot":          (&model{}).snapshot(bytesOf(1, 300)),
		"first entry, of two blocks":       (&model{}).update(bytesOf(1, block+500)),
		"an update of three blocks":        (&model{}).snapshot(bytesOf(1, 20)).update(bytesOf(2, 10)).update(bytesOf(3, 2*block+100)),
		"a snapshot of two blocks last":    (&model{}).update(bytesOf(1, 20)).snapshot(bytesOf(2, 30)).update(bytesOf(3, 10)).snapshot(bytesOf(4, block+50)),
		"an entry that ends with a block":  (&model{}).update(bytesOf(1, block-24)).update(bytesOf(2, 30)),
		"an entry that ends with two":      (&model{}).update(bytesOf(1, 100)).snapshot(bytesOf(2, 2*block-124-39-15)).update(nil).update(bytesOf(3, 1)),
		"a head split across two records":  (&model{}).update(bytesOf(1, block-24-20)).snapshot(bytesOf(2, 300)).update(bytesOf(3, 3)),
		"entries of no and of one byte":    (&model{}).snapshot(nil).update(nil).update([]byte{0}).snapshot([]byte{1}).update([]byte{2}).update(nil),
		"payloads that are full of zeros":  (&model{}).update(make([]byte, 300)).snapshot(make([]byte, 100)).update(make([]byte, 400)),
		"an update of records of this log": nestedUpdate(),
	}
	for _, v := range vectors(t) {
		if len(v.Name) > 5 && v.Name[:5] == "left-" {
			m := &model{}
			for i, e := range v.Entries {
				m.entry(e.Op == "snapshot", v.payload(i))
			}
			models["vector "+v.Name] = m
		}
	}
	return models
}

// nestedUpdate ends with an update whose payload is a state file's bytes.
func nestedUpdate() *model {
	inner := (&model{}).update(bytesOf(1, 40)).snapshot([]byte("INJECTED")).update(bytesOf(2, 40)).update(bytesOf(3, 900))
	return (&model{}).update(bytesOf(4, 70)).snapshot(bytesOf(5, 10)).update(inner.file)
}

// A file that is cut anywhere opens with the entries that are whole, takes
// another, is torn again, opens again, and has every acknowledged entry: G1,
// G2, G3, G4, G5, G19.
func TestEveryCutOpensAppendsTearsAndOpensAgain(t *testing.T) {
	states := 0
	for name, m := range cutModels(t) {
		t.Run(name, func(t *testing.T) {
			f := tempFile(t, nil)
			for _, cut := range cuts(m) {
				cutTwice(t, f, m, cut)
				states++
				if t.Failed() {
					t.Fatalf("at cut %d of %d", cut, len(m.file))
				}
			}
		})
	}
	t.Logf("%d states, each opened twice", states)
}

// cuts returns the cuts of a model to try: every one of a small model, or with
// STATEIO_SWEEP, else those near the ends of blocks and entries and a sample.
func cuts(m *model) (cuts []int64) {
	step := int64(199)
	switch size := len(m.file); {
	case sweep() > 1 || size < 4<<10 && !testing.Short():
		step = 1
	case testing.Short():
		step = 2003
	}
	for cut := int64(0); cut <= int64(len(m.file)); cut++ {
		in := cut % block
		skip := testing.Short() && cut%7 != 0
		near := cut%step == 0 || (in < 20 || in > block-20) && !skip
		if len(m.ops) < 10 {
			for _, o := range m.ops {
				near = near || o.start-cut < 3 && cut-o.start < 27 && !skip
			}
		}
		if near {
			cuts = append(cuts, cut)
		}
	}
	return cuts
}

// cutTwice is one state of the sweep. Of the entry that is torn second, in turn
// from nothing to almost all got to the disk.
func cutTwice(t *testing.T, f *os.File, m *model, cut int64) {
	fill(t, f, m.file[:cut])
	m = m.prefix(m.whole(cut))
	must(t, reopen(t, f, m), m, bytesOf(uint64(cut), int(cut%50)))

	torn := m.prefix(len(m.ops)).entry(cut%2 == 0, bytesOf(uint64(cut)+1, int(cut%70)))
	got := torn.file[:len(m.file)+int(cut)%(len(torn.file)-len(m.file))]
	if _, err := f.WriteAt(got[len(m.file):], int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
	must(t, reopen(t, f, m), m, []byte("third generation"))
	if got := content(t, f); !bytes.Equal(got, m.file) {
		t.Fatalf("the file has %d bytes that are not the %d of the entries acknowledged", len(got), len(m.file))
	}
	if err := m.compare(f, int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
}
