package main

import (
	"errors"
	"io/fs"
	"os"
)

// renameNew renames a file unless something has the new name: then the error is fs.ErrExist.
func renameNew(from, to string) error {
	for _, rename := range []func(from, to string) error{renameExclusive, renameByLink} {
		if err := rename(from, to); err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return renameAfterLook(from, to) // it tells what is wrong with both
}

// renameByLink is renameNew where files can have two names. What a crash leaves under the old
// one the next run removes.
func renameByLink(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	_ = os.Remove(from) // it is done
	return nil
}

// renameAfterLook is renameNew where there is no better way: what appears between the two
// steps is replaced.
func renameAfterLook(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(from, to)
}
