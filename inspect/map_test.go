package inspect_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// mappedFile writes a state file with entries of several sizes in three epochs.
func mappedFile(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	for i := range 90 {
		data := bytes.Repeat([]byte{byte(i)}, 1+i*i*12)
		err := w.Update(data)
		if i%30 == 29 {
			err = errors.Join(err, w.Snapshot(data))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "app.state")
	b.Write(make([]byte, 5000))
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A seen is what a test keeps of a part.
type seen struct {
	from, to int64
	content  inspect.Content
	epoch    uint64
	reason   string
	mark     int64
	payload  string
}

func walk(t *testing.T, m *inspect.Map, from inspect.Mark) (parts []seen, marks []inspect.Mark) {
	t.Helper()
	for p, err := range m.Parts(0, from) {
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(p.Payload())
		if err != nil || int64(len(data)) != p.Size || !bytes.HasPrefix(data, p.Prefix) {
			t.Fatalf("a payload of %d bytes, want %d: %v", len(data), p.Size, err)
		}
		mark, ok := p.Mark()
		if ok {
			marks = append(marks, mark)
		}
		parts = append(parts, seen{p.Offset, p.End, p.Content, p.Epoch, p.Reason, mark.Offset(), string(data)})
	}
	return parts, marks
}

func openMap(t *testing.T, path string) *inspect.Map {
	t.Helper()
	m, err := inspect.OpenMap(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The map of a state file leaves nothing out, and has what Entries gives; a walk from a
// mark on gives the same from there, with damage and without.
func TestMapOfAStateFile(t *testing.T) {
	path := mappedFile(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{-1, 100, 40_000, len(whole) / 2, len(whole) - 5100} {
		b := bytes.Clone(whole)
		if at >= 0 {
			b[at] ^= 4
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		m := openMap(t, path)
		parts, marks := walk(t, m, inspect.Mark{})
		end, entries, damaged := int64(0), 0, 0
		for _, p := range parts {
			if gap := p.from - end; gap < 0 || gap > 15 {
				t.Errorf("byte %d is broken: nothing from offset %d to %d", at, end, p.from)
			}
			if end = p.to; p.content == inspect.ContentDamage || p.content == inspect.ContentTorn {
				damaged++
			}
		}
		for _, err := range inspect.Entries(bytes.NewReader(b), int64(len(b))) {
			if err == nil {
				entries++
			}
		}
		if end != int64(len(b)) || entries != len(marks) || (damaged > 0) != (at >= 0) {
			t.Errorf("byte %d is broken: the map ends at %d of %d, has %d of %d entries and %d damaged parts", at, end, len(b), len(marks), entries, damaged)
		}
		for j := 1; j < len(marks); j += 5 {
			again, _ := walk(t, m, marks[j])
			rest := parts
			for rest[0].mark != marks[j].Offset() {
				rest = rest[1:]
			}
			if !reflect.DeepEqual(again, rest) {
				t.Errorf("byte %d is broken: from the mark at %d on there are %d parts, want %d", at, marks[j].Offset(), len(again), len(rest))
			}
		}
	}
}

// The records of all blocks make up the file, up to its padding and the zeros at its end.
func TestRecordsOfBlocks(t *testing.T) {
	path := mappedFile(t)
	m := openMap(t, path)
	end, n := int64(0), 0
	for start := int64(0); start < m.Files[0].Size; start += inspect.BlockSize {
		records, err := m.Records(0, start+7)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if gap := r.Offset - end; gap < 0 || gap > 15 || r.Type == "" {
				t.Fatalf("the record at %d is %+v, the one before ends at %d", r.Offset, r, end)
			}
			end = r.End
			n++
		}
	}
	if end != m.Files[0].Size-5000 || n < 93 {
		t.Errorf("%d records, up to offset %d", n, end)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{9}, 20); err != nil {
		t.Fatal(err)
	}
	records, err := m.Records(0, 0)
	if err != nil || records[0].Type != "" || records[0].Reason != "the checksum of a record is wrong" || records[1].Type == "" {
		t.Errorf("a broken record is shown as %+v, %v", records[0], err)
	}
	if none, err := m.Records(0, 1<<40); len(none) > 0 || err != nil {
		t.Errorf("after the end of the file there are %v, %v", none, err)
	}
}

// What is no store and no state file is an error that says so.
func TestMapOfNothing(t *testing.T) {
	if _, err := inspect.OpenMap(filepath.Join(t.TempDir(), "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a file that is not there: %v", err)
	}
	if _, err := inspect.OpenMap(t.TempDir()); err == nil {
		t.Error("an empty directory is a store")
	}
	made := t.TempDir()
	if err := os.WriteFile(filepath.Join(made, "00000000000000000000.log.import.tmp"), []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect.OpenMap(made); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "was interrupted") {
		t.Errorf("of a store whose making was interrupted: %v", err)
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("no state file"), 0o600); err != nil {
		t.Fatal(err)
	}
	parts, _ := walk(t, openMap(t, path), inspect.Mark{})
	if len(parts) != 1 || parts[0].content != inspect.ContentDamage || parts[0].to != 13 {
		t.Errorf("a text has the parts %v", parts)
	}
}

// Of a store that has lost a log, the files that are there say which one.
func ExampleMap_Missing() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS("../testdata/store-vectors/closed")); err != nil {
		log.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "00000000000000000006.log")); err != nil {
		log.Fatal(err)
	}
	m, err := inspect.OpenMap(dir)
	if err != nil {
		log.Fatal(err)
	}
	// How far a log reaches is in its parts.
	missing := m.Missing(func(i int) (last uint64, sealed bool) {
		for p, err := range m.Parts(i, inspect.Mark{}) {
			if err != nil {
				log.Fatal(err)
			}
			switch p.Content {
			case inspect.ContentUpdate:
				last = p.Index
			case inspect.ContentEnd:
				sealed = true
			}
		}
		return last, sealed
	})
	for _, err := range missing {
		fmt.Println(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	}
	// Output: store: 00000000000000000006.log is corrupt at offset 0: the file is missing, and with it the updates after 6
}

// A whole state that was installed is told from an update.
func TestAMapTellsAWholeState(t *testing.T) {
	m, err := inspect.OpenMap("../testdata/store-vectors/replaced")
	if err != nil {
		t.Fatal(err)
	}
	states := map[uint64]bool{}
	for p, err := range m.Parts(0, inspect.Mark{}) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Content == inspect.ContentUpdate {
			states[p.Index] = p.State
		}
	}
	if want := (map[uint64]bool{1: false, 2: true, 3: false}); !maps.Equal(states, want) {
		t.Errorf("whole states: %v, want %v", states, want)
	}
}
