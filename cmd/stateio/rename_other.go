//go:build !linux && !darwin

package main

import "errors"

// renameExclusive is renameNew, and not known here.
func renameExclusive(string, string) error { return errors.ErrUnsupported }
