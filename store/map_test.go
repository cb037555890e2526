package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// A pile is a machine whose state is all of its updates, one after the other.
type pile struct{ b []byte }

func (p *pile) Apply(update []byte) (any, error) { p.b = append(p.b, update...); return nil, nil }

func (p *pile) Restore(r io.Reader) (err error) { p.b, err = io.ReadAll(r); return err }

func (p *pile) Snapshot() (io.WriterTo, error) { return bytes.NewReader(bytes.Clone(p.b)), nil }

// mappedStore makes a store with small and large updates, groups, and snapshots.
func mappedStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, &pile{}, &store.Options{SnapshotBytes: -1, KeepSnapshots: 9, PreallocateBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	update := func(n int) {
		if _, err := s.Update(t.Context(), bytes.Repeat([]byte{byte(n), 7}, n/2+1)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		for i := range 40 {
			update(round*50 + i)
		}
		update(70_000)
		for i := range 20 { // several in a commit, perhaps
			if _, err := s.Submit(fmt.Appendf(nil, "submitted %d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Change(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.Append([]byte("one")), tx.Append(nil), tx.Append(make([]byte, 40_000)))
		}); err != nil {
			t.Fatal(err)
		}
		if round < 2 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A flat is a part without what is valid for a turn of the loop only.
type flat struct {
	inspect.Part
	data string
}

// partsOf walks through file i from a mark on.
func partsOf(t *testing.T, m *inspect.Map, i int, from inspect.Mark) (parts []flat, marks []inspect.Mark) {
	t.Helper()
	for p, err := range m.Parts(i, from) {
		if err != nil {
			t.Fatalf("%s: %v", m.Files[i].Path, err)
		}
		data, err := io.ReadAll(p.Payload())
		if err != nil || !bytes.HasPrefix(data, p.Prefix) || int64(len(data)) != p.Size {
			t.Fatalf("payload of %d bytes, %d expected: %v", len(data), p.Size, err)
		}
		mark, ok := p.Mark()
		if !ok {
			mark = inspect.Mark{}
		}
		marks = append(marks, mark)
		parts = append(parts, flat{inspect.Part{
			Offset: p.Offset, End: p.End, Content: p.Content, Index: p.Index, Nth: p.Nth, Begins: p.Begins,
			Time: p.Time, Size: p.Size, Reason: p.Reason, LostFirst: p.LostFirst, LostLast: p.LostLast, Place: p.Place,
		}, string(data)})
	}
	return parts, marks
}

func openMap(t *testing.T, dir string) *inspect.Map {
	t.Helper()
	m, err := inspect.OpenMap(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The map of a store leaves no byte out, has each update as ReadUpdates gives it, and each
// state as the snapshot holds it.
func TestAMapHasAllThatIsInAStore(t *testing.T) {
	dir := mappedStore(t)
	m := openMap(t, dir)
	var updates []flat
	contents := map[inspect.Content]int{}
	for i, f := range m.Files {
		parts, _ := partsOf(t, m, i, inspect.Mark{})
		end, state := int64(0), ""
		for _, p := range parts {
			contents[p.Content]++
			if gap := p.Offset - end; p.Nth == 0 && (gap < 0 || gap > 15) {
				t.Errorf("%s: nothing from offset %d to %d", f.Path, end, p.Offset)
			}
			end = p.End
			if p.Content == inspect.ContentUpdate {
				updates = append(updates, p)
			}
			state += map[bool]string{true: p.data}[p.Content == inspect.ContentState]
		}
		if end != f.Size {
			t.Errorf("%s: the map ends at %d, the file at %d", f.Path, end, f.Size)
		}
		if f.Kind == inspect.SnapshotFile {
			want := &pile{}
			if err := store.RestoreAt(t.Context(), dir, want, f.Base, nil); err != nil || state != string(want.b) {
				t.Errorf("%s: a state of %d bytes, want %d: %v", f.Path, len(state), len(want.b), err)
			}
		}
	}
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		if err != nil {
			t.Fatal(err)
		}
		p := updates[0]
		if p.Index != u.Index || p.data != string(u.Data) || !p.Time.Equal(u.Time) {
			t.Fatalf("update %d of %d bytes at %v, want %d of %d bytes at %v", p.Index, p.Size, p.Time, u.Index, len(u.Data), u.Time)
		}
		updates = updates[1:]
	}
	if len(updates) > 0 {
		t.Errorf("%d updates too many", len(updates))
	}
	if contents[inspect.ContentHeader] != 6 || contents[inspect.ContentEnd] != 5 || contents[inspect.ContentDamage] != 0 {
		t.Errorf("the contents are %v", contents)
	}
}

// A walk from a mark on gives what the whole walk gives from there on.
func TestAWalkBeginsAtAMark(t *testing.T) {
	m := openMap(t, mappedStore(t))
	tried := 0
	for i := range m.Files {
		parts, marks := partsOf(t, m, i, inspect.Mark{})
		for j := 0; j < len(marks); j += 1 + j%7 {
			if marks[j].Offset() == 0 {
				continue
			}
			tried++
			if again, _ := partsOf(t, m, i, marks[j]); !reflect.DeepEqual(again, parts[j:]) {
				t.Fatalf("%s: from offset %d on there are %d parts, want %d", m.Files[i].Path, marks[j].Offset(), len(again), len(parts[j:]))
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d marks", tried)
	}
}

// damageOf returns whether a map shows damage, the updates that it has, and the indexes of
// those that are lost.
func damageOf(t *testing.T, dir string) (damaged bool, has map[uint64]flat, lost map[uint64]bool) {
	t.Helper()
	m := openMap(t, dir)
	has, lost = map[uint64]flat{}, map[uint64]bool{}
	type reach struct {
		last   uint64
		sealed bool
	}
	reaches := map[int]reach{}
	for i, f := range m.Files {
		parts, _ := partsOf(t, m, i, inspect.Mark{})
		r, broken := reach{last: f.Base}, false
		for _, p := range parts {
			switch p.Content {
			case inspect.ContentDamage:
				broken = true
				for n := p.LostFirst; n > 0 && n <= p.LostLast; n++ {
					lost[n] = true
				}
			case inspect.ContentUpdate:
				has[p.Index], r.last = p, p.Index
			case inspect.ContentEnd:
				r.sealed = !broken
			}
		}
		reaches[i] = r
		damaged = damaged || broken
	}
	missing := m.Missing(func(i int) (uint64, bool) { return reaches[i].last, reaches[i].sealed })
	return damaged || len(missing) > 0, has, lost
}

// A map shows damage exactly where Check does, has every update that a salvage finds, as it
// was, and names the others as lost.
func TestAMapShowsWhatCheckFinds(t *testing.T) {
	dir := mappedStore(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil || len(files) != 6 {
		t.Fatalf("files %q, %v", files, err)
	}
	n := 400
	if testing.Short() {
		n = 60
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	_, were, _ := damageOf(t, dir)
	kinds := map[bool]int{}
	for round := range n {
		path := files[rnd.IntN(len(files))]
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b := bytes.Clone(whole)
		at := rnd.IntN(len(b))
		switch rnd.IntN(8) {
		case 0:
			b = b[:at]
		case 1:
			clear(b[at:min(len(b), at+1+rnd.IntN(40_000))])
		case 2:
			at -= at % 4096
			copy(b[at:], b[:min(4096, len(b)-at)])
		default:
			b[at] ^= 1 << rnd.IntN(8)
		}
		if round%20 == 19 {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		reports, err := store.Check(context.Background(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := false
		for _, r := range reports {
			want = want || len(r.Damage) > 0
		}
		got, has, lost := damageOf(t, dir)
		kinds[got]++
		for n, p := range has {
			if was := were[n]; p.data != was.data || !p.Time.IsZero() && !p.Time.Equal(was.Time) || p.Offset == was.Offset && p.Begins != was.Begins {
				t.Fatalf("round %d, %s at %d: update %d is %+v, and was %+v", round, filepath.Base(path), at, n, p.Part, was.Part)
			}
		}
		if got != want {
			t.Fatalf("round %d, %s at %d: the map shows damage: %v, Check: %v", round, filepath.Base(path), at, got, reports)
		}
		if round%4 == 0 {
			checkSalvage(t, dir, has, lost)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if kinds[true] < n/4 || kinds[false] == 0 {
		t.Errorf("with and without damage: %v", kinds)
	}
}

// checkSalvage compares the updates that a map of dir has with those that a repair can keep.
func checkSalvage(t *testing.T, dir string, has map[uint64]flat, lost map[uint64]bool) {
	t.Helper()
	for n := range lost {
		if _, there := has[n]; there {
			t.Errorf("update %d is there, and lost", n)
		}
	}
	report, err := store.Repair(t.Context(), dir, filepath.Join(t.TempDir(), "new"), &store.RepairOptions{Salvage: true})
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
	if err != nil {
		return // nothing can be kept
	}
	for _, l := range report.Lost {
		for n := l.First; !l.Known && n <= l.Last; n++ {
			if _, there := has[n]; there {
				t.Errorf("the map has update %d, which a repair can't read: lost are %+v", n, report.Lost)
			}
		}
	}
	if report.Updates > uint64(len(has)) {
		t.Errorf("the map has %d updates, and a repair keeps %d", len(has), report.Updates)
	}
}
