package stateio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// holeFile returns a file with the given content on a file system with holes,
// where there is one.
func holeFile(t *testing.T, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "*.state")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fill(t, f, content)
	return f
}

// truncated truncates f, or skips the test where that can't be done.
func truncated(t *testing.T, f *os.File) int64 {
	t.Helper()
	freed, err := stateio.Truncate(t.Context(), f, nil)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the platform or the file system can't make holes: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return freed
}

func longModel() *model {
	m := &model{}
	for i := range 10 {
		m.snapshot(bytesOf(uint64(i), 100_000)).update(bytesOf(uint64(i), 10)).update(bytesOf(uint64(i), 40_000))
	}
	return m
}

// Truncate frees all epochs but the last, in place, with a Writer at work; the
// file restores as before.
func TestTruncateFreesTheOldEpochs(t *testing.T) {
	m := longModel()
	f := holeFile(t, m.file)
	w := reopen(t, f, m)
	freed := truncated(t, f)
	want := int64(m.epoch() - m.epoch()%block)
	if freed < want/2 || freed > want+block {
		t.Errorf("freed %d bytes of %d", freed, want)
	}
	must(t, w, m, []byte("the writer goes on"))
	if err := m.compare(f, int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
	got := content(t, f)
	if !bytes.Equal(got[want:], m.file[want:]) || !bytes.Equal(got[:want], make([]byte, want)) {
		t.Fatal("other bytes were changed than those before the epoch's block")
	}
	n := 0
	for e, err := range stateio.Epochs(f, int64(len(m.file))) {
		if n++; err != nil || e.Offset != m.epoch() {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Fatalf("%d epochs are left, want the last", n)
	}
	if _, _, err := stateio.RestoreEpoch(f, int64(len(m.file)), 0); !errors.Is(err, stateio.ErrNoEpoch) {
		t.Fatalf("an epoch that was given back: %v, want ErrNoEpoch", err)
	}
	if freed := truncated(t, f); freed != 0 {
		t.Errorf("the second time freed %d bytes", freed)
	}
	f.Close()
	must(t, reopen(t, openAgain(t, f.Name()), m), m, []byte("opened anew"))
}

// A crash may leave some of the old blocks, zeroed or not: only the current
// epoch counts.
func TestTruncateMayBeInterrupted(t *testing.T) {
	m := longModel()
	n := int(m.epoch() / block)
	for left := range n {
		for _, front := range []bool{false, true} {
			file := bytes.Clone(m.file)
			if front {
				clear(file[:left*block])
			} else {
				clear(file[left*block : n*block])
			}
			if err := m.compare(bytes.NewReader(file), int64(len(file))); err != nil {
				t.Fatalf("%d blocks of %d: %v", left, n, err)
			}
			for e, err := range stateio.Epochs(bytes.NewReader(file), int64(len(file))) {
				if e.Offset == m.epoch() && err != nil {
					t.Fatalf("%d blocks of %d: %+v, %v", left, n, e, err)
				}
			}
			injected(t, m, file)
		}
	}
}

func TestTruncateOfASmallFileDoesNothing(t *testing.T) {
	for _, m := range []*model{{}, (&model{}).update(bytesOf(1, 3*block)), (&model{}).update(bytesOf(1, 10)).snapshot(nil)} {
		f := holeFile(t, m.file)
		if freed, err := stateio.Truncate(t.Context(), f, nil); freed != 0 || err != nil {
			t.Errorf("got %d, %v", freed, err)
		}
		if !bytes.Equal(content(t, f), m.file) {
			t.Error("the file was changed")
		}
	}
}

// With damage in the current epoch or after it, old epochs may be all there is:
// they stay.
func TestTruncateLeavesADamagedFileAlone(t *testing.T) {
	m := longModel()
	last := m.current()
	for _, at := range []int64{last[0].start + 50_000, last[1].start + 20, last[0].start + 2} {
		file := bytes.Clone(m.file)
		file[at] ^= 1
		f := holeFile(t, file)
		if _, err := stateio.Truncate(t.Context(), f, nil); !isCorrupt(err) {
			t.Errorf("byte %d wrong: %v", at, err)
		}
		if !bytes.Equal(content(t, f), file) {
			t.Errorf("byte %d wrong: the file was changed", at)
		}
	}
}

// That there is nothing to free is only known of a file that is sound.
func TestTruncateOfASmallDamagedFileIsAnError(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 100)).update(bytesOf(2, 100))
	m.file[50] ^= 1
	if _, err := stateio.Truncate(t.Context(), tempFile(t, m.file), nil); !isCorrupt(err) {
		t.Errorf("got %v", err)
	}
}

// Truncate tells how much of the current epoch it has read, and ends with its context,
// before anything is changed.
func TestTruncateTellsHowFarItIs(t *testing.T) {
	m := longModel()
	m.snapshot(bytesOf(1, 4<<20))
	for i := range 100 {
		m.update(bytesOf(uint64(i), 40_000))
	}
	f := holeFile(t, m.file)
	size := int64(len(m.file)) - int64(m.epoch())
	ctx, cancel := context.WithCancel(t.Context())
	_, err := stateio.Truncate(ctx, f, &stateio.TruncateOptions{Progress: func(done, _ int64) {
		if done > size/2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), f.Name()) {
		t.Fatalf("interrupted it says %v", err)
	}
	if b, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(b, m.file) {
		t.Fatalf("an interrupted Truncate has changed the file, or %v", err)
	}
	told, calls := int64(0), 0
	_, err = stateio.Truncate(t.Context(), f, &stateio.TruncateOptions{Progress: func(done, total int64) {
		if done <= told || total != size {
			t.Errorf("%d of %d bytes after %d, of %d", done, total, told, size)
		}
		told = done
		calls++
	}})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the platform or the file system can't make holes: ", err)
	}
	if err != nil || told != size || calls < int(size/(2<<20)) {
		t.Errorf("%d bytes are told, in %d calls, of %d; %v", told, calls, size, err)
	}
}

// What reads an epoch while a later one begins, and Truncate gives the first back, is told so,
// and not of damage. Truncate is stood for by zeros: a hole is read as that.
func TestAnEpochThatIsGivenBackWhileItIsReadIsNoDamage(t *testing.T) {
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, stateio.ErrNoEpoch) || errors.Is(err, stateio.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	read := func(r *stateio.Reader) (err error) {
		for err == nil {
			_, err = r.Read()
		}
		if _, again := r.Read(); again != err {
			t.Errorf("once more: %v", again)
		}
		return err
	}
	m := &model{}
	for i := range 40 {
		m.update(bytesOf(uint64(i), 10_000))
	}
	for _, behind := range []int{0, block} { // what is left of the file, so that zeros are its end or not
		file := bytes.Clone(m.file)
		_, _, updates, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		clear(file[:len(file)-behind])
		gone("Restore", read(updates))
	}

	m = (&model{}).update([]byte("one")).snapshot(bytesOf(1, 1<<20)).update([]byte("two"))
	file := bytes.Clone(m.file)
	state, _, _, _, err := stateio.RestoreStream(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	clear(file)
	_, err = io.Copy(io.Discard, state)
	gone("RestoreStream", err)

	dst, src := tempFile(t, nil), tempFile(t, m.file)
	_, err = stateio.CompactFile(t.Context(), dst, src, &stateio.CompactOptions{Progress: func(_, _ int64) {
		if _, err := src.WriteAt(make([]byte, len(m.file)), 0); err != nil {
			t.Error(err)
		}
	}})
	gone("CompactFile", err)

	// What was lost before is damage.
	fill(t, src, append(make([]byte, m.ops[2].start), m.file[m.ops[2].start:]...))
	if _, err := stateio.CompactFile(t.Context(), tempFile(t, nil), src, nil); !errors.Is(err, stateio.ErrCorrupt) {
		t.Errorf("CompactFile of what was lost before: %v", err)
	}
}
