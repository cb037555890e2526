package shadow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/stateio/stateio/store"
)

// Process returns what Options.Shadow of a store takes: a function that starts the process
// of a command, which runs [Serve], and returns a machine that stands for the one there.
// command makes a new command each time. Its Stdin and Stdout must be nil; Stderr is that
// of this process if it is nil.
//
// A process that can't be started, does not call Serve within 30 seconds, ends, or runs
// another build of the program fails the snapshot. The error is [store.ErrShadowGone] and
// says which it was, and the next snapshot starts another process.
func Process(command func() *exec.Cmd) func() store.Machine {
	return func() store.Machine {
		p := &process{}
		digests, err := p.start(command)
		if err != nil && p.err == nil {
			p.err = gone(err)
		}
		if digests {
			return &digestingProcess{p}
		}
		return p
	}
}

// A process is a machine in another process.
type process struct {
	store.NoApply

	mu   sync.Mutex // guards line and err: one question at a time
	line *line
	err  error // why nothing more can be asked

	cmd  *exec.Cmd // nil: it was not started
	pipe io.Closer // its standard input
	once sync.Once // ends it
}

var (
	_ store.TimedMachine = (*process)(nil)
	_ store.Settler      = (*process)(nil)
	_ store.Digester     = (*digestingProcess)(nil)
	_ io.Closer          = (*process)(nil)
)

// start starts the process, and reports whether its machine has digests.
func (p *process) start(command func() *exec.Cmd) (digests bool, err error) {
	if command == nil {
		return false, errors.New("Process needs a function that makes a command, not nil")
	}
	cmd := command()
	if cmd == nil {
		return false, errors.New("the function passed to Process made no command")
	}
	if cmd.Stdin != nil || cmd.Stdout != nil {
		return false, errors.New("standard input or output of the command is set, and Serve needs both")
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = endsWithin // a child of the process may have standard error open
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return false, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, errors.Join(err, in.Close())
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("starting the process: %w", err)
	}
	p.cmd, p.pipe, p.line = cmd, in, newLine(out, in, mostAnswered)
	late := time.AfterFunc(greetsWithin, func() { _ = cmd.Process.Kill() })
	kind, hello, err := p.line.get()
	switch {
	case !late.Stop():
		return false, p.lost(fmt.Errorf("it has not come to Serve within %v: call that first of all in main", greetsWithin))
	case err != nil:
		return false, p.lost(err)
	case kind != greeting || len(hello) != 10 || hello[0] != version:
		return false, p.lost(errors.New("it does not run Serve of this release, or prints something before"))
	case !bytes.Equal(hello[2:], build()):
		return false, p.lost(errors.New("it is another build of the program, which was replaced since this one was started: start it again"))
	}
	return hello[1] == 1, nil
}

// greetsWithin is how long a process may take before it calls Serve.
const greetsWithin = 30 * time.Second

// lost ends the process, of which nothing more can be had because of err, and says so.
func (p *process) lost(err error) error {
	status := p.end()
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrClosed) {
		err = fmt.Errorf("it has ended: %w", status)
	}
	p.err = gone(fmt.Errorf("the process %s: %w", p.cmd.Path, err))
	return p.err
}

// gone says why there is no machine to be asked.
func gone(err error) error { return fmt.Errorf("%w: %w", store.ErrShadowGone, err) }

// endsWithin is how long a process has that was asked to end.
const endsWithin = time.Second

// end has the process end, and returns how it did.
func (p *process) end() (status error) {
	status = errors.New("it was ended before")
	p.once.Do(func() {
		_ = p.pipe.Close() // which Serve takes for the end
		kill := time.AfterFunc(endsWithin, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
		if status = p.cmd.Wait(); status == nil {
			status = errors.New("exit status 0")
		}
	})
	return status
}

// Close ends the process. It may be called at any time.
func (p *process) Close() error {
	if p.cmd != nil {
		_ = p.end() // how does not matter any more
	}
	return nil
}

// A refused is what a machine has refused with.
type refused string

// Error implements error.
func (r refused) Error() string { return string(r) }

// asked sends a question by put, and returns the answer, which is valid until the next. The
// error is a refused, or says that the process is gone.
func (p *process) asked(put func() error) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	if err := errors.Join(put(), p.line.w.Flush()); err != nil {
		return nil, p.lost(io.EOF) // a pipe that can't be written to says no more
	}
	return p.answer()
}

// answer reads an answer. The caller holds mu.
func (p *process) answer() ([]byte, error) {
	kind, data, err := p.line.get()
	switch {
	case err != nil:
		return nil, p.lost(err)
	case kind == refusal:
		return nil, refused(data)
	case kind != answer:
		return nil, p.lost(fmt.Errorf("a frame %q in place of an answer", kind))
	}
	return data, nil
}

// ask asks a question that has no data.
func (p *process) ask(kind byte) ([]byte, error) {
	return p.asked(func() error { return p.line.put(kind) })
}

// ApplyAt implements store.TimedMachine. The update is on its way when it returns.
func (p *process) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	var head [16]byte
	if !at.IsZero() {
		binary.LittleEndian.PutUint64(head[:], uint64(at.UnixNano()))
	}
	binary.LittleEndian.PutUint64(head[8:], index)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.line.put(askApply, head[:], update) != nil {
		_ = p.lost(io.EOF)
	}
	return nil, p.err
}

// Settle implements store.Settler.
func (p *process) Settle() error {
	_, err := p.ask(askSettle)
	var r refused
	if errors.As(err, &r) && len(r) >= 8 { // the index comes first
		return &store.ReplayError{Index: binary.LittleEndian.Uint64([]byte(r[:8])), Err: r[8:]}
	}
	return err
}

// Restore implements store.Machine.
func (p *process) Restore(snapshot io.Reader) error {
	var failed error // of reading the snapshot
	var writing errorWriter
	_, err := p.asked(func() error {
		if err := p.line.put(askRestore); err != nil {
			return err
		}
		writing.w = pieceWriter{p.line}
		_, failed = io.CopyBuffer(&writing, snapshot, make([]byte, pieceSize))
		last := byte(end)
		if failed != nil {
			last = half
		}
		return errors.Join(writing.err, p.line.put(last))
	})
	if failed != nil && writing.err == nil {
		return failed // what the machine says of half a state does not matter
	}
	return err // if the process is gone, how it has ended
}

// An errorWriter keeps the error of its writer apart from that of what is copied.
type errorWriter struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (e *errorWriter) Write(b []byte) (n int, err error) {
	n, e.err = e.w.Write(b)
	return n, e.err
}

// Snapshot implements store.Machine.
func (p *process) Snapshot() (io.WriterTo, error) {
	if _, err := p.ask(askSnapshot); err != nil {
		return nil, err
	}
	return (*captured)(p), nil
}

// A captured is the state that a process has captured.
type captured process

// WriteTo implements io.WriterTo. After an error of w it goes on reading: the process has no
// other way to be asked again.
func (c *captured) WriteTo(w io.Writer) (n int64, err error) {
	p := (*process)(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	if err := p.line.send(askWrite); err != nil {
		return 0, p.lost(io.EOF)
	}
	state := &pieces{l: p.line}
	n, failed := io.Copy(w, state)
	if _, err := io.Copy(io.Discard, state); err != nil {
		return n, p.lost(err)
	}
	if _, err := p.answer(); err != nil {
		return n, err
	}
	return n, failed
}

// Close implements io.Closer.
func (c *captured) Close() error {
	_, err := (*process)(c).ask(askClose)
	return err
}

// A digestingProcess is a process whose machine is a Digester.
type digestingProcess struct{ *process }

// StateDigest implements store.Digester. Without an answer it panics, since any number would
// be taken for a state that differs; the snapshot fails with that.
func (p *digestingProcess) StateDigest() uint64 {
	b, err := p.ask(askDigest)
	if err == nil && len(b) != 8 {
		err = errors.New("shadow: a digest that is none")
	}
	if err != nil {
		panic(err)
	}
	return binary.LittleEndian.Uint64(b)
}
