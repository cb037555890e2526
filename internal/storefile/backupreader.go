package storefile

import (
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

// A BackupReader reads a backup once, from its beginning to its end.
type BackupReader struct {
	path   string
	limit  int64
	log    *logio.Reader
	Header Header
	End    BackupEnd // of what was read
}

// NameOf returns the name of r, for errors.
func NameOf(r io.ReaderAt) string {
	if named, ok := r.(interface{ Name() string }); ok {
		return named.Name()
	}
	return "the file"
}

// OpenBackup reads the header of a backup.
func OpenBackup(r io.ReaderAt, limit int64) (*BackupReader, error) {
	b := &BackupReader{path: NameOf(r), limit: limit}
	h, err := HeaderOf(r, limit)
	switch {
	case err != nil && !errors.Is(err, ErrNoHeader):
		return nil, fmt.Errorf("store: reading %s: %w", b.path, Bare(err))
	case err != nil:
		return nil, Corrupt(b.path, 0, "%w: it is no backup, or its beginning is damaged", err)
	case h.Kind != BackupKind:
		return nil, Corrupt(b.path, 0, "it is a %v, and no backup", h.Kind)
	}
	b.Header = h
	b.log = logio.NewReader(io.NewSectionReader(r, 0, limit), 0)
	if _, err := b.log.Read(); err != nil {
		return nil, b.broken(err)
	}
	return b, nil
}

// HeaderOf returns the header that a file of a store, or a backup, begins with. The
// error is ErrNoHeader if there is none, ErrVersion, or one of reading.
func HeaderOf(r io.ReaderAt, limit int64) (Header, error) {
	first := logio.NewReader(io.NewSectionReader(r, 0, min(limit, record.BlockSize)), 0)
	p, err := first.Read()
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, logio.ErrCorrupted) || err == nil && first.Offset() != 0:
		return Header{}, ErrNoHeader
	case err != nil:
		return Header{}, err
	}
	return parseHeader(p)
}

// WriteTo writes the state to w. An error of b, for a state that is not whole, comes
// at the end.
func (b *BackupReader) WriteTo(w io.Writer) (n int64, err error) {
	state, err := b.log.Stream()
	if err != nil {
		return 0, b.broken(err)
	}
	var head [entry.HeadSize]byte
	if _, err := io.ReadFull(state, head[:]); err != nil {
		return 0, b.broken(err)
	}
	if h, _, _ := entry.Split(head[:]); h != (entry.Head{Kind: entry.Snapshot}) {
		return 0, b.corrupt("something other than the state follows the header")
	}
	at := b.log.Offset()
	var digest xxhash.Digest
	digest.Reset()
	buf := make([]byte, SnapBuffer)
	for {
		k, rerr := state.Read(buf)
		digest.Write(buf[:k])
		m, werr := w.Write(buf[:k])
		n += int64(m)
		switch {
		case werr != nil:
			return n, werr
		case rerr == io.EOF:
			return n, b.finish(at, EndOf(b.Header, n, digest.Sum64()))
		case rerr != nil:
			return n, b.broken(rerr)
		}
	}
}

// finish makes sure that the end of the backup follows, and nothing after it. The
// state is the entry at offset at.
func (b *BackupReader) finish(at int64, want BackupEnd) error {
	p, err := b.log.Read()
	if err != nil {
		return b.broken(err)
	}
	h, p, ok := entry.Split(p)
	got, isEnd := parseBackupEnd(p)
	switch {
	case !ok || h != (entry.Head{Kind: entry.Update, Epoch: uint64(at)}) || !isEnd:
		return b.corrupt("something other than the end of the backup follows the state")
	case got != want:
		return b.corrupt("the end of the backup is that of another state")
	}
	b.End = got
	last := b.log.Offset()
	size := int64(entry.HeadSize + backupEndSize)
	if end := record.Aligned(last) + record.EntrySize(record.Aligned(last), size); end != b.limit {
		return Corrupt(b.path, end, "%d bytes follow the end of the backup", b.limit-end)
	}
	return nil
}

// corrupt says what is wrong with the entry that was read last.
func (b *BackupReader) corrupt(format string, args ...any) error {
	return Corrupt(b.path, b.log.Offset(), format, args...)
}

// broken returns the error that says why the next entry could not be read.
func (b *BackupReader) broken(err error) error {
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return b.corrupt("the backup is not whole: its end is missing, so it was cut, or its writing was interrupted; make another, or copy it again")
	case errors.Is(err, logio.ErrCorrupted), errors.Is(err, logio.ErrTooLong):
		return b.corrupt("the backup is damaged here, or cut; make another, or copy it again")
	}
	return fmt.Errorf("store: reading %s: %w", b.path, err)
}
