package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// Restore leaves the position of a file alone, RestoreFile goes to the end: G12.
func TestRestoreDoesNotMoveTheFile(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 100)).update(bytesOf(2, 100))
	f := tempFile(t, m.file)
	if _, err := f.Seek(17, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := m.compare(f, int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
	for _, err := range stateio.Epochs(f, int64(len(m.file))) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if pos, _ := f.Seek(0, io.SeekCurrent); pos != 17 {
		t.Fatalf("Restore moved the file to %d", pos)
	}
	_, epoch, updates, err := stateio.RestoreFile(f)
	if err != nil {
		t.Fatal(err)
	}
	for range updates.All() {
	}
	pos, _ := f.Seek(0, io.SeekCurrent)
	if pos != int64(len(m.file)) {
		t.Fatalf("RestoreFile left the file at %d, want its end, %d", pos, len(m.file))
	}
	// So programs of the original package go on:
	if err := stateio.NewWriter(f, pos, epoch).Update([]byte("next")); err != nil {
		t.Fatal(err)
	}
	if err := m.update([]byte("next")).compare(f, int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
}

// Nothing after limit is looked at, let alone returned: G24.
func TestTheLimitIsHonoured(t *testing.T) {
	m := &model{}
	for i := range 60 {
		m.entry(i%10 == 5, bytesOf(uint64(i), i*37))
	}
	for n := range m.ops {
		for _, extra := range []int64{0, 1, 20} {
			limit := m.ops[n].end + extra
			want := m.prefix(m.whole(limit))
			r := limited{t, m.file, limit}
			if err := want.compare(r, limit); err != nil {
				t.Fatalf("limit %d: %v", limit, err)
			}
		}
	}
	if err := (&model{}).compare(bytes.NewReader(m.file), 0); err != nil {
		t.Fatalf("limit 0: %v", err)
	}
	for _, limit := range []int64{int64(len(m.file)) + 1, 1 << 40, 1<<63 - 1} {
		if err := m.compare(bytes.NewReader(m.file), limit); err != nil {
			t.Fatalf("a limit after the end, %d: %v", limit, err)
		}
	}
}

// limited fails the test when it is read after its limit.
type limited struct {
	t     *testing.T
	b     []byte
	limit int64
}

func (l limited) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > l.limit {
		l.t.Fatalf("read up to %d, after the limit %d", off+int64(len(b)), l.limit)
	}
	return bytes.NewReader(l.b).ReadAt(b, off)
}

// eager returns io.EOF with the last bytes, stingy a few bytes at a time.
type (
	eager  []byte
	stingy []byte
)

func (e eager) ReadAt(b []byte, off int64) (int, error) {
	n, err := bytes.NewReader(e).ReadAt(b, off)
	if off+int64(n) == int64(len(e)) {
		err = io.EOF
	}
	return n, err
}

func (s stingy) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(s).ReadAt(b[:min(len(b), 100)], off)
}

// The corners of io.ReaderAt's contract, at sizes around a block's: G25.
func TestReaderAtIsTakenAtItsWord(t *testing.T) {
	for size := block - 20; size < block+20; size++ {
		m := (&model{}).update(bytesOf(1, 1000))
		m.snapshot(bytesOf(2, size-len(m.file)-24))
		for _, r := range []io.ReaderAt{eager(m.file), stingy(m.file)} {
			if err := m.compare(r, int64(len(m.file))); err != nil {
				t.Errorf("%T of %d bytes: %v", r, len(m.file), err)
			}
		}
	}
}

// Entries of no and of one byte, and heads split across two records.
func TestSmallEntriesAndSplitHeads(t *testing.T) {
	for left := 1; left < 60; left++ {
		for _, size := range []int{0, 1, 2, 100, block} {
			m := (&model{}).update(bytesOf(1, block-24-left)).snapshot(bytesOf(2, size)).update(bytesOf(3, size))
			if err := m.compare(bytes.NewReader(m.file), int64(len(m.file))); err != nil {
				t.Fatalf("%d bytes at %d before a block's end: %v", size, left, err)
			}
			m = m.prefix(1).update(bytesOf(4, size)).update(nil)
			if err := m.compare(bytes.NewReader(m.file), int64(len(m.file))); err != nil {
				t.Fatalf("an update of %d bytes at %d before a block's end: %v", size, left, err)
			}
		}
	}
}

// A nil reader, as of a program that has not restored anything, has no updates;
// io.EOF is for good: G21.
func TestTheEndOfAnEpochIsForGood(t *testing.T) {
	var none *stateio.Reader
	for range 2 {
		if _, err := none.Read(); err != io.EOF {
			t.Fatalf("a nil reader: %v", err)
		}
	}
	for range none.All() {
		t.Fatal("a nil reader has updates")
	}
	if none.Offset() != 0 {
		t.Fatal("a nil reader is somewhere")
	}
	m := (&model{}).update([]byte("one")).update([]byte("two"))
	f := tempFile(t, m.file)
	_, _, updates, err := stateio.RestoreFile(f)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range updates.All() {
		n++
	}
	must(t, reopen(t, f, m), m, []byte("three"))
	for range 3 {
		if u, err := updates.Read(); err != io.EOF {
			t.Fatalf("after the end: %q, %v", u, err)
		}
	}
	if n != 2 {
		t.Fatalf("%d updates", n)
	}
}

// The slice of an update is the reader's, until the next call; the state is the
// caller's: G23. What the caller appends to an update reaches no other.
func TestSlicesAreOwnedAsDocumented(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 100))
	for i := range 2000 {
		m.update(bytesOf(uint64(i), 50))
	}
	state, _, updates, err := stateio.Restore(bytes.NewReader(m.file), int64(len(m.file)))
	if err != nil {
		t.Fatal(err)
	}
	i := 1
	for u, err := range updates.All() {
		if err != nil || !bytes.Equal(u, m.ops[i].data) {
			t.Fatalf("update %d: %v", i, err)
		}
		if at := updates.Offset(); at != m.ops[i].start {
			t.Fatalf("update %d is said to be at %d, not %d", i, at, m.ops[i].start)
		}
		_ = append(u, make([]byte, 100)...)
		i++
	}
	if !bytes.Equal(state, m.ops[0].data) || i != len(m.ops) {
		t.Fatalf("the state changed while the updates were read, or %d updates are missing", len(m.ops)-i)
	}
}

func TestAllStopsWhereItsLoopDoes(t *testing.T) {
	m := (&model{}).update([]byte("one")).update([]byte("two")).update([]byte("three"))
	_, _, updates, err := stateio.Restore(bytes.NewReader(m.file), int64(len(m.file)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 2 {
		for u := range updates.All() {
			got = append(got, string(u))
			break
		}
	}
	for u := range updates.All() {
		got = append(got, string(u))
	}
	if !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Fatalf("got %q", got)
	}
}

// A file whose first record is not the start of an entry has lost something, also
// if it looks like an update.
func TestAFileThatBeginsWithinAnEntryIsDamaged(t *testing.T) {
	update := append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0}, "update"...)
	whole := (&model{}).update([]byte("after")).file
	for name, first := range map[string][]byte{
		"a LAST record":               appendRecord(nil, 4, 0, update),
		"a LAST record of an entry":   appendRecord(nil, 4, 999, update),
		"a FULL record of an offset":  appendRecord(nil, 1, 999, update),
		"a MIDDLE record of an entry": appendRecord(nil, 3, 999, update),
	} {
		file := append(first, whole...)
		_, _, updates, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
		if err := readAll(updates, err); !isCorrupt(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// flaky fails every nth read.
type flaky struct {
	r    io.ReaderAt
	n, i int
}

func (f *flaky) ReadAt(b []byte, off int64) (int, error) {
	if f.i++; f.i%f.n == 0 {
		return 0, errDisk
	}
	return f.r.ReadAt(b, off)
}

// A read error is an error, never a torn tail or an end, and reading can go on:
// G22.
func TestAReadErrorIsNeverTakenForDamage(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 3*block)).snapshot(bytesOf(2, 2*block)).snapshot(bytesOf(3, 3*block))
	for i := range 400 {
		m.update(bytesOf(uint64(i), 2000))
	}
	limit := int64(len(m.file))
	failed := 0
	for n := 1; n < 40; n++ {
		r := &flaky{bytes.NewReader(m.file), n, 0}
		_, _, updates, err := stateio.Restore(r, limit)
		if err != nil {
			if failed++; !errors.Is(err, errDisk) || errors.Is(err, stateio.ErrCorrupt) || !strings.HasPrefix(err.Error(), "stateio: ") {
				t.Fatalf("failing at read %d: %v", n, err)
			}
			continue
		}
		i := 3
		for {
			u, err := updates.Read()
			if errors.Is(err, errDisk) && n > 1 {
				failed++
				continue
			}
			if err == io.EOF {
				break
			}
			if err != nil || !bytes.Equal(u, m.ops[i].data) {
				t.Fatalf("failing at every read %d, update %d: %v", n, i, err)
			}
			i++
		}
		if i != len(m.ops) {
			t.Fatalf("failing at every read %d: %d updates are missing", n, len(m.ops)-i)
		}
	}
	if failed < 5 {
		t.Fatalf("only %d reads failed", failed)
	}
}

// Read errors end the walk of Epochs, RestoreEpoch and Compact, too.
func TestReadErrorsAreReportedEverywhere(t *testing.T) {
	m := &model{}
	for i := range 20 {
		m.snapshot(bytesOf(uint64(i), 5000)).update(bytesOf(1, 50_000))
	}
	limit := int64(len(m.file))
	for n := 1; n < 60; n++ {
		var seen error
		epochs := 0
		for _, err := range stateio.Epochs(&flaky{bytes.NewReader(m.file), n, 0}, limit) {
			if seen != nil {
				t.Fatal("the walk went on after an error of reading")
			}
			seen = err
			epochs++
		}
		if seen == nil && epochs != 20 || seen != nil && (!errors.Is(seen, errDisk) || errors.Is(seen, stateio.ErrCorrupt)) {
			t.Fatalf("Epochs, failing at read %d: %d epochs, %v", n, epochs, seen)
		}
		if _, _, err := stateio.RestoreEpoch(&flaky{bytes.NewReader(m.file), n, 0}, limit, 0); err != nil && !errors.Is(err, errDisk) {
			t.Fatalf("RestoreEpoch, failing at read %d: %v", n, err)
		}
		if _, err := stateio.Compact(io.Discard, &flaky{bytes.NewReader(m.file), n, 0}, limit); err != nil && (!errors.Is(err, errDisk) || errors.Is(err, stateio.ErrCorrupt)) {
			t.Fatalf("Compact, failing at read %d: %v", n, err)
		}
	}
}

// A directory, or a file that is closed, is not restored as an empty state.
func TestWhatIsNoOpenFileIsNotRestored(t *testing.T) {
	dir := t.TempDir()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, _, _, err := stateio.RestoreFile(d); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, _, _, err := stateio.RestoreFile(f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
}
