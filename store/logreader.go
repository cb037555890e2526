package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/fsys"
)

// A logReader reads the updates of one log in order, and makes sure that they
// are those that were written there: none missing, none doubled, none foreign.
type logReader struct {
	*entries
	hdr    header
	index  uint64 // of the last update read
	sealed bool   // the log's seal was read
	// end is where the part of the log ends that was read and found right.
	end       int64
	endDigest logDigest
	back      uint32 // entries in the current batch so far
	skipped   bool   // some of the log, because it is damaged
}

// newLogReader reads the header of the log in the first limit bytes of f.
func newLogReader(f fsys.File, path string, base uint64, limit int64) (*logReader, error) {
	r := &logReader{entries: newEntries(f, path, 0, limit)}
	h, err := readHeader(r.entries, logKind, base)
	if err != nil {
		r.close()
		return nil, err
	}
	r.hdr, r.index = h, base
	r.end, r.endDigest = r.pos, r.digest
	return r, nil
}

// resume continues at the end of what was read; the file may have grown.
func (r *logReader) resume(limit int64) {
	e := newEntries(r.f, r.path, r.end, limit)
	e.digest, e.spill = r.endDigest, r.spill
	r.close()
	r.entries = e
}

// readHeader reads the header of a file whose name says its kind and base.
func readHeader(e *entries, k kind, base uint64) (header, error) {
	b, err := e.next()
	if err == io.EOF || errors.Is(err, errStop) {
		return header{}, corrupt(e.path, 0, "the header is damaged or missing")
	}
	if err != nil {
		return header{}, err
	}
	h, err := parseHeader(b)
	switch {
	case errors.Is(err, ErrVersion):
		return h, fmt.Errorf("store: %s: %w", e.path, err)
	case err != nil:
		return h, corrupt(e.path, 0, "%w", err)
	case h.kind != k && (h.kind != importKind || k != logKind || base != 0):
		return h, corrupt(e.path, 0, "it is a %v under the name of a %v", h.kind, k)
	case h.base != base:
		return h, corrupt(e.path, 0, "it is the %v of index %d under the name of another", h.kind, h.base)
	}
	return h, nil
}

// next returns the next update, which is valid until the next call; its index
// is r.index. The error is io.EOF behind the seal, and errStop where what follows
// is not the next entry: the log's end, or damage. Then only resume goes on.
func (r *logReader) next() ([]byte, error) {
	update, err := r.step()
	if err == io.EOF {
		return nil, r.stop(r.pos, "the end of the file")
	}
	if err != nil {
		return nil, err
	}
	r.end, r.endDigest = r.pos, r.digest
	if r.sealed {
		return nil, io.EOF
	}
	return update, nil
}

// step reads one entry and checks that it is the one that should be there. It
// returns the update, or nil for a seal.
func (r *logReader) step() ([]byte, error) {
	before := r.digest
	b, err := r.entries.next()
	if err != nil {
		return nil, err
	}
	t, payload, err := parseFramed(b, r.hdr.salt, r.span)
	if err != nil {
		return nil, r.stop(r.off, "%v", err)
	}
	if t.index != r.index+1 {
		return nil, r.stop(r.off, "an entry that is not the one of update %d", r.index+1)
	}
	if t.control {
		return nil, r.control(payload, before)
	}
	if t.back != 0 && t.back != r.back {
		return nil, r.stop(r.off, "an entry of another commit")
	}
	r.back = t.back + 1
	r.index++
	return payload, nil
}

// control takes note of a control entry, which is a seal.
func (r *logReader) control(payload []byte, before logDigest) error {
	c, ok := parseControl(payload)
	switch {
	case !ok:
		return r.stop(r.off, "a control entry of unknown kind")
	case c.kind != seal:
		return r.stop(r.off, "a control entry of unknown kind %d", c.kind)
	case c.count != r.index-r.hdr.base || c.digest != uint64(before) && !r.skipped:
		// It is whole, so no crash has torn it.
		return corrupt(r.path, r.off, "the seal is that of other updates than the %d that are there", r.index-r.hdr.base)
	}
	r.sealed = true
	return nil
}
