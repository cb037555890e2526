package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/storefs"
)

// Import makes a store in directory dir of the state file in the first limit
// bytes of r: one of the original stateio package, of this module's, or a
// backup. The store begins with the last snapshot of the file, at index 0, and
// the updates behind it, which get the indexes from 1 on. dir must not hold a
// store; it is made if it is not there. The whole snapshot is held in memory.
//
// When Import returns nil, the store is durable. After a crash before that, Open
// reports that the log is missing, and Import can be called again.
//
// The errors are those of stateio.Restore, with stateio.ErrCorrupt for a file
// that is damaged; fs.ErrExist if there is a store; ErrLocked, ErrNoSpace and
// others of the file system.
func Import(dir string, r io.ReaderAt, limit int64) error {
	state, _, updates, err := stateio.Restore(r, limit)
	if err != nil {
		return fmt.Errorf("store: importing into %s: %w", dir, err)
	}
	o, err := (*Options)(nil).withDefaults()
	if err != nil {
		return err
	}
	s := &Store{fs: storefs.For(dir), dir: dir, opts: o, ctx: context.Background()}
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	return s.importState(state, updates)
}

// importState makes the files of a new store.
//
// Commit point: the name of the log, made durable by SyncDir. The snapshot is
// there before.
func (s *Store) importState(state []byte, updates *stateio.Reader) error {
	files, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	if len(files.logs) > 0 || len(files.snaps) > 0 && files.snaps[len(files.snaps)-1] > 0 {
		return &opError{is: fs.ErrExist, msg: s.dir + " holds a store already: import into another directory"}
	}
	if err := s.tidy(files); err != nil {
		return err
	}
	// What an attempt before has removed must not come back beside new files.
	if err := s.wrap("importing", s.fs.SyncDir(s.dir)); err != nil {
		return err
	}
	s.newID()
	if state != nil {
		c := &capture{state: bytes.NewReader(state)}
		if _, err := s.writeSnapshot(c); err != nil {
			return err
		}
	} else if err := s.remove(files.snaps, snapSuffix); err != nil {
		return err
	}
	path := s.path(0, logSuffix)
	log, err := s.prepareLog(path)
	if err != nil {
		return err
	}
	if state != nil {
		log.hdr.kind = importKind
	}
	if err := s.importUpdates(log, updates); err != nil {
		return s.discard(log, err)
	}
	if err := s.publishLog(log, path, 0); err != nil {
		return err
	}
	_ = log.f.Close() // everything in it was synced
	return nil
}

// importPiece is how much is written at once, in bytes.
const importPiece = 256 << 10

// importUpdates writes updates into a log that has no name yet.
func (s *Store) importUpdates(log *logFile, updates *stateio.Reader) error {
	var buf []byte
	for index := uint64(1); ; index++ {
		update, err := updates.Read()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("store: importing update %d: %w", index, err)
		}
		if len(update) > maxMaxUpdate {
			return &opError{is: ErrTooLarge, msg: fmt.Sprintf("importing update %d of %d bytes: the most is %d", index, len(update), maxMaxUpdate)}
		}
		if err == nil {
			// Each one is a commit: all of them are durable before the log is.
			buf = appendFramed(buf, log.end+int64(len(buf)), log.hdr.salt, tag{index: index}, update)
		}
		if err != nil || len(buf) >= importPiece {
			if _, err := log.f.WriteAt(buf, log.end); err != nil {
				return s.wrap("importing", err)
			}
			log.end += int64(len(buf))
			buf = buf[:0]
		}
		if err != nil {
			return s.wrap("importing", log.f.Truncate(log.end))
		}
	}
}
