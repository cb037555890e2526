package storedir

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/fsys"
)

// MinPiece is how much is set aside first, in bytes: a store that is used for one
// update should not write more than that takes.
const MinPiece = 16 << 10

// SetAside makes sure that log has disk space up to offset end, if spares agrees; nil
// does. It sets more aside than is needed, and each time twice as much as before, if
// there is that much. short says that there was not: the rest of a disk that is nearly
// full is left to the snapshot that makes room.
func (log *Log) SetAside(end int64, spares func(n int64) error) (short bool, err error) {
	need := end - log.size.Load()
	if need <= 0 {
		return false, nil
	}
	if spares == nil {
		spares = func(int64) error { return nil }
	}
	n := max(log.piece, need)
	if spares(n) != nil {
		n = need
	}
	err = spares(n)
	if err == nil {
		err = log.grow(n)
		if errors.Is(err, fsys.ErrNoSpace) {
			short = true
			if n > need {
				n = need
				err = log.grow(n)
			}
		}
	}
	if err != nil {
		log.piece = 0
		return short, Wrap(fmt.Sprintf("setting %d bytes of disk space aside for %s", n, log.Path), err)
	}
	log.size.Add(n)
	log.piece = min(max(2*n, MinPiece), log.most)
	return short, nil
}

// grow sets n bytes aside after what log has, and writes zeros there: space that is
// only set aside makes each commit wait for the file system to note what was
// written of it, which costs ext4 more than the commit itself.
//
// Where nothing can be set aside, the zeros take the space. They are synced then: a server of
// files may say only in answer to that that it has none. No commit is under way meanwhile, since
// the error of a sync is told once, and is none of a commit's: zeros are all that is lost.
func (log *Log) grow(n int64) error {
	size := log.size.Load()
	err := log.File.Preallocate(size, n)
	written := errors.Is(err, errors.ErrUnsupported)
	if written {
		log.Writing.Lock()
		defer log.Writing.Unlock()
	}
	if err == nil || written {
		err = writeZeros(log.File, size, n)
	}
	if err == nil && written {
		err = log.File.Sync()
	}
	if errors.Is(err, fsys.ErrNoSpace) {
		_ = log.File.Truncate(size) // it may have got all that was left
	}
	return err
}

// zeros are what is written at once.
var zeros [256 << 10]byte

// writeZeros writes zeros to [off, off+n) of f.
func writeZeros(f fsys.File, off, n int64) error {
	for end := off + n; off < end; {
		k, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-off)], off)
		if err != nil {
			return err
		}
		off += int64(k)
	}
	return nil
}
