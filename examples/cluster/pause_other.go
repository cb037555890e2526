//go:build !unix

package main

import (
	"errors"
	"os"
)

func pauseProcess(*os.Process, bool) error { return errors.ErrUnsupported }
