package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A vector is a directory of testdata/store-vectors, with what is in it.
type vector struct {
	Name    string            `json:"name"`
	About   string            `json:"about"`
	State   []string          `json:"state"`   // the updates that lead to it, shortened by brief
	Updates []vectorUpdate    `json:"updates"` // that can be read
	files   map[string][]byte // by name
}

type vectorUpdate struct {
	Index uint64 `json:"index"`
	Time  int64  `json:"time"`
	Data  string `json:"data"` // shortened by brief
	State bool   `json:"state,omitempty"`
}

// brief stands for an update in index.json.
func brief(u string) string {
	if len(u) > 40 {
		return fmt.Sprintf("%s... of %d bytes", u[:8], len(u))
	}
	return u
}

// briefs is brief for each.
func briefs(updates []string) []string {
	b := []string{}
	for _, u := range updates {
		b = append(b, brief(u))
	}
	return b
}

// Salts, identity and times of the vectors are made up.
const (
	vectorTime = int64(1_700_000_000_000_000_000)
	second     = int64(time.Second)
)

var vectorID = [16]byte{0: 's', 1: 'o', 2: 'm', 3: 'e', 15: 'x'}

// journalBytes is the state of a journal.
func journalBytes(updates ...string) []byte {
	var b bytes.Buffer
	_, _ = journalState(updates).WriteTo(&b)
	return b.Bytes()
}

// vectors returns all of them, written by the book.
func vectors() []vector {
	large := strings.Repeat("0123456789abcdef", 5000) // three records
	emptyLog := func(base uint64, at int64) []byte {
		f := &bookFile{}
		f.header('L', vectorID, base, 77+base, at)
		return f.b
	}
	v := []vector{{
		Name: "new", About: "a store without an update",
		files: map[string][]byte{log0: emptyLog(0, 0)},
	}}

	f := &bookFile{}
	f.header('L', vectorID, 0, 0x0123456789abcdef, 0)
	f.tagged(bookTag{index: 1, at: vectorTime}, []byte("alone"))
	f.tagged(bookTag{index: 2, at: vectorTime + second}, []byte("first of a commit"))
	f.tagged(bookTag{index: 3, back: 1}, []byte(""))
	f.tagged(bookTag{index: 4, back: 2, group: true}, group("one", "two"))
	f.tagged(bookTag{index: 6, back: 4}, []byte(large))
	updates := []vectorUpdate{
		{1, vectorTime, "alone", false},
		{2, vectorTime + second, "first of a commit", false},
		{3, vectorTime + second, "", false},
		{4, vectorTime + second, "one", false},
		{5, vectorTime + second, "two", false},
		{6, vectorTime + second, large, false},
	}
	open := slices.Clone(f.b)
	v = append(v, vector{
		Name: "log", About: "a commit of one update, and one of five, with a group and an update of several records; as kill -9 leaves it, with space set aside",
		Updates: updates, files: map[string][]byte{log0: append(open, make([]byte, 4096)...)},
	})
	f.seal(6, 7)
	v = append(v, vector{
		Name: "closed", About: "the same, closed: a seal, and an empty log",
		Updates: updates, files: map[string][]byte{log0: f.b, "00000000000000000006.log": emptyLog(6, vectorTime+second)},
	})
	snap := &bookFile{}
	snap.header('S', vectorID, 6, 99, vectorTime+second)
	state := journalBytes("alone", "first of a commit", "", "one", "two", large)
	snap.snapshot(state[:10], state[10:70_000], state[70_000:])
	later := &bookFile{}
	later.header('L', vectorID, 6, 83, vectorTime+second)
	later.tagged(bookTag{index: 7, at: vectorTime + 2*second}, []byte("after the snapshot"))
	v = append(v, vector{
		Name: "snapshot", About: "a snapshot in three chunks, without the log before it, and an update after it",
		State:   []string{"alone", "first of a commit", "", "one", "two", large, "after the snapshot"},
		Updates: []vectorUpdate{{7, vectorTime + 2*second, "after the snapshot", false}},
		files:   map[string][]byte{"00000000000000000006.snap": snap.b, "00000000000000000006.log": later.b},
	})
	zero, after := &bookFile{}, &bookFile{}
	zero.header('S', vectorID, 0, 98, 0)
	zero.snapshot(journalBytes("old"))
	after.header('I', vectorID, 0, 84, 0)
	after.tagged(bookTag{index: 1, at: vectorTime}, []byte("new"))
	v = append(v, vector{
		Name: "imported", About: "a state that no update has made, and a log that needs it",
		State: []string{"old", "new"}, Updates: []vectorUpdate{{1, vectorTime, "new", false}},
		files: map[string][]byte{snap0: zero.b, log0: after.b},
	})
	replaced := &bookFile{}
	replaced.header('L', vectorID, 0, 85, 0)
	replaced.tagged(bookTag{index: 1, at: vectorTime}, []byte("gone"))
	whole := journalBytes("in", "place")
	replaced.tagged(bookTag{index: 2, at: vectorTime + second, state: true}, whole)
	replaced.tagged(bookTag{index: 3, back: 1}, []byte("after"))
	v = append(v, vector{
		Name: "replaced", About: "a whole state in place of what was there, and an update in the same commit",
		State: []string{"in", "place", "after"},
		Updates: []vectorUpdate{
			{1, vectorTime, "gone", false},
			{2, vectorTime + second, string(whole), true},
			{3, vectorTime + second, "after", false},
		},
		files: map[string][]byte{log0: replaced.b},
	})
	for i := range v {
		if v[i].State == nil {
			for _, u := range v[i].Updates {
				v[i].State = append(v[i].State, u.Data)
			}
		}
	}
	return v
}

// The directories in testdata/store-vectors pin the format: they are written by the book.
func TestStoreVectorsAreByTheBook(t *testing.T) {
	const top = "../testdata/store-vectors"
	files := map[string][]byte{}
	var index []vector
	for _, v := range vectors() {
		for name, b := range v.files {
			files[filepath.Join(v.Name, name)] = b
		}
		v.State = briefs(v.State)
		v.Updates = append([]vectorUpdate{}, v.Updates...)
		for i := range v.Updates {
			v.Updates[i].Data = brief(v.Updates[i].Data)
		}
		index = append(index, v)
	}
	b := &bookFile{}
	b.backup(vectorID, 7, 97, vectorTime+2*second, journalBytes("alone", "in a backup"))
	files["backup.state"] = b.b
	text, err := json.MarshalIndent(index, "", "  ")
	check(t, err)
	files["index.json"] = append(text, '\n')
	if os.Getenv("STATEIO_WRITE_VECTORS") != "" {
		for name, b := range files {
			check(t, os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755))
			check(t, os.WriteFile(filepath.Join(top, name), b, 0o644))
		}
	}
	found := 0
	check(t, filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "README.md" {
			return err
		}
		found++
		name, _ := filepath.Rel(top, path)
		b, err := os.ReadFile(path)
		if !bytes.Equal(b, files[name]) {
			t.Errorf("%s is not what the book says", name)
		}
		return err
	}))
	if found != len(files) {
		t.Errorf("%d files of %d are there", found, len(files))
	}
}

// What is written by the book opens with the state, the updates and their times, and
// nothing is wrong with it.
func TestStoreVectorsOpen(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.Name, func(t *testing.T) {
			const dir = "/vector"
			mount(t, dir, files(v.files).mem(t, dir))
			reports, err := store.Check(t.Context(), dir, nil)
			check(t, err)
			for _, r := range reports {
				if len(r.Damage) > 0 || r.Torn > 0 {
					t.Errorf("%s: %v, %d bytes torn", r.Path, r.Damage, r.Torn)
				}
			}
			var got []vectorUpdate
			if len(v.Updates) > 0 {
				for u, err := range store.ReadUpdates(t.Context(), dir, v.Updates[0].Index) {
					check(t, err)
					got = append(got, vectorUpdate{u.Index, u.Time.UnixNano(), string(u.Data), u.State})
				}
			}
			if !slices.Equal(got, v.Updates) {
				t.Errorf("the updates are %.200v", got)
			}
			m := &journal{}
			s := open(t, dir, m, nil)
			if !slices.Equal(m.updates, v.State) {
				t.Errorf("the state is %.200q", m.updates)
			}
			update(t, s, "more")
			check(t, s.Close())
		})
	}
	b := &bookFile{}
	b.backup(vectorID, 7, 97, vectorTime+2*second, journalBytes("alone", "in a backup"))
	const dir = "/vector"
	memory(t, dir)
	check(t, store.Import(dir, bytes.NewReader(b.b), int64(len(b.b))))
	m := &journal{}
	if s := open(t, dir, m, nil); s.Index() != 7 || !slices.Equal(m.updates, []string{"alone", "in a backup"}) {
		t.Errorf("index %d, %q", s.Index(), m.updates)
	}
}

// A store writes each byte as the book says, but for what is random.
func TestAStoreWritesByTheBook(t *testing.T) {
	const dir = "/written"
	var clock atomic.Int64
	mem := memfs.New(memfs.Options{Now: func() time.Time { return time.Unix(0, vectorTime+clock.Add(second)) }})
	fs := faultfs.New(mem)
	t.Cleanup(storefs.Mount(dir, fs))
	m := &journal{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1, KeepSnapshots: 3})
	submit := func(updates ...string) {
		for _, u := range updates {
			_, err := s.Submit([]byte(u))
			check(t, err)
		}
	}
	large := strings.Repeat("0123456789abcdef", 6000)
	syncing, goOn := make(chan struct{}), make(chan struct{})
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			syncing <- struct{}{}
			<-goOn
		}
	})
	submit("alone")
	<-syncing
	fs.OnOp(nil)
	submit("one", "", large, "four") // in one commit, since the first one is not over
	close(goOn)
	check(t, s.Sync(t.Context()))
	_, err := s.SubmitChange(func(tx *store.Tx) error {
		for _, u := range []string{"a", "bc"} {
			check(t, tx.Append([]byte(u)))
			m.updates = append(m.updates, u)
		}
		return nil
	})
	check(t, err)
	check(t, s.Sync(t.Context()))
	check(t, s.Snapshot(t.Context()))
	submit("after")
	check(t, s.Sync(t.Context()))
	whole := journalState{"another", large}
	_, err = s.Replace(t.Context(), whole)
	check(t, err)
	check(t, s.Close())

	var at []int64 // time of each update
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		check(t, err)
		at = append(at, u.Time.UnixNano())
	}
	wrote := readFiles(t, mem, dir)
	var id [16]byte
	copy(id[:], wrote[log0][bookHeader+9+28:])
	salt := func(name string) uint64 { return le.Uint64(wrote[name][bookHeader+9+52:]) }
	const log7, snap7, log9 = "00000000000000000007.log", "00000000000000000007.snap", "00000000000000000009.log"
	want := map[string]*bookFile{log0: {}, log7: {}, snap7: {}, log9: {}}
	f := want[log0]
	f.header('L', id, 0, salt(log0), 0)
	f.tagged(bookTag{index: 1, at: at[0]}, []byte("alone"))
	f.tagged(bookTag{index: 2, at: at[1]}, []byte("one"))
	f.tagged(bookTag{index: 3, back: 1}, nil)
	f.tagged(bookTag{index: 4, back: 2}, []byte(large))
	f.tagged(bookTag{index: 5, back: 3}, []byte("four"))
	f.tagged(bookTag{index: 6, at: at[5], group: true}, group("a", "bc"))
	f.seal(7, 8)
	want[snap7].header('S', id, 7, salt(snap7), at[6])
	state := journalBytes("alone", "one", "", large, "four", "a", "bc")
	want[snap7].snapshot(chunked(state)...)
	want[log7].header('L', id, 7, salt(log7), at[6])
	want[log7].tagged(bookTag{index: 8, at: at[7]}, []byte("after"))
	want[log7].tagged(bookTag{index: 9, at: at[8], state: true}, journalBytes(whole...))
	want[log7].seal(2, 10)
	want[log9].header('L', id, 9, salt(log9), at[8])
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got := bytes.TrimRight(wrote[name], "\x00"); !bytes.Equal(got, bytes.TrimRight(want[name].b, "\x00")) {
			at := 0
			for at < min(len(got), len(want[name].b)) && got[at] == want[name].b[at] {
				at++
			}
			t.Errorf("%s, %d bytes, is not the %d bytes that the book says, from offset %d on", name, len(got), len(want[name].b), at)
		}
	}
}

// chunked cuts a state as a store does: so that each record fills its block.
func chunked(state []byte) (chunks [][]byte) {
	room := bookBlock - 92 // after the header
	for len(state) > 0 {
		n := min(len(state), room-bookHeader-9-12)
		chunks, state, room = append(chunks, state[:n]), state[n:], bookBlock
	}
	return chunks
}
