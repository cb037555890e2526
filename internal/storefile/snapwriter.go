package storefile

import (
	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/record"
)

// SnapBuffer is how much of a snapshot is written at once, in bytes.
const SnapBuffer = 4 * record.BlockSize

// A SnapWriter lays a snapshot out in chunks, each one record that fills its
// block. The memory it needs does not depend on the snapshot's size.
type SnapWriter struct {
	hdr    Header
	write  func(b []byte, off int64) error // writes to the file at off; does not keep b
	Off    int64                           // in the file, of what is in out
	out    []byte                          // records not written yet
	part   []byte                          // of the next chunk
	chunk  uint64                          // number of the last one
	bytes  uint64                          // of the state
	Digest xxhash.Digest
	Err    error // the first one, final
}

// NewSnapWriter returns the layout of a snapshot with header h, which write writes.
func NewSnapWriter(h Header, write func(b []byte, off int64) error) *SnapWriter {
	w := &SnapWriter{hdr: h, write: write}
	w.out = h.AppendTo(make([]byte, 0, record.BlockSize))
	w.Digest.Reset()
	return w
}

// Write implements io.Writer. The first error is final.
func (w *SnapWriter) Write(p []byte) (n int, err error) {
	for w.Err == nil && n < len(p) {
		end := w.Off + int64(len(w.out))
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
	return n, w.Err
}

// append appends one chunk, or the trailer.
func (w *SnapWriter) append(payload []byte, ctl bool) {
	w.out = AppendEntry(w.out, w.Off+int64(len(w.out)), w.hdr.Salt, Tag{Index: w.chunk + 1, Control: ctl}, payload)
	if !ctl {
		w.chunk++
		w.bytes += uint64(len(payload))
		w.Digest.Write(payload)
	}
	if len(w.out) >= SnapBuffer {
		w.flush()
	}
}

// flush writes what is buffered.
func (w *SnapWriter) flush() {
	w.Err = w.write(w.out, w.Off)
	w.Off += int64(len(w.out))
	w.out = w.out[:0]
}

// Finish writes what is left, and the trailer.
func (w *SnapWriter) Finish() error {
	if w.Err == nil && len(w.part) > 0 {
		w.append(w.part, false)
	}
	if w.Err == nil {
		w.append(Control{Kind: trailer, Count: w.bytes, Digest: w.Digest.Sum64()}.Encode(), true)
	}
	if w.Err == nil && len(w.out) > 0 {
		w.flush()
	}
	return w.Err
}
