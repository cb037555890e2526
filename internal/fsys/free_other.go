//go:build unix && !linux

package fsys

import "errors"

func free(string) (int64, error) { return 0, errors.ErrUnsupported }
