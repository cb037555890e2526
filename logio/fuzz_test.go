package logio_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/logio"
)

// entryAt decodes the entry at offset off of a log by the book, without the
// package under test.
func entryAt(file []byte, off int64) (data []byte, end int64, ok bool) {
	for pos := off; pos < int64(len(file)); {
		b := file[pos:min(int64(len(file)), pos-pos%block+block)]
		if len(b) < 15 {
			return nil, 0, false
		}
		kind, n := b[4], int(binary.LittleEndian.Uint16(b[5:]))
		if n > len(b)-15 || uint32(xxhash.Sum64(b[4:15+n])) != binary.LittleEndian.Uint32(b) ||
			binary.LittleEndian.Uint64(b[7:]) != uint64(pos-off) ||
			(kind == 1 || kind == 2) != (pos == off) || kind == 0 || kind > 4 {
			return nil, 0, false
		}
		data = append(data, b[15:15+n]...)
		pos += int64(15 + n)
		if kind == 1 || kind == 4 {
			return data, pos, true
		}
		if left := block - pos%block; left <= 15 {
			pos += left
		}
	}
	return nil, 0, false
}

// addLogs adds logs of several shapes to the seeds, nested ones among them.
func addLogs(add func(file []byte)) {
	var nested []byte
	for len(nested) < 500 {
		nested = appendRecord(nested, 1, 0, []byte("INJECTED"))
	}
	small := (&model{}).add([]byte("one"), []byte("two"), bytesOf(1, 100), nested)
	large := (&model{}).add(bytes.Repeat([]byte("x"), block-100), []byte("two"), bytes.Repeat([]byte("y"), block))
	for _, m := range []*model{{}, small, large} {
		add(m.file)
		add(append(bytes.Clone(m.file), make([]byte, 50)...))
		if n := len(m.file); n > 0 {
			add(m.file[:n-3])
			damaged := bytes.Clone(m.file)
			damaged[n/2] ^= 8
			add(damaged)
		}
	}
	add(appendRecord(small.file, 9, 0, nil))
	add(appendRecord(nil, 4, block, []byte("LAST")))
}

// Whatever a log's bytes are: each entry read is one that stands there, they
// come in order, and how the source cuts its reads makes no difference.
func FuzzReader(f *testing.F) {
	addLogs(func(file []byte) { f.Add(file, uint16(0)) })
	f.Fuzz(func(t *testing.T, file []byte, from uint16) {
		off := min(int64(from), int64(len(file)))
		r := logio.NewReader(bytes.NewReader(file[off:]), off)
		slow := logio.NewReader(iotest.OneByteReader(bytes.NewReader(file[off:])), off)
		end := off
		for {
			b, err := r.Read()
			sb, serr := slow.Read()
			if !bytes.Equal(b, sb) || err != serr || r.Offset() != slow.Offset() {
				t.Fatalf("byte by byte: %d bytes, %v at %d instead of %d, %v at %d", len(sb), serr, slow.Offset(), len(b), err, r.Offset())
			}
			switch err {
			case io.EOF:
				return
			case nil:
				data, next, ok := entryAt(file, r.Offset())
				if !ok || !bytes.Equal(data, b) || r.Offset() < end {
					t.Fatalf("no such entry of %d bytes stands at %d, %d or after", len(b), r.Offset(), end)
				}
				end = next
			case logio.ErrCorrupted:
			default:
				t.Fatal(err)
			}
		}
	})
}

// Whatever a log's bytes are: Rewind returns an entry that stands there, whole
// before the limit, and no earlier one than is found by reading each block from
// its start.
func FuzzRewind(f *testing.F) {
	addLogs(func(file []byte) { f.Add(file, uint32(len(file))) })
	f.Fuzz(func(t *testing.T, file []byte, upTo uint32) {
		limit := min(int64(upTo), int64(len(file)))
		off, err := logio.Rewind(bytes.NewReader(file), limit)
		last := int64(-1)
		for pos := int64(0); pos < limit; {
			data, end, ok := entryAt(file[:limit], pos)
			if !ok {
				pos += block - pos%block
				continue
			}
			if len(data) > 0 {
				last = pos
			}
			if pos = end; block-pos%block <= 15 {
				pos += block - pos%block
			}
		}
		if err == io.EOF && last < 0 {
			return
		}
		if err != nil || off < last {
			t.Fatalf("got %d, %v; an entry starts at %d", off, err, last)
		}
		if _, end, ok := entryAt(file[:limit], off); !ok || end > limit {
			t.Fatalf("no entry starts at %d", off)
		}
	})
}

// What is written, at once or as a stream, is the format's, and is read back.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("some data"), uint16(3), uint16(20))
	f.Add([]byte{}, uint16(block-16), uint16(1))
	f.Add([]byte("x"), uint16(block-15), uint16(0xffff))
	f.Add(bytes.Repeat([]byte("long"), 10_000), uint16(5), uint16(block-31))
	f.Fuzz(func(t *testing.T, data []byte, lead, size uint16) {
		m := &model{}
		for _, e := range [][]byte{bytes.Repeat([]byte{1}, int(lead)), data, bytes.Repeat([]byte{2}, int(size)), data} {
			if len(e) > 0 {
				m.add(e)
			}
		}
		var got calls
		w := logio.NewWriter(&got, 0)
		for i, e := range m.entries {
			if i%2 == 0 {
				if err := w.Append(e.data); err != nil {
					t.Fatal(err)
				}
			} else if _, err := w.AppendFrom(bytes.NewReader(e.data)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.bytes(), m.file) {
			t.Fatal("the log is not the format's")
		}
		expect(t, m.file, 0, m.datas(0)...)
	})
}
