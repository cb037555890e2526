package stateio_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio"
)

// entryAt decodes the entry of a state file at offset off by the book, without
// the packages under test.
func entryAt(file []byte, off int64) (kind byte, epoch uint64, data []byte, ok bool) {
	if off < 0 {
		return 0, 0, nil, false
	}
	for pos := off; pos < int64(len(file)); {
		b := file[pos:min(int64(len(file)), pos-pos%block+block)]
		h, n := recordAt(b)
		if h == 0 || h > 4 || binary.LittleEndian.Uint64(b[7:]) != uint64(pos-off) || (h < 3) != (pos == off) {
			return 0, 0, nil, false
		}
		data = append(data, b[15:n]...)
		pos += int64(n)
		if h == 1 || h == 4 {
			if len(data) < 9 {
				return 0, 0, nil, false
			}
			return data[0], binary.LittleEndian.Uint64(data[1:]), data[9:], true
		}
		if left := block - pos%block; left <= 15 {
			pos += left
		}
	}
	return 0, 0, nil, false
}

// recordAt returns the type and the size of the valid record at the start of b,
// or 0.
func recordAt(b []byte) (kind byte, size int) {
	if len(b) < 15 {
		return 0, 0
	}
	n := 15 + int(binary.LittleEndian.Uint16(b[5:]))
	if n > len(b) || uint32(xxhash.Sum64(b[4:n])) != binary.LittleEndian.Uint32(b) {
		return 0, 0
	}
	return b[4], n
}

// addFiles adds state files of several shapes to the seeds.
func addFiles(add func(file []byte)) {
	models := []*model{
		{},
		(&model{}).update([]byte("one")).snapshot([]byte("state")).update([]byte("two")),
		nestedUpdate(),
		(&model{}).snapshot(nestedPayload(0, 600, 64)).update(nestedPayload(640, 300, 16)),
		(&model{}).update(bytes.Repeat([]byte("x"), block-200)).snapshot(bytes.Repeat([]byte("y"), 300)).update(nil),
	}
	for _, m := range models {
		add(m.file)
		add(append(bytes.Clone(m.file), make([]byte, 50)...))
		if n := len(m.file); n > 0 {
			add(m.file[:n-3])
			damaged := bytes.Clone(m.file)
			damaged[n/2] ^= 8
			add(damaged)
		}
	}
	add([]byte("no state file"))
}

// Whatever a file's bytes are: a state and updates that are restored, of any
// epoch, stand there as entries of that epoch, and errors say what they are.
func FuzzRestore(f *testing.F) {
	addFiles(func(file []byte) { f.Add(file, uint32(len(file))) })
	f.Fuzz(func(t *testing.T, file []byte, upTo uint32) {
		limit := min(int64(upTo), int64(len(file)))
		r := bytes.NewReader(file)
		check := func(epoch uint64, state []byte, updates *stateio.Reader) {
			t.Helper()
			kind, _, data, ok := entryAt(file[:limit], int64(epoch))
			if (state != nil || epoch != 0) && (!ok || kind != 2 || !bytes.Equal(data, state)) {
				t.Fatalf("no snapshot of %d bytes stands at %d", len(state), epoch)
			}
			last := int64(epoch) - 1
			for u, err := range updates.All() {
				if err != nil {
					if !errors.Is(err, stateio.ErrCorrupt) {
						t.Fatal(err)
					}
					return
				}
				at := updates.Offset()
				kind, e, data, ok := entryAt(file[:limit], at)
				if !ok || kind != 1 || e != epoch || at <= last || !bytes.Equal(u, data) {
					t.Fatalf("no update of %d bytes in epoch %d stands at %d, after %d", len(u), epoch, at, last)
				}
				last = at
			}
			if _, err := updates.Read(); err != io.EOF {
				t.Fatal(err)
			}
		}
		state, epoch, updates, err := stateio.Restore(r, limit)
		if err == nil {
			check(epoch, state, updates)
		} else if !errors.Is(err, stateio.ErrCorrupt) {
			t.Fatal(err)
		}
		for e, err := range stateio.Epochs(r, limit) {
			if err != nil {
				if !errors.Is(err, stateio.ErrCorrupt) {
					t.Fatal(err)
				}
				continue
			}
			state, updates, err := stateio.RestoreEpoch(r, limit, e.Offset)
			if err != nil {
				t.Fatalf("epoch %d is listed, but: %v", e.Offset, err)
			}
			check(e.Offset, state, updates)
		}
	})
}

// What is written is the format's, and restores.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("some data"), uint16(0b101), uint16(10))
	f.Add([]byte{}, uint16(0), uint16(block-24))
	f.Add(bytes.Repeat([]byte("long"), 10_000), uint16(0xffff), uint16(block-40))
	f.Fuzz(func(t *testing.T, data []byte, kinds, lead uint16) {
		m := &model{}
		var got bytes.Buffer
		w := stateio.NewWriter(&got, 0, 0)
		for i, payload := range [][]byte{make([]byte, lead), data, nil, data[len(data)/2:], data[:len(data)/3]} {
			write := w.Update
			if kinds>>i&1 == 1 {
				write = w.Snapshot
			}
			m.entry(kinds>>i&1 == 1, payload)
			if err := write(payload); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.Bytes(), m.file) {
			t.Fatal("the file is not the format's")
		}
		if err := m.compare(bytes.NewReader(m.file), int64(len(m.file))); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever follows the acknowledged entries: they are there, or the file is
// refused unchanged; and it is not refused if what follows holds no valid record
// at all.
func FuzzTail(f *testing.F) {
	next := (&model{}).update([]byte("acked")).update(nestedPayload(64, 500, 16))
	f.Add(uint16(5), []byte("torn"))
	f.Add(uint16(5), next.file[next.ops[1].start:next.ops[1].end-7])
	f.Add(uint16(5), next.file[next.ops[1].start+100:])
	f.Add(uint16(block-24-3), make([]byte, 40))
	f.Add(uint16(block-24-16), append(make([]byte, 40), "garbage"...))
	f.Add(uint16(block-24-200), append(next.file[next.ops[1].start:next.ops[1].start+180], make([]byte, 200)...))
	file := tempFile(f, nil)
	f.Fuzz(func(t *testing.T, size uint16, tail []byte) {
		m := (&model{}).snapshot([]byte("state")).update(make([]byte, size))
		all := append(bytes.Clone(m.file), tail...)
		fill(t, file, all)
		w, err := stateio.NewFileWriter(file)
		got := content(t, file)
		valid := false
		for pos := len(m.file); pos < len(all); pos++ {
			if kind, _ := recordAt(all[pos:min(len(all), pos-pos%block+block)]); kind != 0 {
				valid = true
			}
		}
		if err != nil {
			if !valid || !errors.Is(err, stateio.ErrCorrupt) || !bytes.Equal(got, all) {
				t.Fatalf("valid records after: %v, file unchanged: %v, %v", valid, bytes.Equal(got, all), err)
			}
			return
		}
		if !valid && len(got) != len(m.file) || !bytes.HasPrefix(all, got) || len(got) < len(m.file) {
			t.Fatalf("of %d acknowledged bytes and %d more, %d are left", len(m.file), len(tail), len(got))
		}
		if err := w.Update([]byte("afterwards")); err != nil {
			t.Fatal(err)
		}
		if len(got) == len(m.file) {
			if err := m.update([]byte("afterwards")).compare(file, int64(len(m.file))); err != nil {
				t.Fatal(err)
			}
		}
	})
}
