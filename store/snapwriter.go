package store

import (
	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
)

// snapBuffer is how much of a snapshot is written at once, in bytes.
const snapBuffer = 4 * record.BlockSize

// A snapWriter writes a snapshot in chunks, each one record that fills its
// block. The memory it needs does not depend on the snapshot's size.
type snapWriter struct {
	s      *Store
	f      fsys.File
	hdr    header
	off    int64  // in the file, of what is in out
	out    []byte // records not written yet
	part   []byte // of the next chunk
	chunk  uint64 // number of the last one
	bytes  uint64 // of the state
	digest xxhash.Digest
	synced int64 // offset up to which the file was synced
	pace   *pacer
	err    error // the first one, final
}

func newSnapWriter(s *Store, f fsys.File, index uint64) *snapWriter {
	w := &snapWriter{s: s, f: f, hdr: header{kind: snapKind, store: s.id, base: index, salt: newSalt()}, pace: newPacer(s)}
	w.out = w.hdr.appendTo(make([]byte, 0, record.BlockSize))
	w.digest.Reset()
	return w
}

// Write implements io.Writer. The first error is final.
func (w *snapWriter) Write(p []byte) (n int, err error) {
	for w.err == nil && n < len(p) {
		end := w.off + int64(len(w.out))
		room := record.BlockSize - int(record.Aligned(end)%record.BlockSize) - record.HeaderSize - frameSize
		if len(w.part) == 0 && len(p)-n >= room {
			w.append(p[n:n+room], false)
			n += room
			continue
		}
		k := min(room-len(w.part), len(p)-n)
		w.part = append(w.part, p[n:n+k]...)
		n += k
		if len(w.part) == room {
			w.append(w.part, false)
			w.part = w.part[:0]
		}
	}
	return n, w.err
}

// append appends one chunk, or the trailer.
func (w *snapWriter) append(payload []byte, ctl bool) {
	w.out = appendFramed(w.out, w.off+int64(len(w.out)), w.hdr.salt, tag{index: w.chunk + 1, control: ctl}, payload)
	if !ctl {
		w.chunk++
		w.bytes += uint64(len(payload))
		w.digest.Write(payload)
	}
	if len(w.out) >= snapBuffer {
		w.flush()
	}
}

// flush writes what is buffered.
func (w *snapWriter) flush() {
	if w.err = w.s.givenUp(); w.err != nil {
		return
	}
	_, err := w.f.WriteAt(w.out, w.off)
	w.off += int64(len(w.out))
	w.out = w.out[:0]
	if err == nil && w.off-w.synced >= paceBytes {
		w.synced = w.off
		err = w.f.Datasync()
		w.pace.pause()
	}
	w.err = w.s.wrap("writing a snapshot", err)
}

// finish writes what is left and the trailer, and syncs the file.
func (w *snapWriter) finish() error {
	if w.err == nil && len(w.part) > 0 {
		w.append(w.part, false)
	}
	if w.err == nil {
		w.append(control{kind: trailer, count: w.bytes, digest: w.digest.Sum64()}.encode(), true)
	}
	if w.err == nil && len(w.out) > 0 {
		w.flush()
	}
	if w.err == nil {
		w.err = w.s.wrap("writing a snapshot", w.f.Sync())
	}
	return w.err
}
