//go:build !linux

package osfile

import (
	"errors"
	"os"
)

func dataEnd(_ *os.File, limit int64) int64 { return limit }

func punch(*os.File, int64) error { return errors.ErrUnsupported }

func allocated(f *os.File) (int64, error) {
	info, err := Stat(f)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func forget(*os.File, int64) {}

func syncAround(*os.File) error { return nil }
