package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/osfile"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

// An appender is the journal of a state file.
type appender struct {
	path    string
	file    *os.File
	w       *stateio.Writer // to buf
	buf     *bufio.Writer   // to sink
	sink    *sink
	epoch   uint64
	pending int   // entries in or after buf that are not durable
	durable int   // entries that are
	end     int64 // of the file, as far as it is durable
}

// A sink writes to a file without syncing it, and keeps the first error and
// how much was written. (A stateio.Writer would sync an *os.File.) It writes only
// while the file is as it left it.
type sink struct {
	file  *os.File
	watch *osfile.Watch
	begun int64 // where n counts from
	n     int64
	err   error
}

func (s *sink) Write(b []byte) (n int, err error) {
	if err = s.watch.Size(s.begun + s.n); err == nil {
		n, err = s.file.Write(b)
	}
	s.n += int64(n)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// newAppender opens a state file for appending.
func newAppender(path string, how opening) (*appender, error) {
	file, err := openWrite(path, how)
	if err != nil {
		return nil, err
	}
	if n, err := links(file); err == nil && n > 1 {
		_, _ = fmt.Fprintf(how.warn, "stateio: %s has %d names (hard links): what is appended is there under all of them, so that none is a copy\n", printable(path), n)
	}
	a := &appender{path: path, file: file, sink: &sink{file: file}}
	if err := a.begin(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

// begin has the writer start at the end of the file, whose torn tail is cut off.
func (a *appender) begin() (err error) {
	if a.sink.watch, err = osfile.NewWatch(a.file); err != nil {
		return err
	}
	end, err := a.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	epoch, err := current(a.file, end)
	if err != nil {
		return err
	}
	a.epoch = epoch.Offset
	a.end, a.sink.begun = end, end
	a.buf = bufio.NewWriterSize(a.sink, 256<<10)
	a.w = stateio.NewWriter(a.buf, end, a.epoch)
	return nil
}

func (a *appender) add(update []byte) error { return a.append(inspect.Update, update) }

func (a *appender) snapshot(state []byte) error {
	if err := a.append(inspect.Snapshot, state); err != nil {
		return err
	}
	return a.commit()
}

// append writes an entry to a.buf.
func (a *appender) append(kind inspect.Kind, payload []byte) error {
	write := a.w.Update
	if kind == inspect.Snapshot {
		write = a.w.Snapshot
	}
	if len(payload) >= longEntry {
		write = func(payload []byte) error { return a.stream(kind, payload) }
	}
	off := a.off()
	if err := write(payload); err != nil {
		return a.undo(err)
	}
	if kind == inspect.Snapshot {
		a.epoch = uint64(record.Aligned(off))
	}
	if len(payload) >= longEntry {
		a.w = stateio.NewWriter(a.buf, a.off(), a.epoch)
	}
	a.pending++
	return nil
}

// off is where the next entry goes, but for padding.
func (a *appender) off() int64 { return a.end + a.sink.n + int64(a.buf.Buffered()) }

// stream writes a long entry in pieces: a stateio.Writer would need a second slice
// of its length.
func (a *appender) stream(kind inspect.Kind, payload []byte) error {
	var head [entry.HeadSize]byte
	entry.Head{Kind: entry.Kind(kind), Epoch: a.epoch}.Put(&head)
	_, err := logio.NewWriter(a.buf, a.off()).AppendFrom(io.MultiReader(bytes.NewReader(head[:]), bytes.NewReader(payload)))
	return err
}

func (a *appender) commit() error {
	if a.pending == 0 {
		return nil
	}
	if err := a.buf.Flush(); err != nil {
		return a.undo(err)
	}
	err := a.file.Sync()
	if err == nil {
		err = a.sink.watch.Check(a.end + a.sink.n)
	}
	if err != nil {
		// What is on disk now can't be known, nor changed with any certainty.
		return a.failed(err, unknown)
	}
	a.end += a.sink.n
	a.sink.begun, a.sink.n = a.end, 0
	a.durable += a.pending
	a.pending = 0
	return nil
}

// unknown is what becomes of entries whose commit failed.
const unknown = "may be there or not: look with stateio log before you append it again"

// undo takes back what was written but is not durable, after a failed write.
func (a *appender) undo(err error) error {
	if a.sink.err != nil {
		err = a.sink.err
	}
	rest := unknown
	if !errors.Is(err, osfile.ErrTaken) && a.file.Truncate(a.end) == nil && a.file.Sync() == nil {
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
