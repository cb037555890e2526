package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Where the fields of the header stand in its entry, and the salt in a file.
const (
	versionAt  = 9 + 8
	kindAt     = versionAt + 2
	requiredAt = kindAt + 2
	optionalAt = requiredAt + 4
	baseAt     = optionalAt + 4 + 8 + 16
	saltAt     = 15 + baseAt + 8
)

// numbered returns an entry of kind update as it stands in file at its end, with
// valid checksums, whatever it holds. With a back of 0 it is the first of a commit.
func numbered(file []byte, index uint64, control bool, back uint32, payload []byte) []byte {
	v, first := index<<4, !control && back == 0
	if control {
		v |= 1
	}
	if first {
		v |= 2
	}
	head := make([]byte, 9, 29)
	head[0] = 1
	head = binary.LittleEndian.AppendUint64(head, binary.LittleEndian.Uint64(file[saltAt:])+v)
	head = binary.LittleEndian.AppendUint32(head, back)
	if first {
		head = binary.LittleEndian.AppendUint64(head, 1<<62) // after all that is there
	}
	return record.AppendEntry(nil, int64(len(file)), head, payload)
}

// retimed returns the first entry of a commit with another time.
func retimed(b []byte, at uint64) []byte {
	binary.LittleEndian.PutUint64(b[record.HeaderSize+21:], at)
	record.Seal(b, true, true, 0)
	return b
}

// backed returns an entry with another number of those of its commit before it.
func backed(b []byte, back uint32) []byte {
	binary.LittleEndian.PutUint32(b[record.HeaderSize+17:], back)
	record.Seal(b, true, true, 0)
	return b
}

// untimed is numbered for an entry without a time, whatever its place in the commit.
func untimed(file []byte, index uint64, back uint32) []byte {
	return backed(numbered(file, index, false, max(back, 1), []byte("x")), back)
}

// control returns the payload of a control entry.
func control(kind byte, count, digest uint64) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{kind}, count)
	return binary.LittleEndian.AppendUint64(b, digest)
}

// digestOf returns the digest of the records in file that its seal holds.
func digestOf(file []byte) (digest uint64) {
	for pos := 0; pos < len(file); {
		h := record.Decode(file[pos:])
		digest = (digest ^ uint64(h.Sum)) * 0x9E3779B185EBCA87
		pos += h.Size()
	}
	return digest
}

// Entries whose checksums are right, and which are not those that a store would
// have written there, end the log like any damage, and are told.
func TestWhatIsNotTheNextEntryEndsTheLog(t *testing.T) {
	const dir = "/forged"
	fl, _ := build(t, "/made", 2, 20, 30, killed)
	log := fl[log0][:headerLen+2*entryLen+20+30]
	raw := func(payload ...byte) []byte { return record.AppendEntry(nil, int64(len(log)), payload, nil) }
	wrongKind := numbered(log, 3, false, 0, []byte("x"))
	wrongKind[record.HeaderSize] = 2
	record.Seal(wrongKind, true, true, 0)
	// as makes b, a record, one of another place in its entry.
	as := func(b []byte, first, last bool, offset uint64) []byte {
		record.Seal(b, first, last, offset)
		return b
	}
	tagged := numbered(log, 4, false, 0, nil)
	noTag := append(as(bytes.Clone(tagged[:len(tagged)-9]), true, true, 0), 0)
	rest := numbered(log, 4, false, 1, []byte("x"))
	twice := numbered(log, 4, false, 1, []byte("x")) // the second one of a commit
	clear(twice[len(twice)-5 : len(twice)-1])        // where a sector that was lost held how many are before it
	next := func(payload string) []byte { return numbered(log, 3, false, 0, []byte(payload)) }
	first := func(payload string) []byte { return as(next(payload), true, false, 0) }
	for _, tt := range []struct {
		name    string
		entry   []byte
		updates uint64
		torn    string // the reason
		corrupt string
	}{
		{"the next one", numbered(log, 3, false, 0, []byte("x")), 3, "", ""},
		{"the next one of the commit before", numbered(log, 3, false, 1, []byte("x")), 3, "", ""},
		{"one of another commit", numbered(log, 3, false, 7, []byte("x")), 2, "an entry of another commit", ""},
		{"the last one again", numbered(log, 2, false, 0, []byte("x")), 2, "an entry that is not the one of update 3", ""},
		{"the one after the next, of the same commit", numbered(log, 4, false, 1, []byte("x")), 2, "an entry that is not the one of update 3", ""},
		{"the one after the next", numbered(log, 4, false, 0, []byte("x")), 0, "", "an entry that is not the one of update 3, where update 3 should be: the commit of update 4 at offset 230 shows that it was durable"},
		{"one far away", numbered(log, 3+1<<40, false, 0, []byte("x")), 0, "", "shows that it was durable"},
		{"the one after the next, empty", tagged, 0, "", "the commit of update 4"},
		{"the second one of the commit after the next", numbered(log, 5, false, 1, []byte("x")), 0, "", "the commit of update 4 at offset 230"},
		{"the rest of the next commit, and one of another", slices.Concat(rest, numbered(slices.Concat(log, rest), 5, false, 0, nil)), 0, "", "the commit of update 5 at offset 267"},
		{"one too far away", numbered(log, 4+1<<40, false, 0, []byte("x")), 2, "an entry that is not the one of update 3", ""},
		{"the one after the next, without all of its tag", noTag, 2, "an entry of another kind than a store writes", ""},
		{"the same, up to the end of the file", noTag[:len(noTag)-1], 2, "an entry of another kind than a store writes", ""},
		{"the one after the next, torn", twice, 2, "no valid record", ""},
		{"the one after the next, inside of another", as(numbered(log, 4, false, 0, []byte("x")), false, true, 50), 2, "a LAST record where an entry should begin", ""},
		{"a snapshot", wrongKind, 2, "an entry of another kind than a store writes", ""},
		{"one too short for a tag", raw(1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3), 2, "an entry of another kind than a store writes", ""},
		{"one too short for an entry", raw(1, 0, 0), 2, "an entry of another kind than a store writes", ""},
		{"a record of the middle", as(next("x"), false, false, 0), 2, "a MIDDLE record where an entry should begin", ""},
		{"a record of the end", as(next("x"), false, true, 0), 2, "a LAST record where an entry should begin", ""},
		{"a record of further on", as(next("x"), true, true, 37), 2, "a FULL record where an entry should begin", ""},
		{"the begin of one", first("x"), 2, "an entry that the file ends in", ""},
		{"the begin of one, and one", slices.Concat(first("x"), as(next("y"), true, true, 37)), 2, "an entry that breaks off", ""},
		{"the begin of one, and the end of another", slices.Concat(first("x"), as(next("y"), false, true, 36)), 2, "an entry that breaks off", ""},
		{"the begin of one, and no valid record", slices.Concat(first("x"), []byte("no record, but more bytes than a header has")), 2, "no valid record", ""},
		{"one of two records without a sum", slices.Concat(first(""), as(make([]byte, record.HeaderSize+7), false, true, 44)), 2, "an entry of another kind than a store writes", ""},
		{"a short control entry", numbered(log, 3, true, 0, []byte{1}), 0, "", "a control entry that does not belong there"},
		{"a control entry of a later version", numbered(log, 3, true, 0, control(9, 2, 0)), 0, "", "a control entry of kind 9 at offset 230, which this program does not know: use a newer one"},
		{"a trailer", numbered(log, 3, true, 0, control(2, 2, 0)), 0, "", "a control entry that does not belong there"},
		{"an empty control entry", numbered(log, 3, true, 0, nil), 0, "", "a control entry that does not belong there"},
		{"one of an earlier time", retimed(numbered(log, 3, false, 0, []byte("x")), 1), 0, "", "is older than the one before"},
		{"the first of a commit without a time", untimed(log, 3, 0), 2, "an entry of another commit", ""},
		{"a further one with a time", backed(numbered(log, 3, false, 0, []byte("x")), 1), 2, "an entry of another commit", ""},
		{"a seal of more updates", numbered(log, 3, true, 0, control(1, 3, digestOf(log))), 0, "", "the seal is that of other updates than the 2 that are there"},
		{"a seal of others", numbered(log, 3, true, 0, control(1, 2, 5)), 0, "", "the seal is that of other updates than the 2 that are there"},
	} {
		unmount := storefs.Mount(dir, files{log0: slices.Concat(log, tt.entry)}.mem(t, dir))
		m := &plainMachine{}
		s, err := store.Open(dir, m, quiet(nil))
		switch {
		case strings.Contains(tt.corrupt, "use a newer one"):
			if !errors.Is(err, store.ErrVersion) || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), tt.corrupt) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.corrupt)
			}
		case tt.corrupt != "":
			var damage *store.CorruptError
			if !errors.As(err, &damage) || damage.Offset != int64(len(log)) || !strings.Contains(err.Error(), tt.corrupt) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.corrupt)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		default:
			r := s.Recovery()
			torn := int64(0)
			if tt.torn != "" {
				torn = int64(len(bytes.TrimRight(tt.entry, "\x00"))) // zeros are a clean end
			}
			if r.Updates != tt.updates || r.TornReason != tt.torn || r.TornBytes != torn {
				t.Errorf("%s: %d updates, torn %d for %q, want %d, %d for %q", tt.name, r.Updates, r.TornBytes, r.TornReason, tt.updates, torn, tt.torn)
			}
			s.Close()
		}
		unmount()
	}
}

// A file whose first entry is no header of a store's file, or that of another
// file, is refused.
func TestWhatIsNotTheHeaderIsRefused(t *testing.T) {
	const dir = "/header"
	fl, _ := build(t, "/made", 2, 20)
	log := fl[log0]
	header := log[record.HeaderSize:headerLen]
	with := func(at int, b ...byte) []byte { return replace(header, at, b) }
	const none = "it does not begin with the header of a store's file"
	for what, tt := range map[string]struct {
		header []byte
		want   string
	}{
		"an update":          {with(0, 1), none},
		"an epoch":           {with(1, 1), none},
		"other magic":        {with(9, 'S'), none},
		"a shorter one":      {header[:len(header)-1], none},
		"one without a kind": {header[:kindAt], none},
		"nearly nothing":     {header[:versionAt+1], none},
		"a snapshot":         {with(kindAt, 'S'), "it is a snapshot under the name of a log"},
		"an unknown kind":    {with(kindAt, 'X'), "it is a unknown kind 88 under the name of a log"},
		"another base":       {with(baseAt, 3), "it is the log of index 3 under the name of another"},
		"a later version":    {with(versionAt, 2), "it has format version 2, and this program knows version 1: use a newer one"},
		"an early version":   {with(versionAt, 0), "it has format version 0, and this program knows version 1: no released program has written it"},
		"a required feature": {with(requiredAt+3, 0x40), "it needs features that this program does not know (bits 0x40000000): use a newer one"},
		"a later, short one": {with(versionAt, 2)[:kindAt], "it has format version 2"},
	} {
		file := record.AppendEntry(nil, 0, tt.header, nil)
		unmount := storefs.Mount(dir, files{log0: append(file, log[headerLen:]...)}.mem(t, dir))
		_, err := store.Open(dir, &plainMachine{}, quiet(nil))
		unmount()
		var damage *store.CorruptError
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &damage) == errors.Is(err, store.ErrVersion) || damage != nil && damage.Offset != 0 {
			t.Errorf("%s: %v, want %q", what, err, tt.want)
		}
	}
}

// Later versions may append to a header, and set optional features.
func TestALongerHeaderIsRead(t *testing.T) {
	const dir = "/longer"
	fl, _ := build(t, "/made", 2, 20)
	header := append(replace(fl[log0][record.HeaderSize:headerLen], optionalAt, []byte{1, 2, 3, 4}), "more"...)
	log := record.AppendEntry(nil, 0, header, nil)
	log = append(log, numbered(log, 1, false, 0, []byte("one"))...)
	mount(t, dir, files{log0: log}.mem(t, dir))
	wantUpdates(t, dir, "one")
}

// A snapshot of chunks that are whole, but not those in order up to its trailer,
// is not used.
func TestWhatIsNotTheNextChunkIsRefused(t *testing.T) {
	const dir = "/chunks"
	fl, _ := build(t, "/made", 2, 20, snapshot, 30)
	whole := fl[snap1]
	body := whole[:len(whole)-sealLen]
	trailer := whole[len(whole)-17:]
	as := func(b []byte) []byte { return slices.Concat(body, numbered(body, 2, true, 0, b)) }
	short := numbered(whole[:headerLen], 1, false, 0, []byte("x"))
	chunk := func(index uint64) []byte { return untimed(body, index, 0) }
	short[record.HeaderSize] = 2
	record.Seal(short, true, true, 0)
	for _, tt := range []struct {
		name string
		file []byte
		at   int // the offset that is told
		want string
	}{
		{"no trailer", body, len(body), "the end is missing"},
		{"nothing", whole[:headerLen], headerLen, "the end is missing"},
		{"the first chunk again", slices.Concat(body, chunk(1)), len(body), "an entry that is not chunk 2"},
		{"a chunk missing", slices.Concat(body, chunk(3)), len(body), "an entry that is not chunk 2"},
		{"a chunk with a time", slices.Concat(body, numbered(body, 2, false, 0, []byte("x"))), len(body), "an entry that is not chunk 2"},
		{"another kind of entry", slices.Concat(whole[:headerLen], short), headerLen, "an entry of another kind than a store writes"},
		{"a seal", as(replace(trailer, 0, []byte{1})), len(body), "a control entry that does not belong there"},
		{"a short trailer", as([]byte{2}), len(body), "a control entry that does not belong there"},
		{"a trailer of other size", as(replace(trailer, 1, []byte{^trailer[1]})), len(body), "a trailer of other content"},
		{"the trailer of another state", as(replace(trailer, 9, []byte{^trailer[9]})), len(body), "a trailer of other content"},
		{"more after the trailer", slices.Concat(whole, []byte{0}), len(whole), ": 1 bytes too many"},
		{"damage", replace(whole, headerLen, []byte{^whole[headerLen]}), headerLen, "no valid record"},
	} {
		fl[snap1] = tt.file
		unmount := storefs.Mount(dir, fl.mem(t, dir))
		s, err := store.Open(dir, &plainMachine{}, quiet(nil))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			unmount()
			continue
		}
		r := s.Recovery()
		var damage *store.CorruptError
		if len(r.Refused) != 1 || !errors.As(r.Refused[0].Err, &damage) || damage.Offset != int64(tt.at) || !strings.Contains(damage.Error(), tt.want) || r.Snapshot != "" || r.Updates != 2 {
			t.Errorf("%s: %v, want it refused for %q", tt.name, r, tt.want)
		}
		s.Close()
		unmount()
	}
}

// A log that is sealed without updates leads to itself.
func TestALogThatLeadsToItselfIsRefused(t *testing.T) {
	const dir = "/r11"
	fl, _ := build(t, "/made", 2, killed)
	log := fl[log0][:headerLen]
	fl[log0] = append(bytes.Clone(log), numbered(log, 1, true, 0, control(1, 0, digestOf(log)))...)
	f := faultfs.New(fl.mem(t, dir))
	mount(t, dir, f)
	_, err := boundedRead(t, f, dir, 1)
	wantIs(t, err, store.ErrCorrupt)
	_, err = store.Open(dir, &journal{}, quiet(nil))
	wantIs(t, err, store.ErrCorrupt)
	if got := checked(t, fl); !strings.Contains(got, "damage") {
		t.Errorf("Check finds nothing: %s", got)
	}
}
