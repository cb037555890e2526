package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// Where an update should be and something else is, reading ends for good, and
// says what is there, and where.
func TestReaderTellsWhatIsAmongTheUpdates(t *testing.T) {
	for what, want := range map[string]string{
		"short":                                "the entry has 5 bytes, fewer than the 9",
		"\x03\x00\x00\x00\x00\x00\x00\x00\x00": "of unknown kind 3",
		"\x01\x05\x00\x00\x00\x00\x00\x00\x00": "an update of epoch 5 is among those of epoch 0",
		"\x02\x00\x00\x00\x00\x00\x00\x00\x00": "a snapshot is among the updates of epoch 0",
	} {
		update := "\x01\x00\x00\x00\x00\x00\x00\x00\x00u"
		file, _ := appendLog(nil, []byte(update))
		first := int64(len(file))
		file, at := appendLog(file, []byte(what))
		file, _ = appendLog(file, []byte(update))
		_, epoch, r, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
		if err != nil || epoch != 0 {
			t.Fatalf("%q: epoch %d, %v", what, epoch, err)
		}
		if b, err := r.Read(); err != nil || string(b) != "u" || r.Offset() != 0 {
			t.Errorf("%q: the update before gives %q at %d, %v", what, b, r.Offset(), err)
		}
		for range 2 {
			b, err := r.Read()
			var damage *stateio.CorruptError
			if !errors.As(err, &damage) || b != nil || damage.Offset != at || at != first || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: got %q and %v, want %q at %d", what, b, err, want, at)
			}
			if r.Offset() != at {
				t.Errorf("%q: Offset() = %d, want %d", what, r.Offset(), at)
			}
		}
	}
}

// Damage after the last epoch's last whole update ends reading it, also when the
// epoch is asked for; that of another epoch does not.
func TestDamageEndsTheEpochThatItFollows(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 10)).update(bytesOf(2, 10)).
		snapshot(bytesOf(3, 10)).update(bytesOf(4, 10)).
		update(bytesOf(5, 100_000)).update(bytesOf(6, 100_000))
	file := bytes.Clone(m.file)
	for _, o := range m.ops[4:] {
		file[o.start+40] ^= 1
	}
	for epoch, want := range map[uint64]bool{uint64(m.ops[2].start): true, 0: false} {
		state, r, err := stateio.RestoreEpoch(bytes.NewReader(file), int64(len(file)), epoch)
		if err != nil || len(state) != 10 {
			t.Fatalf("epoch %d: a state of %d bytes, %v", epoch, len(state), err)
		}
		if _, err := r.Read(); err != nil {
			t.Errorf("epoch %d: the update before the damage: %v", epoch, err)
		}
		_, err = r.Read()
		if isCorrupt(err) != want || !want && err != io.EOF {
			t.Errorf("epoch %d ends with %v", epoch, err)
		}
		var damage *stateio.CorruptError
		if errors.As(err, &damage) && (damage.Offset != m.ops[4].start || r.Offset() != damage.Offset) {
			t.Errorf("epoch %d: the damage is at %d, Offset() %d, want %d", epoch, damage.Offset, r.Offset(), m.ops[4].start)
		}
	}
}

// ... but not before an error of reading.
func TestAReadErrorBeforeTheDamageBehindAnEpoch(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 10)).update(bytesOf(2, 300_000)).update(bytesOf(3, 100_000)).update(bytesOf(4, 100_000))
	for _, o := range m.ops[2:] {
		m.file[o.start+40] ^= 1
	}
	src := &onceAt{bytes.NewReader(m.file), 1 << 30}
	_, r, err := stateio.RestoreEpoch(src, int64(len(m.file)), 0)
	if err != nil {
		t.Fatal(err)
	}
	src.n = 0
	if _, err := r.Read(); !errors.Is(err, errDisk) || isCorrupt(err) {
		t.Errorf("with a read that fails: %v", err)
	}
	if b, err := r.Read(); err != nil || len(b) != 300_000 {
		t.Errorf("then %d bytes, %v", len(b), err)
	}
	if _, err := r.Read(); !isCorrupt(err) {
		t.Errorf("at the end: %v", err)
	}
}

// An epoch is not restored without the snapshot that it is to start with.
func TestAnEpochWithoutItsSnapshotIsRefused(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 10)).snapshot(bytesOf(2, 10)).update(bytesOf(3, 10))
	wrong := bytes.Clone(m.file[:m.ops[1].start])
	wrong, at := appendLog(wrong, append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0}, "no snapshot"...))
	wrong = append(wrong, m.file[m.ops[1].end:]...)
	wrong, _ = appendLog(wrong[:len(wrong):len(wrong)], append([]byte{1, byte(at), byte(at >> 8), 0, 0, 0, 0, 0, 0}, "after it"...))
	limit := int64(len(wrong))
	if _, _, _, err := stateio.Restore(bytes.NewReader(wrong), limit); !isCorrupt(err) || !strings.Contains(err.Error(), "should be here, but it is an update") {
		t.Errorf("Restore: %v", err)
	}
	state, r, err := stateio.RestoreEpoch(bytes.NewReader(wrong), limit, uint64(at))
	if !isCorrupt(err) || state != nil || r != nil {
		t.Errorf("RestoreEpoch: a state of %d bytes, %v", len(state), err)
	}
	if _, err := stateio.Compact(io.Discard, bytes.NewReader(wrong), limit); !isCorrupt(err) {
		t.Errorf("Compact: %v", err)
	}
}

func TestANegativeLimitIsRefused(t *testing.T) {
	r := bytes.NewReader(nil)
	for name, do := range map[string]func() error{
		"Restore":      func() error { _, _, _, err := stateio.Restore(r, -1); return err },
		"RestoreEpoch": func() error { _, _, err := stateio.RestoreEpoch(r, -1, 0); return err },
		"Compact":      func() error { _, err := stateio.Compact(io.Discard, r, -1); return err },
		"Epochs": func() (last error) {
			for _, last = range stateio.Epochs(r, -1) {
				continue
			}
			return last
		},
	} {
		if err := do(); err == nil || err.Error() != "stateio: the limit -1 is negative" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAReaderOfNothingHasNoOffset(t *testing.T) {
	_, _, r, err := stateio.Restore(bytes.NewReader(nil), 0)
	if err != nil || r.Offset() != 0 {
		t.Errorf("Offset() = %d, %v", r.Offset(), err)
	}
	r = nil
	if _, err := r.Read(); r.Offset() != 0 || err != io.EOF {
		t.Errorf("of a nil reader: Offset() = %d, %v", r.Offset(), err)
	}
}

// An entry can't name itself, or what lies after it, as the epoch before.
func TestAnEpochIsBeforeWhatNamesIt(t *testing.T) {
	first, _ := appendLog(nil, append([]byte{2}, make([]byte, 20)...))
	at := byte(len(first))
	for _, epoch := range []byte{at, at + 1} {
		for kind, want := range map[byte]string{1: "the update says that it belongs to epoch", 2: "the snapshot says that epoch"} {
			file, _ := appendLog(bytes.Clone(first), []byte{kind, epoch, 0, 0, 0, 0, 0, 0, 0, 'x'})
			var last error
			turns := 0
			for _, err := range stateio.Epochs(bytes.NewReader(file), int64(len(file))) {
				if turns++; turns > 3 {
					t.Fatalf("kind %d of epoch %d: the walk does not end", kind, epoch)
				}
				if last = err; err != nil {
					break
				}
			}
			if !isCorrupt(last) || !strings.Contains(last.Error(), want) {
				t.Errorf("kind %d of epoch %d: got %v, want %q", kind, epoch, last, want)
			}
		}
	}
}

// Progress tells where the update after the one last returned begins, from the snapshot on.
func TestProgressGoesFromTheSnapshotToTheEnd(t *testing.T) {
	for name, m := range map[string]*model{
		"updates":     (&model{}).update(bytesOf(1, 10)).update(nil).update(bytesOf(2, 70_000)),
		"a snapshot":  (&model{}).update(bytesOf(1, 10)).snapshot(bytesOf(2, 100_000)).update(bytesOf(3, 10)).update(bytesOf(4, block-70)).update(bytesOf(5, 10)),
		"no updates":  (&model{}).update(bytesOf(1, 10)).snapshot(bytesOf(2, 10)),
		"nothing":     {},
		"many epochs": longModel(),
	} {
		_, epoch, updates, err := stateio.Restore(bytes.NewReader(m.file), int64(len(m.file)))
		if err != nil {
			t.Fatal(err)
		}
		size := int64(len(m.file)) - int64(epoch)
		want := int64(0)
		for _, o := range m.current() {
			if !o.snapshot {
				if _, err := updates.Read(); err != nil {
					t.Fatal(err)
				}
			}
			want = o.end - int64(epoch)
			if done, total := updates.Progress(); done != want || total != size {
				t.Errorf("%s: %d of %d, want %d of %d", name, done, total, want, size)
			}
		}
		if _, err := updates.Read(); err != io.EOF {
			t.Fatal(err)
		}
		if done, total := updates.Progress(); done != size || total != size {
			t.Errorf("%s, at the end: %d of %d, want %d", name, done, total, size)
		}
	}
	var none *stateio.Reader
	if done, total := none.Progress(); done != 0 || total != 0 {
		t.Errorf("no reader: %d of %d", done, total)
	}
}

// An older epoch ends where the next one begins, after padding, and damage is where it stops.
func TestProgressOfAnOlderAndOfADamagedEpoch(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 10)).snapshot(nil).update(bytesOf(2, block)).update(bytesOf(3, 100))
	m.update(bytesOf(4, block-len(m.file)%block-24-10)).snapshot(nil)
	read := func(file []byte) (done, total int64) {
		_, updates, err := stateio.RestoreEpoch(bytes.NewReader(file), int64(len(file)), uint64(m.ops[1].start))
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range updates.All() {
			if err != nil && !isCorrupt(err) {
				t.Fatal(err)
			}
		}
		return updates.Progress()
	}
	size := m.ops[5].start - m.ops[1].start
	if done, total := read(m.file); done != size || total != size || m.ops[4].end == m.ops[5].start {
		t.Errorf("at the end: %d of %d, want %d", done, total, size)
	}
	damaged := bytes.Clone(m.file)
	damaged[m.ops[3].start+30] ^= 1
	if done, total := read(damaged); done != m.ops[3].start-m.ops[1].start || total != size {
		t.Errorf("at the damage: %d of %d, want %d of %d", done, total, m.ops[3].start-m.ops[1].start, size)
	}
	// Two entries that are lost at the end, after padding, leave the end of the last whole one.
	m.snapshot(nil)
	m.update(bytesOf(5, block-len(m.file)%block-24-10)).update(bytesOf(6, 3*block)).update(bytesOf(7, 3*block))
	damaged = bytes.Clone(m.file)
	damaged[m.ops[8].start+30] ^= 1
	damaged[m.ops[9].start+30] ^= 1
	_, updates, err := stateio.RestoreEpoch(bytes.NewReader(damaged), int64(len(damaged)), uint64(m.ops[6].start))
	if err != nil {
		t.Fatal(err)
	}
	for _, last := range updates.All() {
		err = last
	}
	if done, total := updates.Progress(); !isCorrupt(err) || done != total || total != m.ops[7].end-m.ops[6].start {
		t.Errorf("at the damage after the last one: %d of %d, %v", done, total, err)
	}
}

// A read that fails within an update, and is tried again, moves neither Offset nor Progress.
func TestAReadErrorMovesNeitherOffsetNorProgress(t *testing.T) {
	m := (&model{}).snapshot(nil).update(bytesOf(1, 10)).update(bytesOf(2, 60*block)).update(bytesOf(3, 10))
	epoch := m.ops[0].start
	failed := 0
	for n := range 30 {
		src := &onceAt{bytes.NewReader(m.file), 1 << 30}
		_, _, updates, err := stateio.Restore(src, int64(len(m.file)))
		if err != nil {
			t.Fatal(err)
		}
		src.n = n
		for i := 1; i < len(m.ops); {
			before := m.ops[i-1]
			_, err := updates.Read()
			if err == nil {
				i++
				continue
			}
			failed++
			if done, total := updates.Progress(); !errors.Is(err, errDisk) || done != before.end-epoch || total != int64(len(m.file))-epoch {
				t.Errorf("read %d fails in update %d: %d of %d, %v, want %d", n, i, done, total, err, before.end-epoch)
			}
			if updates.Offset() != before.start {
				t.Errorf("read %d fails in update %d: Offset() = %d, want %d", n, i, updates.Offset(), before.start)
			}
		}
	}
	if failed < 8 {
		t.Errorf("%d reads have failed", failed)
	}
}
