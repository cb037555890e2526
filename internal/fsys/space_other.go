//go:build js || wasip1

package fsys

import (
	"errors"
	"syscall"
)

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || isFileLimit(err)
}

func isFileLimit(err error) bool { return errors.Is(err, syscall.EFBIG) }
