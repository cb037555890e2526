package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/stateio/stateio"
)

// An output is where a command writes data to: standard output, a device, pipe or
// descriptor, or a new file, which appears whole or not at all.
type output struct {
	*bufio.Writer
	path    string    // of the file; empty for standard output
	file    *os.File  // nil for standard output
	temp    bool      // file is temporary, to be renamed to path
	replace bool      // a file is at path, whose owner and mode are to stay
	fresh   bool      // none is, and none that appears meanwhile is replaced
	warn    io.Writer // told what of that could not be kept
	done    bool

	terminal *terminalWriter // nil: standard output is no terminal, or this is something else
	pipe     *namedPipe      // nil: it is something else; else there is no file
}

// An outputError is the error of writing an output. What calls code that writes may take it
// for its own failure, as a store does in a replay: nothing is wrong with what is read.
type outputError struct {
	path string
	err  error
}

func (e *outputError) Error() string { return fmt.Sprintf("writing %s: %v", e.path, e.err) }

func (e *outputError) Unwrap() error { return e.err }

// ofOutput returns the error of writing an output that err was made of, or err.
func ofOutput(err error) error {
	var out *outputError
	if errors.As(err, &out) {
		return out
	}
	return err
}

// newBuffer returns a buffer before w, whose errors are outputErrors.
func newBuffer(w io.Writer, path string) *bufio.Writer {
	return bufio.NewWriterSize(outputWriter{w, path}, 64<<10)
}

type outputWriter struct {
	w    io.Writer
	path string
}

func (o outputWriter) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		err = &outputError{o.path, err}
	}
	return n, err
}

// outputs says how to make outputs.
type outputs struct {
	stdout, stderr io.Writer
	force          bool // overwrite a file
}

// open returns the output for a path, or for standard output if that is "-".
func (o outputs) open(path string) (*output, error) {
	if path == "-" {
		return o.standard(), nil
	}
	if fd, ok := descriptor(path); ok {
		return o.openDescriptor(path, fd)
	}
	if err := notAStoresName(path); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		// A link to a device or a pipe is followed; a file is replaced where it is.
		if to, err := os.Stat(path); err == nil && isStream(to) {
			info = to
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		out, err := newTemp(path, false, o.stderr)
		if err == nil {
			out.fresh = !o.force
		}
		return out, err
	case err != nil:
		return nil, err
	case info.Mode().IsRegular() && o.force:
		return newTemp(path, true, o.stderr)
	case info.Mode().IsRegular():
		return nil, fmt.Errorf("%s exists: name another file, or give --force to replace it", path)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a symbolic link, and is not followed for writing: name another file", path)
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory: name a file", path)
	case !isStream(info):
		return nil, fmt.Errorf("%s is neither a file, a device nor a pipe: name another file", path)
	}
	if info.Mode()&fs.ModeNamedPipe != 0 {
		pipe := &namedPipe{path: path}
		return &output{Writer: newBuffer(pipe, path), path: path, pipe: pipe}, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &output{Writer: newBuffer(file, path), path: path, file: file}, nil
}

// progress returns where progress is shown while data is written to these paths.
func (o outputs) progress(paths ...string) io.Writer {
	for _, path := range paths {
		fd, ok := descriptor(path)
		switch {
		case path == "-" || ok && fd == 1:
			if beside(o.stdout, o.stderr) == io.Discard {
				return io.Discard
			}
		case ok: // it may be the same terminal
			return io.Discard
		}
	}
	return o.stderr
}

// standard returns the output for standard output. A terminal shows data, and does not
// obey it.
func (o outputs) standard() *output {
	if !isTerminal(o.stdout) {
		return &output{Writer: newBuffer(o.stdout, "to standard output")}
	}
	t := &terminalWriter{w: o.stdout}
	return &output{Writer: newBuffer(t, "to standard output"), terminal: t}
}

// isStream reports whether info is that of a device or a pipe.
func isStream(info fs.FileInfo) bool {
	return info.Mode()&(fs.ModeDevice|fs.ModeNamedPipe) != 0
}

// openDescriptor returns the output for an open descriptor of this process.
func (o outputs) openDescriptor(path string, fd uintptr) (*output, error) {
	if fd == 1 {
		return o.standard(), nil
	}
	if !inherited(fd) { // a file of this command's own, as its temporary ones are, may have the number
		return nil, fmt.Errorf("%s: this command was started with no such descriptor", path)
	}
	file := os.NewFile(fd, path)
	if file == nil {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrInvalid)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() && info.Mode()&fs.ModeSocket == 0 && !isStream(info) {
		return nil, fmt.Errorf("%s is neither a file, a device, a socket nor a pipe", path)
	}
	return &output{Writer: newBuffer(file, path), path: path, file: file}, nil
}

// tempSuffix ends the names of temporary files.
const tempSuffix = ".stateio-tmp"

// newTemp returns an output to a temporary file next to path. It is locked, so that
// others know that it is in use, and removes those that nobody uses any more.
func newTemp(path string, replace bool, warn io.Writer) (*output, error) {
	for {
		file, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*"+tempSuffix)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: there is no directory %s: create it first: %w", path, filepath.Dir(path), fs.ErrNotExist)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: creating a temporary file next to it: %w", path, err)
		}
		locked, err := lock(file)
		if errors.Is(err, stateio.ErrLocked) || !isAt(file, file.Name()) {
			_ = file.Close() // another process takes it for stale, just now
			continue
		}
		temporary.add(file.Name())
		if locked { // where there are no locks, nobody removes anything
			removeStale(path, warn)
		}
		return &output{
			Writer: newBuffer(file, path), path: path, file: file,
			temp: true, replace: replace, warn: warn,
		}, nil
	}
}

// maxBase is how many bytes of a name are in that of its temporary file: there may be 255.
const maxBase = 200

// tempPrefix begins the names of the temporary files for path.
func tempPrefix(path string) string {
	base := filepath.Base(path)
	if len(base) > maxBase {
		base = strings.ToValidUTF8(base[:maxBase], "") // some file systems refuse a part of a rune
	}
	return "." + base + "."
}

// removeStale removes the temporary files for path that a kill has left, and says
// so. Whether somebody uses one its lock tells.
func removeStale(path string, warn io.Writer) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), tempPrefix(path))
		number, also := strings.CutSuffix(number, tempSuffix)
		if !ours || !also || number == "" || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		name := filepath.Join(filepath.Dir(path), e.Name())
		if removeUnused(name) {
			_, _ = fmt.Fprintf(warn, "stateio: removed %s, which a run that was killed had left\n", printable(name))
		}
	}
}

// removeUnused removes a temporary file unless it is in use, and reports whether
// it did.
func removeUnused(name string) bool {
	file, err := os.OpenFile(name, os.O_RDWR|noFollow, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	if stateio.Lock(file) != nil || !isAt(file, name) {
		return false
	}
	if runtime.GOOS == "windows" { // no open file can be removed there
		_ = file.Close()
	}
	return os.Remove(name) == nil
}

// sync writes out what is buffered, and makes it durable if it is a file.
func (o *output) sync() error {
	if err := o.Flush(); err != nil {
		return err
	}
	switch {
	case o.temp:
		return o.file.Sync()
	case o.terminal != nil:
		return o.terminal.finish()
	}
	return nil
}

// commit finishes the output: a new file now has its name, durably.
func (o *output) commit() error {
	if o.temp && o.replace {
		for _, lost := range keepAttributes(o.file, o.path) {
			_, _ = fmt.Fprintf(o.warn, "stateio: %s: the new file could not be given the %s\n", printable(o.path), lost)
		}
	}
	if err := o.sync(); err != nil {
		return err
	}
	switch {
	case o.temp:
		return o.rename()
	case o.pipe != nil:
		o.done = true
		return o.pipe.Close()
	case o.file != nil:
		o.done = true
		return o.file.Close()
	}
	return nil
}

// rename gives the temporary file its name.
func (o *output) rename() error {
	if runtime.GOOS == "windows" { // no open file can be renamed there
		if err := o.file.Close(); err != nil {
			return err
		}
	}
	// As long as it is open it is locked, and nobody takes it for stale.
	rename := os.Rename
	if o.fresh {
		rename = renameNew
	}
	switch err := rename(o.file.Name(), o.path); {
	case o.fresh && errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s was not there before, and somebody else has made it meanwhile: name another file, or give --force to replace it", o.path)
	case err != nil:
		return err
	}
	o.done = true
	temporary.forget(o.file.Name())
	if runtime.GOOS != "windows" {
		if err := o.file.Close(); err != nil {
			return err
		}
	}
	return syncName(o.path)
}

// syncName makes the name at path durable, where there is a way to: some file systems have
// none for directories, and say so with EINVAL or EBADF. Where the directory may not be read,
// the whole file system is synced, if the platform can do that.
func syncName(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrPermission) {
		return syncFileSystem(path)
	}
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	for _, excuse := range []error{errors.ErrUnsupported, fs.ErrPermission, syscall.EINVAL, syscall.EBADF} {
		if errors.Is(err, excuse) {
			return nil
		}
	}
	return err
}

// discard gives up an output that was not committed. Standard output has got
// what was written to it.
func (o *output) discard() {
	switch {
	case o.done:
	case o.pipe != nil:
		o.pipe.giveUp()
	case o.file == nil:
		_ = o.Flush() // the command fails with a better reason
	default:
		_ = o.file.Close() // it is of no use any more
		if o.temp {
			_ = os.Remove(o.file.Name())
			temporary.forget(o.file.Name())
		}
	}
}
