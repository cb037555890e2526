package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// brokenAt fails the nth read from now on, and those after it.
type brokenAt struct {
	*bytes.Reader
	n   int
	hit bool
}

func (b *brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if b.n--; b.n < 0 {
		b.hit = true
		return 0, errDisk
	}
	return b.Reader.ReadAt(p, off)
}

// Whichever read fails, whatever is done says so, and does not say damage.
func TestNoFailedReadIsPassedOver(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 10)).snapshot(bytesOf(2, 400_000)).update(bytesOf(3, 50_000)).
		snapshot(bytesOf(4, 300_000)).update(bytesOf(5, 300_000)).update(bytesOf(6, 10))
	limit := int64(len(m.file))
	torn := append(bytes.Clone(m.file), "torn"...)
	for name, do := range map[string]func(r io.ReaderAt) error{
		"Compact": func(r io.ReaderAt) error { _, err := stateio.Compact(io.Discard, r, limit); return err },
		"Epochs": func(r io.ReaderAt) (last error) {
			for _, last = range stateio.Epochs(r, limit) {
				continue
			}
			return last
		},
		"RestoreEpoch": func(r io.ReaderAt) error {
			_, u, err := stateio.RestoreEpoch(r, limit, uint64(m.ops[1].start))
			return readAll(u, err)
		},
		"Restore": func(r io.ReaderAt) error {
			_, _, u, err := stateio.Restore(r, limit)
			return readAll(u, err)
		},
		"Restore of a torn file": func(r io.ReaderAt) error {
			_, _, u, err := stateio.Restore(r, int64(len(torn)))
			return readAll(u, err)
		},
		"Restore of a torn first entry": func(r io.ReaderAt) error {
			_, _, u, err := stateio.Restore(r, 9)
			return readAll(u, err)
		},
	} {
		for n := 0; ; n++ {
			r := &brokenAt{bytes.NewReader(torn), n, false}
			err := do(r)
			if !r.hit {
				if err != nil || n == 0 {
					t.Errorf("%s: %v after %d reads", name, err, n)
				}
				break
			}
			if !errors.Is(err, errDisk) || errors.Is(err, stateio.ErrCorrupt) || !strings.HasPrefix(err.Error(), "stateio: ") {
				t.Errorf("%s with read %d failing: %v", name, n, err)
			}
		}
	}
}

// onceAt fails one read, after n that don't.
type onceAt struct {
	*bytes.Reader
	n int
}

func (o *onceAt) ReadAt(p []byte, off int64) (int, error) {
	if o.n--; o.n == -1 {
		return 0, errDisk
	}
	return o.Reader.ReadAt(p, off)
}

// A read that fails once is told, and not as damage: nothing is made up for what it
// did not give.
func TestAReadThatFailsOnceIsTold(t *testing.T) {
	for name, m := range map[string]*model{
		"updates":              (&model{}).update(bytesOf(1, 10)).update(bytesOf(2, 70_000)),
		"a snapshot":           (&model{}).snapshot(bytesOf(1, 10)).update(bytesOf(2, 10)),
		"a long snapshot":      (&model{}).update(bytesOf(1, 10)).snapshot(bytesOf(2, 300_000)).update(bytesOf(3, 10)),
		"several, over blocks": (&model{}).update(bytesOf(1, 50_000)).snapshot(bytesOf(2, 50_000)).snapshot(bytesOf(3, 50_000)).update(bytesOf(4, 10)),
	} {
		limit := int64(len(m.file))
		for what, do := range map[string]func(r io.ReaderAt) error{
			"Restore": func(r io.ReaderAt) error { return m.compare(r, limit) },
			"RestoreEpoch": func(r io.ReaderAt) error {
				state, updates, err := stateio.RestoreEpoch(r, limit, m.epoch())
				if err != nil {
					return err
				}
				return matchEpoch(m.current(), state, updates)
			},
			"Compact": func(r io.ReaderAt) error {
				_, err := stateio.Compact(io.Discard, r, limit)
				return err
			},
			"Epochs": func(r io.ReaderAt) error {
				for e, err := range stateio.Epochs(r, limit) {
					if err != nil {
						if e.StateSize != -1 {
							t.Errorf("%s: an error with an Epoch of %d bytes", name, e.StateSize)
						}
						return err
					}
				}
				return nil
			},
		} {
			sound := &onceAt{bytes.NewReader(m.file), 1 << 30}
			if err := do(sound); err != nil {
				t.Fatalf("%s of %s: %v", what, name, err)
			}
			for n := range 1<<30 - sound.n {
				if err := do(&onceAt{bytes.NewReader(m.file), n}); !errors.Is(err, errDisk) || isCorrupt(err) {
					t.Errorf("%s of %s, read %d fails: %v", what, name, n, err)
				}
			}
		}
	}
}

// An error of reading from what has no name says nothing of one.
func TestAReadErrorWithoutAName(t *testing.T) {
	if _, _, _, err := stateio.Restore(&onceAt{bytes.NewReader(make([]byte, 10)), 0}, 10); err == nil || strings.Contains(err.Error(), ": : ") {
		t.Errorf("got %v", err)
	}
}

func readAll(updates *stateio.Reader, err error) error {
	if err != nil {
		return err
	}
	for _, err := range updates.All() {
		if err != nil {
			return err
		}
	}
	return nil
}

// What the file can't be written to fails with the writer's error, in any place.
func TestCompactReportsEveryFailedWrite(t *testing.T) {
	for _, m := range []*model{
		(&model{}).snapshot(bytesOf(1, 700_000)),
		(&model{}).update(bytesOf(1, 700_000)).update(bytesOf(2, 700_000)),
		(&model{}).update(bytesOf(1, 10)),
	} {
		for room := 0; room < len(m.file); room += 1 + len(m.file)/7 {
			_, err := stateio.Compact(&fullWriter{room}, bytes.NewReader(m.file), int64(len(m.file)))
			if !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), "stateio: writing the compacted file: ") {
				t.Errorf("with room for %d of %d bytes: %v", room, len(m.file), err)
			}
		}
	}
}

func TestCorruptErrorTellsWhere(t *testing.T) {
	cause := errors.New("it is wrong")
	err := error(&stateio.CorruptError{Offset: 7, Err: cause})
	if got, want := err.Error(), "stateio: the state file is corrupt at offset 7: it is wrong"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err = &stateio.CorruptError{Path: "a/b", Offset: 7, Err: cause}
	if got, want := err.Error(), "stateio: a/b is corrupt at offset 7: it is wrong"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, cause) || !errors.Is(err, stateio.ErrCorrupt) || errors.Is(err, stateio.ErrLocked) {
		t.Error("the error is not what it wraps")
	}
}

// Logs that hold other entries than those of a state file are told apart, and
// where the first of those is.
func TestWhatIsWrongWithAnEntryIsTold(t *testing.T) {
	for what, want := range map[string]string{
		"short":    "the entry has 5 bytes, fewer than the 9 of its head: this is a log, but not a state file",
		"x2345678": "the entry has 8 bytes, fewer than the 9 of its head",
		"\x03\x00\x00\x00\x00\x00\x00\x00\x00 later": "the entry is of unknown kind 3: the file is damaged, no state file, or one of a later version",
		"\x01\x01\x00\x00\x00\x00\x00\x00\x00 ahead": "the update says that it belongs to epoch 1, which lies after it",
		"\x02\x01\x00\x00\x00\x00\x00\x00\x00 state": "",
	} {
		file, _ := appendLog(nil, []byte(what))
		_, _, _, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
		var damage *stateio.CorruptError
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", what, err)
		case want == "":
		case !errors.As(err, &damage) || damage.Offset != 0 || !strings.Contains(err.Error(), want):
			t.Errorf("%q: got %v, want %q", what, err, want)
		}
	}
}

// Damage after the last whole entry comes first, as an epoch without a state,
// and the walk ends when its user has had enough.
func TestEpochsReportsDamageAtTheEndFirst(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 10)).snapshot(bytesOf(2, 20)).
		update(bytesOf(3, 100_000)).update(bytesOf(4, 100_000))
	file := bytes.Clone(m.file)
	file[m.ops[2].start+40] ^= 1
	file[m.ops[3].start+40] ^= 1
	var got []stateio.Epoch
	for e, err := range stateio.Epochs(bytes.NewReader(file), int64(len(file))) {
		if isCorrupt(err) != (len(got) == 0) {
			t.Errorf("epoch %d of the walk: %v", len(got), err)
		}
		got = append(got, e)
	}
	second := m.ops[1]
	want := []stateio.Epoch{
		{StateSize: -1},
		{Offset: uint64(second.start), Previous: 0, StateSize: 20, End: second.end},
		{StateSize: 10, End: second.start},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, e := range got {
		w := want[i]
		if e.Offset != w.Offset || e.Previous != w.Previous || e.StateSize != w.StateSize || e.End != w.End {
			t.Errorf("epoch %d of the walk: %+v, want %+v", i, e, w)
		}
	}
	for range stateio.Epochs(bytes.NewReader(file), int64(len(file))) {
		break // going on would panic
	}
}

// Damage that lies before a damaged snapshot does not hide the epoch there.
func TestEpochsGoesOnPastTwoDamagedPlaces(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 10)).update(bytesOf(2, 10)).
		update(bytesOf(3, 100_000)).update(bytesOf(4, 100_000)).
		snapshot(bytesOf(5, 100_000)).snapshot(bytesOf(6, 10))
	file := bytes.Clone(m.file)
	for _, o := range m.ops[2:5] {
		file[o.start+40] ^= 1
	}
	var offsets []int64
	var damaged []bool
	for e, err := range stateio.Epochs(bytes.NewReader(file), int64(len(file))) {
		offsets, damaged = append(offsets, int64(e.Offset)), append(damaged, err != nil)
	}
	if len(offsets) != 3 || offsets[0] != m.ops[5].start || offsets[1] != m.ops[4].start || offsets[2] != 0 || damaged[0] || !damaged[1] || damaged[2] {
		t.Errorf("got epochs at %d, damaged: %v", offsets, damaged)
	}
}

func TestOnlyRegularFilesAreWritten(t *testing.T) {
	_, w := newPipe(t)
	if _, err := stateio.NewFileWriter(w); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for name, do := range map[string]func() error{
		"NewFileWriter": func() error { _, err := stateio.NewFileWriter(f); return err },
		"RestoreFile":   func() error { _, _, _, err := stateio.RestoreFile(f); return err },
		"Truncate":      func() error { _, err := stateio.Truncate(t.Context(), f, nil); return err },
	} {
		if err := do(); !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "stateio: ") {
			t.Errorf("%s of a closed file: %v", name, err)
		}
	}
}
