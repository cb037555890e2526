package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// epochsOf are the model's epochs, oldest first, each as its ops.
func (m *model) epochsOf() (epochs [][]op) {
	for i, o := range m.ops {
		if o.snapshot || i == 0 {
			epochs = append(epochs, nil)
		}
		epochs[len(epochs)-1] = append(epochs[len(epochs)-1], o)
	}
	return epochs
}

func TestEveryEpochIsFoundAndRestored(t *testing.T) {
	for seed := range uint64(count(60)) {
		m := randomModel(rand.New(rand.NewPCG(seed, 9)), 1+int(seed)%60)
		r, limit := bytes.NewReader(m.file), int64(len(m.file))
		want := m.epochsOf()
		end := limit
		for e, err := range stateio.Epochs(r, limit) {
			if err != nil || len(want) == 0 {
				t.Fatalf("seed %d: epoch at %d, %d expected before: %v", seed, e.Offset, len(want), err)
			}
			ops := want[len(want)-1]
			want = want[:len(want)-1]
			size := int64(-1)
			if ops[0].snapshot {
				size = int64(len(ops[0].data))
			}
			previous := uint64(0)
			if len(want) > 0 {
				previous = want[len(want)-1][0].epoch
			}
			if e.Offset != ops[0].epoch || e.StateSize != size || e.End != end || e.Previous != previous {
				t.Fatalf("seed %d: %+v, want epoch %d of %d bytes up to %d after %d", seed, e, ops[0].epoch, size, end, previous)
			}
			end = int64(e.Offset)
			state, updates, err := stateio.RestoreEpoch(r, limit, e.Offset)
			if err == nil {
				err = matchEpoch(ops, state, updates)
			}
			if err != nil {
				t.Fatalf("seed %d, epoch %d: %v", seed, e.Offset, err)
			}
		}
		if len(want) != 0 {
			t.Fatalf("seed %d: %d epochs are missing", seed, len(want))
		}
	}
}

func TestAnEmptyFileHasNoEpochs(t *testing.T) {
	for e, err := range stateio.Epochs(bytes.NewReader(nil), 0) {
		t.Fatalf("got %+v, %v", e, err)
	}
	if _, _, err := stateio.RestoreEpoch(bytes.NewReader(nil), 0, 0); !errors.Is(err, stateio.ErrNoEpoch) {
		t.Fatalf("got %v, want ErrNoEpoch", err)
	}
}

func TestWhatIsNoEpochIsErrNoEpoch(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 100)).update(bytesOf(2, 10)).snapshot(bytesOf(3, 10))
	for _, epoch := range []uint64{1, uint64(m.ops[1].start), uint64(m.ops[2].start) + 1, 1 << 40, 1<<64 - 1} {
		f := tempFile(t, m.file)
		_, _, err := stateio.RestoreEpoch(f, int64(len(m.file)), epoch)
		if !errors.Is(err, stateio.ErrNoEpoch) || !strings.Contains(err.Error(), f.Name()) {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
}

// A broken snapshot is an error, no rollback; the epochs before it, and their
// updates, are there for who asks: G15.
func TestEpochsBeforeABrokenSnapshotCanBeRestored(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 100)).update(bytesOf(2, 10)).
		snapshot(bytesOf(3, 200)).update(bytesOf(4, 20)).
		snapshot(bytesOf(5, 70_000)).update(bytesOf(6, 30)).update(bytesOf(7, 40))
	epochs := m.epochsOf()
	for _, at := range []int64{0, 4, 20, 100, 40_000, 70_000} {
		file := bytes.Clone(m.file)
		file[m.ops[4].start+at] ^= 1
		r, limit := bytes.NewReader(file), int64(len(file))
		if _, _, _, err := stateio.Restore(r, limit); !isCorrupt(err) {
			t.Fatalf("byte %d: Restore: %v", at, err)
		}
		if _, _, err := stateio.RestoreEpoch(r, limit, m.epoch()); !isCorrupt(err) {
			t.Fatalf("byte %d: RestoreEpoch of the broken one: %v", at, err)
		}
		var found []uint64
		errs := 0
		for e, err := range stateio.Epochs(r, limit) {
			if err != nil {
				errs++
				continue
			}
			found = append(found, e.Offset)
		}
		if !slices.Equal(found, []uint64{uint64(m.ops[2].start), 0}) || errs != 1 {
			t.Fatalf("byte %d: epochs %d, %d errors", at, found, errs)
		}
		for _, ops := range epochs[:2] {
			state, updates, err := stateio.RestoreEpoch(r, limit, ops[0].epoch)
			if err == nil {
				err = matchEpoch(ops, state, updates)
			}
			if err != nil {
				t.Fatalf("byte %d, epoch %d: %v", at, ops[0].epoch, err)
			}
		}
	}
}

// An epoch that has become zeros by itself, as by a lost extent, is damage: Truncate gives
// back all that is before as well. What is before it can be restored.
func TestAnEpochThatIsZerosIsDamage(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 100)).update(bytesOf(2, 10)).
		snapshot(bytesOf(3, 100_000)).update(bytesOf(4, 20)).snapshot(bytesOf(5, 10)).update(bytesOf(6, 10))
	file := bytes.Clone(m.file)
	clear(file[m.ops[2].start : m.ops[2].start+70_000])
	r, limit := bytes.NewReader(file), int64(len(file))
	var found []uint64
	errs := 0
	for e, err := range stateio.Epochs(r, limit) {
		if found = append(found, e.Offset); err != nil {
			errs++
		}
	}
	if want := []uint64{m.epoch(), uint64(m.ops[2].start), 0}; !slices.Equal(found, want) || errs != 1 {
		t.Errorf("epochs %d, want %d, and %d errors", found, want, errs)
	}
	state, updates, err := stateio.RestoreEpoch(r, limit, 0)
	if err == nil {
		err = matchEpoch(m.epochsOf()[0], state, updates)
	}
	if err != nil {
		t.Error(err)
	}
}

// An error of reading on the way past a broken snapshot ends the walk.
func TestAReadErrorBehindABrokenSnapshotEndsTheWalk(t *testing.T) {
	m := longModel()
	m.file[m.current()[0].start+5] ^= 1
	for n := 1; n < 100; n++ {
		var last error
		found := 0
		for _, err := range stateio.Epochs(&flaky{bytes.NewReader(m.file), n, 0}, int64(len(m.file))) {
			if last = err; err == nil {
				found++
			}
		}
		if errors.Is(last, errDisk) == (found == 9) || errors.Is(last, errDisk) && errors.Is(last, stateio.ErrCorrupt) {
			t.Fatalf("failing at read %d: %d epochs, then %v", n, found, last)
		}
	}
}

// Epochs stops where its loop does, and when nothing is whole.
func TestEpochsStopsWhereItsLoopDoes(t *testing.T) {
	m := (&model{}).snapshot(nil).snapshot(nil).snapshot(nil)
	n := 0
	for range stateio.Epochs(bytes.NewReader(m.file), int64(len(m.file))) {
		n++
		break
	}
	for _, err := range stateio.Epochs(bytes.NewReader(m.file), -1) {
		if n++; err == nil {
			t.Error("a negative limit is taken")
		}
	}
	for _, err := range stateio.Epochs(strings.NewReader("no state file at all"), 20) {
		if n++; !isCorrupt(err) {
			t.Errorf("got %v", err)
		}
	}
	if n != 3 {
		t.Fatalf("%d turns, want 3", n)
	}
	if _, _, err := stateio.RestoreEpoch(bytes.NewReader(nil), -1, 0); err == nil {
		t.Error("RestoreEpoch takes a negative limit")
	}
	if _, err := stateio.Compact(io.Discard, bytes.NewReader(nil), -1); err == nil {
		t.Error("Compact takes a negative limit")
	}
}

// Epochs that point forward, at themselves or at updates are damage; the walk
// ends.
func TestEpochsThatPointNowhereAreDamage(t *testing.T) {
	head := func(kind byte, epoch uint64) []byte {
		return append([]byte{kind, byte(epoch), byte(epoch >> 8), 0, 0, 0, 0, byte(epoch >> 56), byte(epoch >> 63)}, "payload"...)
	}
	m := (&model{}).update([]byte("one"))
	for _, kind := range []byte{1, 2} {
		for _, epoch := range []uint64{uint64(len(m.file)), uint64(len(m.file)) + 5, 1 << 63, 1, uint64(m.ops[0].start) + 3} {
			file, _ := appendLog(bytes.Clone(m.file), head(kind, epoch))
			file, _ = appendLog(file, head(1, uint64(len(m.file))*uint64(kind-1)+epoch*uint64(2-kind)))
			errs, turns := 0, 0
			for _, err := range stateio.Epochs(bytes.NewReader(file), int64(len(file))) {
				if err != nil {
					if errs++; !isCorrupt(err) {
						t.Fatal(err)
					}
				}
				if turns++; turns > 10 {
					t.Fatal("the walk does not end")
				}
			}
			if errs == 0 {
				t.Errorf("kind %d of epoch %d: no error", kind, epoch)
			}
			if _, _, _, err := stateio.Restore(bytes.NewReader(file), int64(len(file))); kind == 1 && !isCorrupt(err) {
				t.Errorf("kind %d of epoch %d: Restore gives %v", kind, epoch, err)
			}
		}
	}
}

// RestoreEpoch refuses a snapshot that Epochs refuses.
func TestASnapshotThatPointsBehindItselfIsNotRestored(t *testing.T) {
	file := (&model{}).update([]byte("one")).file
	file, epoch := appendLog(file, append([]byte{2, 0, 1, 0, 0, 0, 0, 0, 0}, "state"...))
	if _, _, err := stateio.RestoreEpoch(bytes.NewReader(file), int64(len(file)), uint64(epoch)); !isCorrupt(err) {
		t.Errorf("got %v", err)
	}
}

// The snapshot of the last epoch is missed also where there are zeros: only older
// ones are given back to the file system.
func TestEpochsMissesTheLastSnapshot(t *testing.T) {
	m := (&model{}).update([]byte("one")).snapshot([]byte("two")).update([]byte("three"))
	for range 2 { // with the end in its block, and in another
		file := bytes.Clone(m.file)
		clear(file[m.ops[1].start:m.ops[1].end])
		var errs []error
		for _, err := range stateio.Epochs(bytes.NewReader(file), int64(len(file))) {
			errs = append(errs, err)
		}
		if len(errs) != 2 || !isCorrupt(errs[0]) || errs[1] != nil {
			t.Errorf("%d bytes: got %v, want damage and one epoch", len(file), errs)
		}
		m.update(bytesOf(1, 100_000)).update([]byte("four"))
	}
}

// Where nothing is whole before a broken snapshot, there is no epoch more.
func TestEpochsEndsWhereNothingIsWhole(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 100)).snapshot([]byte("two")).update([]byte("three"))
	m.file[50] ^= 1
	m.file[m.ops[1].start+20] ^= 1
	var errs []error
	for _, err := range stateio.Epochs(bytes.NewReader(m.file), int64(len(m.file))) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !isCorrupt(errs[0]) {
		t.Errorf("got %v, want damage once", errs)
	}
}

// An update of another epoch, or a snapshot, among the updates is damage: whole
// blocks were exchanged.
func TestEntriesOfAnotherEpochAmongUpdatesAreDamage(t *testing.T) {
	for _, kind := range []byte{1, 2} {
		m := (&model{}).update([]byte("one")).snapshot([]byte("state")).update([]byte("two"))
		epoch := m.epoch()
		m.file, _ = appendLog(m.file, append([]byte{kind, 0, 0, 0, 0, 0, 0, 0, 0}, "other"...))
		last := append([]byte{1, byte(epoch), 0, 0, 0, 0, 0, 0, 0}, "three"...)
		m.file, _ = appendLog(m.file, last)
		_, _, updates, err := stateio.Restore(bytes.NewReader(m.file), int64(len(m.file)))
		if err != nil {
			t.Fatal(err)
		}
		if u, err := updates.Read(); err != nil || string(u) != "two" {
			t.Fatalf("got %q, %v", u, err)
		}
		for range 2 {
			if u, err := updates.Read(); !isCorrupt(err) {
				t.Fatalf("kind %d: got %q, %v", kind, u, err)
			}
		}
	}
}

// An epoch that says it starts inside of another entry does not: its bytes are
// a payload.
func TestAnEpochInsideOfAPayloadIsNone(t *testing.T) {
	inner, _ := appendLog(nil, append([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0}, "INJECTED-STATE"...))
	m := (&model{}).update(append(bytesOf(1, 40), inner...))
	at := byte(24 + 40)
	file, _ := appendLog(m.file, append([]byte{1, at, 0, 0, 0, 0, 0, 0, 0}, "update"...))
	state, _, _, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
	if !isCorrupt(err) {
		t.Fatalf("got %q, %v", state, err)
	}
}

// Whole blocks of FULL records that are missing, doubled, swapped or of another
// file can't be noticed in this format: G16. What comes back are real entries,
// or an error; a block inside of a longer entry is always noticed: G17.
func TestWholeBlocksInTheWrongPlaceInjectNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	full := &model{}
	for i := range 40 * 8 { // 8 records fill a block
		full.update(bytesOf(uint64(i), block/8-24))
	}
	nested := nestedModel(rng)
	for range count(300) {
		for _, m := range []*model{full, nested} {
			file := bytes.Clone(m.file)
			n := len(file) / block
			if n < 3 {
				continue
			}
			i, j := rng.IntN(n)*block, rng.IntN(n)*block
			switch rng.IntN(4) {
			case 0: // missing
				file = slices.Delete(file, i, i+block)
			case 1: // doubled
				file = slices.Insert(file, i, bytes.Clone(file[j:j+block])...)
			case 2: // swapped
				copy(file[i:i+block], m.file[j:j+block])
				copy(file[j:j+block], m.file[i:i+block])
			case 3: // the front is gone
				file = file[i:]
			}
			injected(t, m, file)
		}
	}
	long := (&model{}).update([]byte("one")).update(bytesOf(1, 6*block)).update([]byte("three"))
	for i := 1; i < 6; i++ {
		file := slices.Delete(bytes.Clone(long.file), i*block, (i+1)*block)
		if err := long.compare(bytes.NewReader(file), int64(len(file))); !isCorrupt(err) {
			t.Fatalf("block %d of an entry is missing: %v", i, err)
		}
	}
}
