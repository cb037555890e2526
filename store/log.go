package store

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
)

// A logFile is the log that updates are written to.
type logFile struct {
	f    fsys.File
	path string
	hdr  header

	size    int64 // bytes of disk space set aside; guarded by mu
	piece   int64 // how much to set aside next, if there is that much; guarded by mu
	next    int64 // where the next entry goes; guarded by mu
	durable int64 // up to here everything is on the disk; guarded by mu

	end    int64     // of what was written; guarded by commit
	digest logDigest // of the records before end; guarded by commit
}

// intact makes sure that nobody has removed the log, or cut it to less than size.
func (log *logFile) intact(size int64) error {
	info, err := log.f.Stat()
	switch {
	case err != nil:
		return err
	case info.Links == 0:
		return errors.New("somebody has removed the file")
	case info.Size < size:
		return fmt.Errorf("somebody has cut the file from %d bytes to %d", size, info.Size)
	}
	return nil
}

// createLog makes the log of the updates behind base, durably. The store has it
// from the moment of the rename.
func (s *Store) createLog(base uint64) (*logFile, error) {
	path := s.path(base, logSuffix)
	log, err := s.prepareLog(path)
	if err != nil {
		return nil, err
	}
	if err := s.publishLog(log, path, base); err != nil {
		return nil, err
	}
	return log, nil
}

// prepareLog makes a log under a temporary name and sets disk space aside.
func (s *Store) prepareLog(path string) (*logFile, error) {
	tmp := path + tmpSuffix
	f, err := s.createTmp(tmp)
	if err != nil {
		return nil, err
	}
	log := &logFile{
		f: f, path: tmp, hdr: header{kind: logKind, store: s.id, salt: newSalt()}, piece: s.opts.PreallocateBytes,
		next: int64(headerSize), durable: int64(headerSize), end: int64(headerSize),
	}
	if err := s.setAside(log, int64(headerSize+tailRoom)); err != nil {
		return nil, s.discard(log, err)
	}
	if err := f.Sync(); err != nil {
		return nil, s.discard(log, s.wrap("making a log", err))
	}
	return log, nil
}

// createTmp makes a file that replaces what an attempt before may have left.
func (s *Store) createTmp(path string) (fsys.File, error) {
	f, err := s.fs.Open(path, fsys.Create, s.opts.FileMode)
	if errors.Is(err, fs.ErrExist) {
		if err = s.fs.Remove(path); err == nil {
			f, err = s.fs.Open(path, fsys.Create, s.opts.FileMode)
		}
	}
	if err != nil {
		return nil, s.wrap("making a file", err)
	}
	return f, nil
}

// publishLog gives a prepared log its header and its name.
func (s *Store) publishLog(log *logFile, path string, base uint64) error {
	log.hdr.base = base
	b := log.hdr.appendTo(nil)
	log.digest = logDigest(0).addAll(b, 0)
	_, err := log.f.WriteAt(b, 0)
	if err == nil {
		err = log.f.Datasync()
	}
	if err != nil {
		return s.discard(log, s.wrap("making a log", err))
	}
	tmp := log.path
	log.path = path
	if err = s.fs.Rename(tmp, path); err != nil {
		_ = s.fs.Remove(tmp) // whatever happened, it has one of the names
	} else {
		err = s.fs.SyncDir(s.dir)
	}
	var f fsys.File
	if err == nil {
		// Opened anew, for its errors to tell the name that it has now.
		f, err = s.fs.Open(path, fsys.ReadWrite, 0)
	}
	if err != nil {
		return s.unpublish(log, err)
	}
	_ = log.f.Close() // everything in it was synced
	log.f = f
	return nil
}

// errStays says that a log which was given up is there, or may be after a crash.
// The log before must not go on then: nobody would look for what it holds behind
// where the new one begins.
var errStays = errors.New("it may still be there")

// unpublish gives up a log that may have its name, because of err, durably. If
// that fails, the error is errStays, and never ErrNoSpace.
func (s *Store) unpublish(log *logFile, err error) error {
	_ = s.discard(log, err)
	_, gone := s.fs.Stat(log.path)
	switch {
	case gone == nil:
		gone = errors.New("it can't be removed")
	case errors.Is(gone, fs.ErrNotExist):
		if gone = s.fs.SyncDir(s.dir); gone == nil {
			return s.wrap("making a log", err)
		}
	}
	return fmt.Errorf("store: making a log: %w; removing %s again: %w: %w", err, log.path, errStays, gone)
}

// discard gives up a log that is not in use, because of err, which it returns. One
// without its name, or without updates, is removed by the next Open if it stays.
func (s *Store) discard(log *logFile, err error) error {
	_ = log.f.Close()
	_ = s.fs.Remove(log.path)
	return err
}

// setAside makes sure that log has disk space up to offset end, and some more, if
// there is that much. Where there was not, it asks for twice as much each time, from
// what is needed on: the rest is left to the snapshot that makes room.
func (s *Store) setAside(log *logFile, end int64) error {
	need := end - log.size
	if need <= 0 {
		return nil
	}
	n := max(log.piece, need)
	err := preallocate(log.f, log.size, n)
	if errors.Is(err, fsys.ErrNoSpace) && n > need {
		_ = log.f.Truncate(log.size) // it may have got all that was left
		n = need
		err = preallocate(log.f, log.size, n)
	}
	if err != nil {
		log.piece = 0
		return s.wrap(fmt.Sprintf("setting %d bytes of disk space aside for %s", n, log.path), err)
	}
	log.size += n
	log.piece = min(2*n, s.opts.PreallocateBytes)
	return nil
}

// preallocate sets aside [off, off+n) of f, and writes zeros there: space that is
// only set aside makes each commit wait for the file system to note what was
// written of it, which costs ext4 more than the commit itself.
func preallocate(f fsys.File, off, n int64) error {
	err := f.Preallocate(off, n)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return writeZeros(f, off, n)
}

// zeroPiece is how many zeros are written at once, in bytes.
const zeroPiece = 256 << 10

// writeZeros writes zeros to [off, off+n) of f.
func writeZeros(f fsys.File, off, n int64) error {
	zeros := make([]byte, min(n, zeroPiece))
	for end := off + n; off < end; {
		k, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-off)], off)
		if err != nil {
			return err
		}
		off += int64(k)
	}
	return nil
}

// addAll returns the digest with the records in b, which stand at offset off.
func (d logDigest) addAll(b []byte, off int64) logDigest {
	for pos := record.Aligned(off) - off; pos+record.HeaderSize <= int64(len(b)); {
		h := record.Decode(b[pos:])
		d = d.add(h.Sum)
		pos = record.Aligned(off+pos+int64(h.Size())) - off
	}
	return d
}

// appendControl writes a control entry behind all that was written. The
// caller holds commit and knows that no update is in a batch.
func (s *Store) appendControl(log *logFile, c control, index uint64) error {
	b := appendFramed(nil, log.end, log.hdr.salt, tag{index: index + 1, control: true}, c.encode())
	if _, err := log.f.WriteAt(b, log.end); err != nil {
		return err
	}
	if err := log.f.Datasync(); err != nil {
		return err
	}
	log.digest = log.digest.addAll(b, log.end)
	log.end += int64(len(b))
	return nil
}
