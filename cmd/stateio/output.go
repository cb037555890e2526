package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An output is where a command writes data to: standard output, a device or
// pipe, or a new file, which appears whole or not at all.
type output struct {
	*bufio.Writer
	path string   // of the file; empty for standard output
	file *os.File // nil for standard output
	temp bool     // file is temporary, to be renamed to path
	mode fs.FileMode
	done bool
}

// newOutput returns the output for a path, or for standard output if that is
// "-". It overwrites a file only by force.
func newOutput(path string, stdout io.Writer, force bool) (*output, error) {
	if path == "-" {
		return &output{Writer: bufio.NewWriterSize(stdout, 64<<10)}, nil
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newTemp(path, 0o600)
	case err != nil:
		return nil, err
	case info.Mode().IsRegular() && force:
		return newTemp(path, info.Mode().Perm())
	case info.Mode().IsRegular():
		return nil, fmt.Errorf("%s exists: name another file, or give --force to replace it", path)
	case info.Mode()&(fs.ModeDevice|fs.ModeNamedPipe) == 0:
		return nil, fmt.Errorf("%s is neither a file, a device nor a pipe: name another file", path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	return &output{Writer: bufio.NewWriterSize(file, 64<<10), path: path, file: file}, nil
}

// newTemp returns an output to a temporary file beside path.
func newTemp(path string, mode fs.FileMode) (*output, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("%s: creating a temporary file beside it: %w", path, err)
	}
	return &output{Writer: bufio.NewWriterSize(file, 64<<10), path: path, file: file, temp: true, mode: mode}, nil
}

// sync writes out what is buffered, and makes it durable if it is a file.
func (o *output) sync() error {
	if err := o.Flush(); err != nil {
		return err
	}
	if o.temp {
		return o.file.Sync()
	}
	return nil
}

// commit finishes the output: a new file now has its name, durably.
func (o *output) commit() error {
	if err := o.sync(); err != nil {
		return err
	}
	if o.file == nil {
		return nil
	}
	if !o.temp {
		o.done = true
		return o.file.Close()
	}
	if err := o.file.Chmod(o.mode); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := o.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(o.file.Name(), o.path); err != nil {
		return err
	}
	o.done = true
	return syncDir(filepath.Dir(o.path))
}

// discard gives up an output that was not committed. Standard output has got
// what was written to it.
func (o *output) discard() {
	switch {
	case o.done:
	case o.file == nil:
		_ = o.Flush() // the command fails with a better reason
	default:
		_ = o.file.Close() // it is of no use any more
		if o.temp {
			_ = os.Remove(o.file.Name())
		}
	}
}
