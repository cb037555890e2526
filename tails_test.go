package stateio_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

func isCorrupt(err error) bool {
	return errors.Is(err, stateio.ErrCorrupt) && !errors.Is(err, errWrong)
}

// tailModels are files that tails are put after.
func tailModels() map[string]*model {
	return map[string]*model{
		"no entry":                 {},
		"one update":               (&model{}).update(bytesOf(1, 100)),
		"one snapshot":             (&model{}).snapshot(bytesOf(1, 100)),
		"a full block":             (&model{}).update(bytesOf(1, block-24)),
		"15 bytes left":            (&model{}).snapshot(bytesOf(1, block-24-15)),
		"16 bytes left":            (&model{}).snapshot(bytesOf(1, block-24-16)),
		"1 byte left":              (&model{}).update(nil).snapshot(bytesOf(1, block-48-1)),
		"entries of several block": (&model{}).update(bytesOf(1, 2*block)).snapshot(bytesOf(2, 3*block)).update(bytesOf(3, 5)),
	}
}

// opensWithout fails the test unless the model with a tail after it restores
// and opens as if the tail were not there, and takes entries.
func opensWithout(t *testing.T, m *model, tail []byte) {
	t.Helper()
	file := append(bytes.Clone(m.file), tail...)
	f := tempFile(t, file)
	defer f.Close()
	if err := m.compare(f, int64(len(file))); err != nil {
		t.Fatalf("restoring: %v", err)
	}
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	m = m.prefix(len(m.ops))
	for i := range count(20) {
		must(t, w, m, bytesOf(uint64(i), 10))
	}
	if err := m.compare(f, int64(len(m.file))); err != nil {
		t.Fatalf("after more updates: %v", err)
	}
	if !bytes.Equal(content(t, f), m.file) {
		t.Fatal("the file is not that of its entries")
	}
}

// A file that ends in zeros, as after delayed allocation or preallocation, goes
// on at its logical end: G10.
func TestZeroTailsAreCutOff(t *testing.T) {
	for name, m := range tailModels() {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 14, 15, 16, 40, 1000, 40_000, block, 1 << 20} {
				opensWithout(t, m, make([]byte, n))
			}
		})
	}
}

// So does one that ends in garbage, after at least one entry.
func TestGarbageTailsAreCutOff(t *testing.T) {
	for name, m := range tailModels() {
		if len(m.ops) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 14, 15, 16, 17, 40, 1000, 40_000, block, 3*block + 1} {
				opensWithout(t, m, bytesOf(uint64(n), n))
				opensWithout(t, m, append(bytesOf(uint64(n), n), make([]byte, n)...))
				opensWithout(t, m, append(make([]byte, n), bytesOf(uint64(n), n)...))
			}
		})
	}
}

// Half a header, and a whole one with nothing after, are cut off: G2, G4.
func TestTornHeadersAreCutOff(t *testing.T) {
	for name, m := range tailModels() {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 100, 2 * block} {
				next := m.prefix(len(m.ops)).update(bytesOf(3, size))
				for n := int64(0); n <= 24; n++ {
					end := next.ops[len(m.ops)].start + n
					if end < int64(len(next.file)) {
						opensWithout(t, m, next.file[len(m.file):end])
					}
				}
			}
		})
	}
}

// A torn update, a Snapshot and an Update after it: G3, G3b.
func TestWhatIsAppendedBehindATornEntryIsThere(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		m := (&model{}).snapshot(bytesOf(1, 10)).update(bytesOf(2, 500))
		f := tempFile(t, m.file[:len(m.file)-5])
		m = m.prefix(1)
		w := reopen(t, f, m)
		if snapshot {
			if err := w.Snapshot([]byte("new")); err != nil {
				t.Fatal(err)
			}
			m.snapshot([]byte("new"))
		}
		for i := range 5000 {
			must(t, w, m, []byte{byte(i), byte(i >> 8)})
		}
		if err := m.compare(f, int64(len(m.file))); err != nil {
			t.Fatal(err)
		}
	}
}

// A snapshot torn at any byte leaves the epoch before it current: G1, G1b.
func TestATornSnapshotLeavesTheEpochBefore(t *testing.T) {
	m := &model{}
	for i := range 100 {
		m.update(bytesOf(uint64(i), 10))
	}
	acked := m.prefix(100)
	m.snapshot(bytesOf(1, 100_000))
	r := bytes.NewReader(m.file)
	step := 1 + 100*min(1, 100/count(100))
	for cut := len(acked.file); cut < len(m.file); cut += step {
		if err := acked.compare(r, int64(cut)); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

// refused fails the test unless the file is refused as damaged at offset at,
// unchanged, with advice.
func refused(t *testing.T, file []byte, at int64) {
	t.Helper()
	f := tempFile(t, file)
	defer f.Close()
	_, _, _, rerr := stateio.RestoreFile(f)
	_, werr := stateio.NewFileWriter(f)
	for _, err := range []error{rerr, werr} {
		var corrupt *stateio.CorruptError
		if !errors.As(err, &corrupt) || !errors.Is(err, stateio.ErrCorrupt) || corrupt.Offset != at || corrupt.Path != f.Name() {
			t.Fatalf("got %v, want damage at offset %d", err, at)
		}
		if !strings.Contains(err.Error(), "salvage") || !strings.HasPrefix(err.Error(), "stateio: "+f.Name()) {
			t.Fatalf("%v: does not say what to do", err)
		}
	}
	if !bytes.Equal(content(t, f), file) {
		t.Fatal("the file was changed")
	}
}

// Damage with a valid record after it, in the same block or a later one, is no
// torn tail: it hit acknowledged data.
func TestDamageWithAValidRecordBehindIsRefused(t *testing.T) {
	t.Run("the next entry's middle record", func(t *testing.T) {
		// The record that would begin the last entry is broken, too, and its end.
		m := (&model{}).update(bytesOf(1, 100)).update(bytesOf(2, 200)).update(bytesOf(3, 3*block))
		file := bytes.Clone(m.file)
		clear(file[m.ops[1].start : m.ops[1].start+100])
		clear(file[m.ops[2].start : m.ops[2].start+100])
		clear(file[len(file)-100:])
		refused(t, file, m.ops[0].end)
	})
	t.Run("the same block", func(t *testing.T) {
		m := (&model{}).update(bytesOf(1, 100)).update(bytesOf(2, 200)).update(bytesOf(3, 300))
		for _, garbage := range [][]byte{make([]byte, 40), bytesOf(7, 40)} {
			file := bytes.Clone(m.file)
			copy(file[m.ops[1].start:], garbage)
			refused(t, file, m.ops[0].end)
		}
	})
	t.Run("the same block, nothing whole before", func(t *testing.T) {
		m := (&model{}).update(bytesOf(2, 200)).update(bytesOf(3, 300))
		file := bytes.Clone(m.file)
		clear(file[:40])
		refused(t, file, 0)
	})
	t.Run("a record of unknown type", func(t *testing.T) {
		m := (&model{}).update(bytesOf(1, 100))
		refused(t, appendRecord(m.file, 9, 0, []byte("from the future")), int64(len(m.file)))
	})
}

// Where the record after is a whole entry, restoring works up to the damage;
// nothing is appended after that.
func TestDamageAmongTheUpdatesIsReportedAndNeverCut(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(9, 9)).update(bytesOf(1, 100)).update(bytesOf(2, 40_000)).update(bytesOf(3, 300)).update(bytesOf(4, 2*block))
	for i, o := range m.ops[:4] {
		file := bytes.Clone(m.file)
		file[o.end-3] ^= 4
		f := tempFile(t, file)
		if _, err := stateio.NewFileWriter(f); !isCorrupt(err) {
			t.Errorf("entry %d: opening: %v", i, err)
		}
		if !bytes.Equal(content(t, f), file) {
			t.Errorf("entry %d: the file was changed", i)
		}
		state, _, updates, err := stateio.RestoreFile(f)
		if i == 0 {
			if !isCorrupt(err) {
				t.Errorf("a broken snapshot: %v", err)
			}
			continue
		}
		if err != nil || !bytes.Equal(state, m.ops[0].data) {
			t.Fatal(err)
		}
		for _, o := range m.ops[1:i] {
			if u, err := updates.Read(); err != nil || !bytes.Equal(u, o.data) {
				t.Fatalf("an update before the damage: %v", err)
			}
		}
		for range 3 { // for good: what follows a gap must not be applied
			if u, err := updates.Read(); !isCorrupt(err) {
				t.Fatalf("entry %d: %d bytes, %v", i, len(u), err)
			}
		}
		if at := updates.Offset(); at < o.start || o.end <= at {
			t.Errorf("entry %d: damage said to be at %d", i, at)
		}
	}
}

// Valid entries after the end, left over from an older life of the file, are
// never replayed in silence, nor do they take the file back to their epoch.
func TestOldEntriesBehindTheEndAreRefused(t *testing.T) {
	old := (&model{}).update([]byte("old")).update(bytesOf(1, 200)).snapshot([]byte("old state")).update([]byte("older"))
	m := (&model{}).update(bytesOf(2, 30)).snapshot(bytesOf(3, 300)).update([]byte("new"))
	for _, o := range old.ops {
		for _, stray := range []int{0, 1, 20} { // torn bytes before them
			file := append(bytes.Clone(m.file), bytesOf(4, stray)...)
			file = append(file, old.file[o.start:o.end]...)
			err := m.compare(bytes.NewReader(file), int64(len(file)))
			if o.snapshot && stray == 0 {
				continue // it is a whole snapshot that names an epoch
			}
			if !isCorrupt(err) && !errors.Is(err, errWrong) {
				t.Fatalf("%d stray bytes: %v", stray, err)
			}
			f := tempFile(t, file)
			if _, err := stateio.NewFileWriter(f); !isCorrupt(err) || !bytes.Equal(content(t, f), file) {
				t.Fatalf("%d stray bytes: opening: %v", stray, err)
			}
			// Whoever restores it comes to an error at the latest in the updates.
			if _, _, updates, err := stateio.RestoreFile(f); err == nil {
				for _, uerr := range updates.All() {
					err = uerr
				}
				if !isCorrupt(err) {
					t.Fatalf("%d stray bytes: restored without an error", stray)
				}
			}
		}
	}
}

// What is lost at the end of an old epoch, of which neither its zeros nor the
// snapshot after them are a clean end, is reported when one restores it.
func TestLostUpdatesAtTheEndOfAnOldEpochAreReported(t *testing.T) {
	for _, size := range []int{10, 40_000} { // in the same block as the snapshot; in an earlier one, too
		m := (&model{}).snapshot(bytesOf(1, 10)).update(bytesOf(2, 10)).update(bytesOf(3, size)).snapshot(bytesOf(4, 2*size))
		for _, lost := range []string{"zeros", "garbage"} {
			file := bytes.Clone(m.file)
			clear(file[m.ops[2].start:m.ops[2].end])
			if lost == "garbage" {
				copy(file[m.ops[2].start:m.ops[2].end], bytesOf(5, size))
			}
			_, updates, err := stateio.RestoreEpoch(bytes.NewReader(file), int64(len(file)), 0)
			if err != nil {
				t.Fatal(err)
			}
			if u, err := updates.Read(); err != nil || !bytes.Equal(u, m.ops[1].data) {
				t.Fatalf("got %d bytes, %v", len(u), err)
			}
			for range 2 {
				if u, err := updates.Read(); !isCorrupt(err) {
					t.Fatalf("%s in place of %d bytes: %d bytes, %v", lost, size, len(u), err)
				}
			}
		}
	}
}

// A file without an entry that does not begin as one could is somebody else's,
// and is not cut.
func TestAFileThatIsNoStateFileIsNotCut(t *testing.T) {
	for _, text := range []string{
		"hello, world\n", "#!/bin/sh\n", "SQLite format 3\x00 and more", strings.Repeat("text ", 20_000),
		"\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 20) + "a program",
	} {
		f := tempFile(t, []byte(text))
		if _, err := stateio.NewFileWriter(f); !isCorrupt(err) || !strings.Contains(err.Error(), "no state file") {
			t.Errorf("%.10q: %v", text, err)
		}
		if string(content(t, f)) != text {
			t.Errorf("%.10q was changed", text)
		}
	}
}

// A log whose entries are no updates or snapshots is none either: G29.
func TestUnknownEntryKindsAreRefused(t *testing.T) {
	const noEpoch = "\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, payload := range []string{"x", "12345678", "0" + noEpoch, "\x00" + noEpoch, "\x00" + noEpoch + "payload", "\x03" + noEpoch, "\xff" + noEpoch + "."} {
		file, _ := appendLog(nil, []byte(payload))
		if _, _, _, err := stateio.Restore(bytes.NewReader(file), int64(len(file))); !isCorrupt(err) || !strings.Contains(err.Error(), "unknown kind") && len(payload) >= 9 {
			t.Errorf("%q: Restore gives %v", payload, err)
		}
		// In the middle of an epoch the reader comes to it.
		m := (&model{}).snapshot(nil)
		m.file, _ = appendLog(m.file, []byte(payload))
		m.update(nil)
		if err := m.compare(bytes.NewReader(m.file), int64(len(m.file))); !isCorrupt(err) {
			t.Errorf("%q among updates: %v", payload, err)
		}
		f := tempFile(t, file)
		if _, err := stateio.NewFileWriter(f); !isCorrupt(err) || !bytes.Equal(content(t, f), file) {
			t.Errorf("%q: NewFileWriter gives %v", payload, err)
		}
	}
}
