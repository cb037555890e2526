package inspect_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

// An agreement compares the verdict of Verify with what package stateio does.
type agreement struct {
	file     *os.File
	accepted int
	refused  int
}

func newAgreement(t *testing.T) *agreement {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // in memory: the tests sync a lot
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &agreement{file: file}
}

// check verifies b, and fails t unless stateio accepts it exactly if it is said
// to be intact, and restores what was said to be in it.
func (a *agreement) check(t *testing.T, what string, b []byte) *inspect.Report {
	t.Helper()
	rep, err := inspect.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i, d := range rep.Damage {
		if d.Length <= 0 || d.Offset < 0 || d.End() > int64(len(b)) || d.Reason == "" {
			t.Fatalf("%s: damage %d is no range of the file: %+v", what, i, d)
		}
	}
	accepted, err := a.open(b)
	if (err == nil) != (rep.Err() == nil) {
		t.Fatalf("%s:\nNewFileWriter says: %v\nVerify says:        %v\nof %+v", what, err, rep.Err(), rep.Damage)
	}
	if err != nil {
		if !errors.Is(err, stateio.ErrCorrupt) || !errors.Is(rep.Err(), stateio.ErrCorrupt) {
			t.Fatalf("%s: %v, and %v: not of ErrCorrupt", what, err, rep.Err())
		}
		a.refused++
		return rep
	}
	a.accepted++
	end := rep.End
	if rep.Incomplete() {
		end = int64(len(b)) // it stays until there is an entry
	}
	if size := int64(len(accepted)); size != end {
		t.Fatalf("%s: NewFileWriter cut the file to %d bytes, Verify says that it ends at %d", what, size, rep.End)
	}
	sameAsRestore(t, what, b, rep)
	return rep
}

// open has NewFileWriter open b, and returns what that leaves of it.
func (a *agreement) open(b []byte) ([]byte, error) {
	if err := a.file.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := a.file.WriteAt(b, 0); err != nil {
		return nil, err
	}
	if _, err := stateio.NewFileWriter(a.file); err != nil {
		return nil, err
	}
	return os.ReadFile(a.file.Name())
}

// sameAsRestore compares the entries of the current epoch with what Restore
// gives of b.
func sameAsRestore(t *testing.T, what string, b []byte, rep *inspect.Report) {
	t.Helper()
	state, epoch, updates, err := stateio.Restore(bytes.NewReader(b), int64(len(b)))
	if err != nil || epoch != rep.Epoch {
		t.Fatalf("%s: Restore says epoch %d, %v; Verify says epoch %d", what, epoch, err, rep.Epoch)
	}
	n := int64(0)
	for e, err := range inspect.Entries(bytes.NewReader(b), int64(len(b))) {
		if err != nil || e.Epoch != rep.Epoch {
			continue
		}
		got, err := io.ReadAll(e.Payload())
		if err != nil {
			t.Fatal(what, err)
		}
		if !bytes.HasPrefix(got, e.Prefix) || int64(len(got)) != e.Size {
			t.Fatalf("%s: the entry at %d has %d bytes, want %d, with prefix %q", what, e.Offset, len(got), e.Size, e.Prefix)
		}
		want := state
		if e.Kind == inspect.Update {
			n++
			if want, err = updates.Read(); err != nil {
				t.Fatal(what, err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: the entry at %d is %q, Restore says %q", what, e.Offset, got, want)
		}
	}
	if _, err := updates.Read(); err != io.EOF || n != rep.Current {
		t.Fatalf("%s: Restore gives more than the %d (%d) updates of Verify: %v", what, n, rep.Current, err)
	}
}

// logs returns the files that the sweeps damage.
func logs(t testing.TB) []*logFile {
	return []*logFile{
		newLog(t, 1),
		newLog(t, 2, 5, 0, 100),
		newLog(t, 3, 10, 2000, -501, 20, -1, 30, 40),
		newLog(t, 4, 32<<10, 7, -70001, 500, 40000, 1),
		newLog(t, 5, 20000, -300, 12000, 400, -33000, 50, 16, -20001, 60, 32753-9, 5),
		newLog(t, 6, 32768-15-9-15-9-1, 0, 77, -90001),
	}
}

func TestVerifyAgreesOnEveryCut(t *testing.T) {
	a := newAgreement(t)
	for i, l := range logs(t) {
		b := l.Bytes()
		step := 1 + len(b)/stepFor(200)
		for n := 0; n <= len(b); n += step {
			rep := a.check(t, fmt.Sprintf("log %d cut to %d", i, n), b[:n])
			if !rep.Sound() {
				t.Fatalf("log %d cut to %d: a torn tail is called damage: %+v", i, n, rep.Damage)
			}
		}
	}
}

func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	a := newAgreement(t)
	for i, l := range logs(t) {
		b := bytes.Clone(l.Bytes())
		step := 1 + 8*len(b)/stepFor(500)
		for bit := 0; bit < 8*len(b); bit += step {
			b[bit/8] ^= 1 << (bit % 8)
			what := fmt.Sprintf("log %d, bit %d of byte %d flipped", i, bit%8, bit/8)
			rep := a.check(t, what, b)
			if rep.Damaged == 0 {
				t.Fatalf("%s: not found", what)
			}
			last := l.entries[len(l.entries)-1]
			if rep.Sound() && int64(bit/8) < last.offset {
				t.Fatalf("%s: said to be a torn tail", what)
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	if a.accepted < 30 || a.refused < 30 {
		t.Fatalf("only %d accepted, %d refused", a.accepted, a.refused)
	}
}

// stepFor returns how many samples of a sweep to take.
func stepFor(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

func TestVerifyAgreesOnLostPages(t *testing.T) {
	a := newAgreement(t)
	rng := rand.New(rand.NewPCG(7, 7))
	all := logs(t)
	for n := range stepFor(800) {
		l := all[1+rng.IntN(len(all)-1)]
		b := bytes.Clone(l.Bytes())
		page := []int{64, 512, 4096, 32 << 10}[rng.IntN(4)]
		for range 1 + rng.IntN(3) {
			lo := rng.IntN((len(b)+page-1)/page) * page
			hi := min(lo+page, len(b))
			switch rng.IntN(4) {
			case 0:
				clear(b[lo:hi])
			case 1:
				for i := range b[lo:hi] {
					b[lo+i] = byte(rng.Uint32())
				}
			case 2: // doubled
				from := rng.IntN((len(b)+page-1)/page) * page
				copy(b[lo:hi], l.Bytes()[from:])
			default: // removed
				b = append(b[:lo], b[hi:]...)
			}
			if len(b) == 0 {
				break
			}
		}
		a.check(t, fmt.Sprintf("case %d, pages of %d", n, page), b)
	}
	if a.accepted < 30 || a.refused < 30 {
		t.Fatalf("only %d accepted, %d refused", a.accepted, a.refused)
	}
}
