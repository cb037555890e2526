package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio"
)

// An appender is the journal of a state file.
type appender struct {
	path    string
	file    *os.File
	w       *stateio.Writer // to buf
	buf     *bufio.Writer   // to sink
	sink    *sink
	pending int   // entries in or behind buf that are not durable
	durable int   // entries that are
	end     int64 // of the file, as far as it is durable
}

// A sink writes to a file without syncing it, and keeps the first error and
// how much was written. (A stateio.Writer would sync an *os.File.)
type sink struct {
	file *os.File
	n    int64
	err  error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.file.Write(b)
	s.n += int64(n)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// newAppender opens a state file for appending, and creates it if create says
// so.
func newAppender(path string, create bool) (*appender, error) {
	file, err := openWrite(path, create)
	if err != nil {
		return nil, err
	}
	a := &appender{path: path, file: file, sink: &sink{file: file}}
	if err := a.begin(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

// begin has the writer start at the end of the file, whose torn tail is cut off.
func (a *appender) begin() error {
	end, err := a.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	epoch := uint64(0)
	for e, err := range stateio.Epochs(a.file, end) {
		if err != nil {
			return err
		}
		epoch = e.Offset
		break
	}
	a.end = end
	a.buf = bufio.NewWriterSize(a.sink, 256<<10)
	a.w = stateio.NewWriter(a.buf, end, epoch)
	return nil
}

func (a *appender) add(update []byte) error { return a.append(a.w.Update, update) }

func (a *appender) snapshot(state []byte) error {
	if err := a.append(a.w.Snapshot, state); err != nil {
		return err
	}
	return a.commit()
}

// append writes an entry with the method write of a.w.
func (a *appender) append(write func([]byte) error, payload []byte) error {
	if err := write(payload); err != nil {
		return a.undo(err)
	}
	a.pending++
	return nil
}

func (a *appender) commit() error {
	if a.pending == 0 {
		return nil
	}
	if err := a.buf.Flush(); err != nil {
		return a.undo(err)
	}
	if err := a.file.Sync(); err != nil {
		// What is on disk now can't be known, nor changed with any certainty.
		return a.failed(err, "may be there or not: look with stateio log before you append it again")
	}
	a.end += a.sink.n
	a.sink.n = 0
	a.durable += a.pending
	a.pending = 0
	return nil
}

// undo takes back what was written but is not durable, after a failed write.
func (a *appender) undo(err error) error {
	if a.sink.err != nil {
		err = a.sink.err
	}
	rest := "may be there or not: look with stateio log before you append it again"
	if a.file.Truncate(a.end) == nil && a.file.Sync() == nil {
		rest = "was not kept"
	}
	return a.failed(err, rest)
}

// failed returns the error that says why appending failed, how much of this run
// is durable, and what became of the rest.
func (a *appender) failed(err error, rest string) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if a.durable == 0 {
		return fmt.Errorf("%s: appending at offset %d: %w. What was to be appended %s", a.path, a.end, err, rest)
	}
	return fmt.Errorf("%s: appending at offset %d: %w. The first %s of this run are durable, what follows %s",
		a.path, a.end, err, count(a.durable, "update"), rest)
}

func (a *appender) progress() (durable, pending int) { return a.durable, a.pending }

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
