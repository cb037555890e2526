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

// grow sets n bytes aside after what log has.
func (log *Log) grow(n int64) error {
	size := log.size.Load()
	err := preallocate(log.File, size, n)
	if errors.Is(err, fsys.ErrNoSpace) {
		_ = log.File.Truncate(size) // it may have got all that was left
	}
	return err
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
