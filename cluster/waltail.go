package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// raft-wal 0.4.1 does not find its way through every power cut:
//
//   - A crash between the last entry of a file and the note in the database that the
//     file is full leaves a log that refuses all entries from then on, kill -9, too.
//   - If the power fails while the index of a full file is written, raft-wal takes the
//     file for full. When the end of the log is deleted then, it reads that index, and
//     what was acknowledged in the file is gone.
//   - What a write that failed has left after the end can look like entries; then
//     raft-wal does not verify the batch before it.
//   - Nothing is synced when the log is opened. What a process had written when it was
//     killed is taken for durable, the names of files, too.
//
// So this node reads the last file first, wipes out what was not acknowledged, syncs
// the rest, and notes that a file is full; only then does raft-wal see it.

// walParts are what a log of raft-wal's is made of.
type walParts struct {
	files   types.VFS
	syncDir func(dir string) error
	meta    types.MetaStore
}

// openWAL opens raft-wal's log in dir, after putting it in order.
func openWAL(dir string, p walParts, segmentBytes int, log hclog.Logger) (*wal.WAL, error) {
	files := walFS{p.files, p.syncDir}
	w, err := wal.Open(dir, wal.WithLogger(log), wal.WithSegmentSize(segmentBytes),
		wal.WithSegmentFiler(segment.NewFiler(dir, files)), wal.WithMetaStore(&walMeta{p.meta, files}))
	if err != nil {
		// raft-wal leaves its database open, and locked against the next try.
		return nil, errors.Join(err, p.meta.Close())
	}
	return w, nil
}

// A walFS is raft-wal's file system, but a file that is opened for writing keeps its
// name: raft-wal does not try again when the directory could not be synced.
type walFS struct {
	types.VFS
	syncDir func(dir string) error
}

// Create implements types.VFS.
func (v walFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := v.VFS.Create(dir, name, size)
	return v.named(dir, f, err)
}

// OpenWriter implements types.VFS.
func (v walFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := v.VFS.OpenWriter(dir, name)
	return v.named(dir, f, err)
}

func (v walFS) named(dir string, f types.WritableFile, err error) (types.WritableFile, error) {
	if err != nil {
		return nil, err
	}
	if err := v.syncDir(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// A walMeta is raft-wal's database, and puts the last file in order before raft-wal
// learns of it.
type walMeta struct {
	types.MetaStore
	files types.VFS
}

// Load implements types.MetaStore.
func (m *walMeta) Load(dir string) (types.PersistentState, error) {
	state, err := m.MetaStore.Load(dir)
	if err == nil {
		err = checkKnown(dir, m.files, state.NextSegmentID)
	}
	if err != nil || len(state.Segments) == 0 {
		return state, err
	}
	last := &state.Segments[len(state.Segments)-1]
	if last.Codec != wal.CodecBinaryV1 {
		return state, nil // of a later raft-wal: this one says so
	}
	var t walTail
	if last.SealTime.IsZero() {
		t, err = m.tidy(dir, segment.FileName(*last), last.BaseIndex)
	}
	if err != nil {
		return state, err
	}
	if t.index > 0 {
		last.SealTime, last.MaxIndex, last.IndexStart = time.Now(), last.BaseIndex+t.entries-1, uint64(t.index)
		state.Segments = append(state.Segments, types.SegmentInfo{
			ID: state.NextSegmentID, BaseIndex: last.MaxIndex + 1, MinIndex: last.MaxIndex + 1,
			Codec: last.Codec, SizeLimit: last.SizeLimit, CreateTime: time.Now(),
		})
		state.NextSegmentID++
	}
	return state, m.CommitState(state) // so that what was read is durable
}

// checkKnown makes sure that the database has heard of the files in dir. Raft-wal notes a
// file before it makes it, and removes, when it is opened, those that the database does not
// have any more, but also those of a later database: an earlier copy is in its place, or the
// files are those of another log.
func checkKnown(dir string, files types.VFS, next uint64) error {
	names, err := files.ListDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, id, ok := parseWALName(name); ok && id >= next {
			return fmt.Errorf("%w: %s was made after the database of the log, which does not have it: the files and the database are not of the same time, or of two logs", types.ErrCorrupt, filepath.Join(dir, name))
		}
	}
	return nil
}

// tidy wipes out what follows the acknowledged part of a file.
func (m *walMeta) tidy(dir, name string, base uint64) (t walTail, err error) {
	f, err := m.files.OpenWriter(dir, name)
	if errors.Is(err, os.ErrNotExist) {
		return t, nil // raft-wal makes it
	}
	if err != nil {
		return t, err
	}
	err = isKnownFormat(f)
	if err == nil {
		t, err = readTail(io.NewSectionReader(f, 0, 1<<62), base)
	}
	if err == nil {
		err = nothingFollows(f, t.end, base+t.entries)
	}
	if err == nil {
		err = rewrite(f, t.last, t.end)
	}
	if err == nil {
		err = wipe(f, t.end)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return t, err
}

// A walTail is the part of a file of raft-wal's up to the end of the last batch of
// entries that is whole.
type walTail struct {
	last    int64 // where the last whole batch begins
	end     int64
	entries uint64
	index   int64 // where the positions of the entries are, if the file is full; 0: it is not
}

const (
	walMagic       = 0x58eb6b0d
	walFormat      = 0 // in the byte before walFormatEnd of the header
	walFormatEnd   = 8
	walFileHeader  = 32
	walFrameHeader = 8 // type uint8 | 0 0 0 | size, or checksum of the batch, uint32
)

// isKnownFormat returns an error if f is of a format of a later raft-wal.
func isKnownFormat(f io.ReaderAt) error {
	var head [walFormatEnd]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return orEnd(err)
	}
	if format := head[walFormatEnd-1]; binary.LittleEndian.Uint32(head[:]) == walMagic && format != walFormat {
		return fmt.Errorf("the file has format %d of raft-wal, and this program knows format %d: run the release that has written it, or a later one", format, walFormat)
	}
	return nil
}

// nothingFollows returns an error if what is after the last whole batch was durable: a
// batch is whole there that comes after another one, of entries after number next. Only the
// last batch can be torn, so what is before it is damaged.
func nothingFollows(f io.ReaderAt, from int64, next uint64) error {
	buf := make([]byte, 64<<10)
	for ; ; from += int64(len(buf)) {
		n, err := f.ReadAt(buf, from)
		for i := 0; i+walFrameHeader <= n; i += walFrameHeader {
			if binary.LittleEndian.Uint32(buf[i:]) != uint32(segment.FrameCommit) {
				continue
			}
			after := from + int64(i) + walFrameHeader
			whole, berr := wholeBatch(f, after, next)
			if berr != nil {
				return berr
			}
			if whole {
				return fmt.Errorf("%w: entry %d can't be read, and entries after it, at offset %d, show that it was durable", types.ErrCorrupt, next, after)
			}
		}
		if err != nil {
			return orEnd(err)
		}
	}
}

// wholeBatch reports whether a batch is whole at an offset, of entries after number next.
func wholeBatch(f io.ReaderAt, at int64, next uint64) (bool, error) {
	r := &walReader{r: bufio.NewReader(io.NewSectionReader(f, at, 1<<62)), sum: crc32.New(castagnoli)}
	head, _ := r.r.Peek(walFrameHeader + binary.MaxVarintLen64)
	if len(head) < walFrameHeader || head[0] != segment.FrameEntry {
		return false, nil
	}
	index, n := binary.Uvarint(head[walFrameHeader:])
	if n <= 0 || index <= next {
		return false, nil
	}
	r.base = index
	whole, err := r.batch()
	return whole, orEnd(err)
}

// readTail reads a file of raft-wal's, whose first entry is number base. A batch ends
// with its checksum, and the first one has the header of the file. A batch that is not
// whole was not acknowledged if none that is whole follows: the next one begins where
// the last whole one ends.
func readTail(from io.Reader, base uint64) (t walTail, err error) {
	r := &walReader{r: bufio.NewReaderSize(from, 64<<10), sum: crc32.New(castagnoli), base: base}
	err = r.take(walFileHeader)
	for broken := false; err == nil; {
		var whole bool
		begin := r.at.end
		if begin == walFileHeader {
			begin = 0
		}
		if whole, err = r.batch(); err != nil {
			break
		}
		if whole && broken {
			return t, fmt.Errorf("%w: a batch of entries is not whole, and later ones are", types.ErrCorrupt)
		}
		if whole {
			t = r.at
			t.last = begin
		}
		broken = broken || !whole
	}
	return t, orEnd(err)
}

// orEnd returns err, unless that is the end of a file.
func orEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// A walReader reads a file of raft-wal's.
type walReader struct {
	r    *bufio.Reader
	sum  hash.Hash32 // of the batch
	base uint64
	at   walTail
}

// take reads n bytes into the checksum.
func (r *walReader) take(n int64) error {
	k, err := io.CopyN(r.sum, r.r, n)
	r.at.end += k
	return err
}

// batch reads a batch, and reports whether it is whole. The error is io.EOF at the end
// of what can be read.
func (r *walReader) batch() (whole bool, err error) {
	for whole = true; ; {
		head, err := r.r.Peek(walFrameHeader)
		if err != nil {
			return false, err
		}
		kind, size := head[0], binary.LittleEndian.Uint32(head[4:])
		switch kind {
		case segment.FrameCommit:
			_, _ = r.r.Discard(walFrameHeader) // it was seen
			r.at.end += walFrameHeader
			whole = whole && size == r.sum.Sum32()
			r.sum.Reset()
			return whole, nil
		case segment.FrameEntry:
			// What was on the disk before can look like a batch, but not of these entries.
			head, _ = r.r.Peek(walFrameHeader + int(min(size, binary.MaxVarintLen64))) // what there is will do
			index, n := binary.Uvarint(head[walFrameHeader:])
			whole = whole && n > 0 && index == r.base+r.at.entries
			r.at.entries++
		case segment.FrameIndex:
			r.at.index = r.at.end + walFrameHeader
		default:
			return false, io.EOF
		}
		padded := (int64(size) + walFrameHeader - 1) &^ (walFrameHeader - 1)
		if err := r.take(walFrameHeader + padded); err != nil {
			return false, err
		}
	}
}

// rewrite writes a part of a file as it is. After a sync that has failed, another one
// may leave out what the cache shows.
func rewrite(f types.WritableFile, from, to int64) error {
	buf := make([]byte, to-from)
	if _, err := f.ReadAt(buf, from); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err := f.WriteAt(buf, from)
	return err
}

// wipe makes zeros of what is in a file from an offset on.
func wipe(f types.WritableFile, from int64) error {
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(buf, from)
		if string(buf[:n]) != string(zeros[:n]) {
			if _, err := f.WriteAt(zeros[:n], from); err != nil {
				return err
			}
		}
		if err != nil {
			return orEnd(err)
		}
		from += int64(n)
	}
}
