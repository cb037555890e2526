package inspect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/logio"
)

const block = logio.Blocksz

// raw appends log entry to b: an update or snapshot with any epoch.
func raw(t *testing.T, b *bytes.Buffer, kind byte, epoch uint64, payload string) (off int64) {
	t.Helper()
	off = logio.Aligned(int64(b.Len()))
	e := append(binary.LittleEndian.AppendUint64([]byte{kind}, epoch), payload...)
	if _, err := logio.Append(b, int64(b.Len()), e, nil); err != nil {
		t.Fatal(err)
	}
	return off
}

// damaged returns the log of entries of these sizes, with zeros from entry i's
// offset plus some to entry j's plus some.
func damaged(t *testing.T, i int, iplus int64, j int, jplus int64, sizes ...int) (*logFile, []byte) {
	t.Helper()
	l := newLog(t, 1, sizes...)
	clear(l.Bytes()[l.entries[i].offset+iplus : l.entries[j].offset+jplus])
	return l, l.Bytes()
}

// only fails t unless exactly one range of b is damaged, the given one.
func only(t *testing.T, b []byte, from, to int64, place inspect.Place) {
	t.Helper()
	rep := newAgreement(t).check(t, t.Name(), b)
	if rep.Damaged != 1 || rep.Damage[0].Offset != from || rep.Damage[0].End() != to || rep.Damage[0].Place != place {
		t.Fatalf("got %+v,\nwant %d to %d, %v", rep.Damage, from, to, place)
	}
	if (rep.Err() != nil) != (place == inspect.Current) {
		t.Fatalf("%v damage: %v", place, rep.Err())
	}
}

func TestDamageAcrossEpochsIsOfTheCurrentOne(t *testing.T) {
	// Zeros from within an obsolete update to within the current snapshot.
	l, b := damaged(t, 0, 20, 2, 5, 100, 200, -40001, 40, 10)
	only(t, b, 0, l.entries[3].offset, inspect.Current)
}

func TestDamageRightBeforeTheCurrentEpochHurtsNothing(t *testing.T) {
	// The snapshot can't be found from what is before it in its block; updates
	// in later blocks name it.
	l, b := damaged(t, 0, 0, 1, 50, 100, 200, -301, 40000, 10)
	only(t, b, 0, l.entries[2].offset, inspect.Obsolete)
	got, _ := read(t, bytes.NewReader(b), int64(len(b)))
	same(t, got, l.entries[2:])
}

func TestLostBlockIsReported(t *testing.T) {
	const full = block - 15 - 9
	_, b := damaged(t, 1, 0, 2, 0, full, full, full, full)
	only(t, b, block, 2*block, inspect.Current)
	_, b = damaged(t, 1, 0, 3, 0, full, full, full, -full-1)
	only(t, b, block, 3*block, inspect.Obsolete)
}

func TestPaddingIsChecked(t *testing.T) {
	l := newLog(t, 1, block-15-9-10, 7)
	b := l.Bytes()
	b[block-3] = 1
	only(t, b, block-10, block, inspect.Padding)
	if got, _ := read(t, bytes.NewReader(b), int64(len(b))); len(got) != 2 {
		t.Fatalf("%d entries", len(got))
	}
}

func TestUpdatesOfAnotherEpochAreDamage(t *testing.T) {
	var b bytes.Buffer
	raw(t, &b, 1, 0, "one")
	first := uint64(raw(t, &b, 2, 0, "state"))
	from := raw(t, &b, 1, 0, "of an older epoch")
	to := int64(b.Len())
	second := uint64(raw(t, &b, 2, first, "newer state"))
	raw(t, &b, 1, second, "update")
	only(t, b.Bytes(), from, to, inspect.Obsolete)

	var c bytes.Buffer
	raw(t, &c, 1, 0, "one")
	first = uint64(raw(t, &c, 2, 0, "state"))
	from = raw(t, &c, 1, 0, "of an older epoch")
	to = int64(c.Len())
	raw(t, &c, 1, first, "update")
	only(t, c.Bytes(), from, to, inspect.Current)

	var d bytes.Buffer
	raw(t, &d, 1, 0, "one")
	from = raw(t, &d, 1, 1<<40, "of an epoch to come")
	only(t, d.Bytes(), from, int64(d.Len()), inspect.Current)
}

func TestASnapshotAmongUpdatesIsDamage(t *testing.T) {
	var b bytes.Buffer
	epoch := uint64(raw(t, &b, 2, 0, "state"))
	raw(t, &b, 1, epoch, "one")
	from := raw(t, &b, 2, epoch, "of another file")
	to := int64(b.Len())
	raw(t, &b, 1, epoch, "two")
	only(t, b.Bytes(), from, to, inspect.Current)
	if got, _ := read(t, bytes.NewReader(b.Bytes()), int64(b.Len())); len(got) != 3 {
		t.Fatalf("%d entries", len(got))
	}
}

func TestOtherKindsOfEntriesAreDamage(t *testing.T) {
	for _, kind := range []byte{0, 3, 255} {
		var b bytes.Buffer
		raw(t, &b, 1, 0, "one")
		from := raw(t, &b, kind, 0, "unknown")
		to := int64(b.Len())
		only(t, b.Bytes(), from, to, inspect.Current)
		raw(t, &b, 1, 0, "two")
		only(t, b.Bytes(), from, to, inspect.Current)
		raw(t, &b, 2, 0, "state")
		only(t, b.Bytes(), from, to, inspect.Obsolete)
	}
}

func TestAnEpochWithinAPayloadIsDamage(t *testing.T) {
	var nested, b bytes.Buffer
	raw(t, &nested, 2, 0, "planted state")
	off := raw(t, &b, 1, 0, nested.String())
	end := int64(b.Len())
	planted := off + 15 + 9
	raw(t, &b, 1, uint64(planted), "an update of the planted epoch")
	rep := newAgreement(t).check(t, "planted", b.Bytes())
	if rep.Damaged != 2 || rep.Damage[0].Offset != planted || rep.Damage[0].End() != end || rep.Damage[1].Offset != end {
		t.Fatalf("got %+v", rep.Damage)
	}
}

func TestDamageAtTheEndReachesBehindItsProof(t *testing.T) {
	l, b := damaged(t, 1, 0, 2, 20, 10, 20, 30, 40)
	only(t, b, l.entries[1].offset, int64(len(b)), inspect.Current)
}

// A flakyReader fails from its nth call on.
type flakyReader struct {
	io.ReaderAt
	n int
}

func (r *flakyReader) ReadAt(b []byte, off int64) (int, error) {
	if r.n--; r.n < 0 {
		return 0, errDisk
	}
	return r.ReaderAt.ReadAt(b, off)
}

func TestEveryReadErrorIsReported(t *testing.T) {
	l := newLog(t, 1, 40000, 100000, 70, -200, 8, -500000, 9)
	for n := 0; ; n++ {
		r := &flakyReader{bytes.NewReader(l.Bytes()), n}
		rep, err := inspect.Verify(t.Context(), r, int64(l.Len()), nil)
		if r.n >= 0 {
			if err != nil || !rep.Sound() || n < 5 {
				t.Fatalf("%d reads: %v, %+v", n, err, rep)
			}
			return
		}
		if !errors.Is(err, errDisk) || errors.Is(err, stateio.ErrCorrupt) {
			t.Fatalf("read %d failed: %v", n, err)
		}
	}
}

func TestAnEpochToComeIsDamageWhereverItIs(t *testing.T) {
	var b bytes.Buffer
	lost := raw(t, &b, 1, 0, "lost")
	raw(t, &b, 1, 1<<40, "of an epoch to come")
	to := raw(t, &b, 2, 0, "state")
	b.Bytes()[lost+20] ^= 1
	only(t, b.Bytes(), 0, to, inspect.Obsolete)
}
