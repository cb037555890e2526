package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/stateio/stateio"
)

// An appender is the journal of a state file.
type appender struct {
	path    string
	file    *os.File
	w       *stateio.Writer
	batch   [][]byte // updates that the next commit appends
	durable int      // updates that are
}

// newAppender opens a state file for appending.
func newAppender(path string, how opening) (*appender, error) {
	file, w, err := openWrite(path, how)
	if err != nil {
		return nil, err
	}
	if n, err := links(file); err == nil && n > 1 {
		_, _ = fmt.Fprintf(how.warn, "stateio: %s has %d names (hard links): what is appended is there under all of them, so that none is a copy\n", printable(path), n)
	}
	return &appender{path: path, file: file, w: w}, nil
}

func (a *appender) add(update []byte) error {
	a.batch = append(a.batch, update)
	return nil
}

func (a *appender) commit() error {
	if err := a.w.Updates(a.batch...); err != nil {
		return a.failed(err)
	}
	a.durable += len(a.batch)
	clear(a.batch)
	a.batch = a.batch[:0]
	return nil
}

func (a *appender) snapshot(state []byte) error {
	if err := a.commit(); err != nil {
		return err
	}
	if err := a.w.Snapshot(state); err != nil {
		return a.failed(err)
	}
	return nil
}

// failed returns the error that says why appending failed, how much of this run
// is durable, and what became of the rest.
func (a *appender) failed(err error) error {
	var failed *stateio.AppendError
	if !errors.As(err, &failed) {
		return err
	}
	rest := "was not kept"
	if failed.Unknown {
		rest = "may be there or not: look with stateio log before you append it again"
	}
	why := failed.Err
	var path *os.PathError
	if errors.As(why, &path) {
		why = path.Err
	}
	if a.durable == 0 {
		return fmt.Errorf("%s: appending at offset %d: %w. What was to be appended %s", a.path, failed.Offset, why, rest)
	}
	return fmt.Errorf("%s: appending at offset %d: %w. The first %s of this run are durable, what follows %s",
		a.path, failed.Offset, why, count(a.durable, "update"), rest)
}

func (a *appender) progress() (durable, pending int) { return a.durable, len(a.batch) }

func (a *appender) name() string { return a.path }

// close closes the file, which gives up its lock. What was committed is durable,
// whatever becomes of that.
func (a *appender) close() error { return a.file.Close() }

// count says how many of what there are.
func count[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
