//go:build !linux

package fsys

import (
	"errors"
	"os"
)

func dataEnd(_ *os.File, limit int64) int64 { return limit }

func punch(uintptr, int64) error { return errors.ErrUnsupported }

func allocated(f *os.File) (int64, error) {
	info, err := StatFile(f)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
