// Package child runs a part of a comparison in a process of its own, which is the same
// program again: what it takes of memory is its own, and it can be killed.
package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/stateio/stateio/bench/engine"
)

// A Job is what a child does.
type Job struct {
	Do         string // write, read, fill or open
	Engine     string // by name
	Dir        string
	Goroutines int
	Size       int  // of an update
	Updates    int  // for fill
	KeepLog    bool // see [engine.Options]
}

// variable is in the environment of a child. It has the Job.
const variable = "STATEIO_BENCH_JOB"

// Main does nothing in a process that is not a child. In one it does the job with the
// engine of that name, and ends the process. The function main begins with it, and the
// TestMain of tests that start children.
func Main(all []engine.Engine) {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	_ = os.Unsetenv(variable) // a child has no children of its own
	if err := work(text, all); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func work(text string, all []engine.Engine) error {
	var j Job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(e engine.Engine) bool { return e.Name == j.Engine })
	if at < 0 {
		return fmt.Errorf("no engine is called %q", j.Engine)
	}
	do := map[string]func(engine.Engine) (any, error){"write": j.write, "read": j.read, "fill": j.fill, "open": j.open}[j.Do]
	if do == nil {
		return fmt.Errorf("there is no job %q", j.Do)
	}
	result, err := do(all[at])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// command returns the program as a child that does j.
func (j Job) command(ctx context.Context) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, program)
	c.Env = append(os.Environ(), variable+"="+string(text))
	ownGroup(c)
	c.Cancel = func() error { return killGroup(c) }
	return c, nil
}

// Run has a child do j, and decodes what it returns into result. An error that the job
// itself met is a [*Failure].
func (j Job) Run(ctx context.Context, result any) error {
	c, err := j.command(ctx)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	errs := limited{most: 64 << 10}
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return &Failure{text: errs.String(), err: err}
	}
	return json.Unmarshal(out.Bytes(), result)
}

// A Failure is that a child did not end well.
type Failure struct {
	text string // that it wrote to its standard error
	err  error
}

func (f *Failure) Error() string {
	first, _, _ := strings.Cut(strings.TrimSpace(f.text), "\n")
	if first == "" {
		return f.err.Error()
	}
	return first
}

// Unwrap returns how the process ended, or that its time was over.
func (f *Failure) Unwrap() error { return f.err }

// limited keeps the beginning of what is written to it.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	_, err := l.Buffer.Write(p[:min(len(p), l.most-l.Len())])
	return len(p), err
}

// A Writer is a child that writes updates when it is told to.
type Writer struct {
	command *exec.Cmd
	tell    io.Writer
	acks    io.Reader
	errs    *limited
}

// Start starts a child that does the job write.
func (j Job) Start(ctx context.Context) (*Writer, error) {
	j.Do = "write"
	c, err := j.command(ctx)
	if err != nil {
		return nil, err
	}
	w := &Writer{command: c, errs: &limited{most: 64 << 10}}
	c.Stderr = w.errs
	if w.tell, err = c.StdinPipe(); err != nil {
		return nil, err
	}
	if w.acks, err = c.StdoutPipe(); err != nil {
		return nil, err
	}
	return w, c.Start()
}

// Tell tells the child to write so many updates more, or, by 0, without an end.
func (w *Writer) Tell(updates int) error {
	_, err := fmt.Fprintln(w.tell, updates)
	return w.explain(err)
}

// Acknowledged returns the number of the next update that the child says is durable. The
// error is io.EOF when there is none any more, after [Writer.Kill].
func (w *Writer) Acknowledged() (uint64, error) {
	var number [8]byte
	if _, err := io.ReadFull(w.acks, number[:]); err != nil {
		return 0, err
	}
	return fromBytes(number[:]), nil
}

// Kill kills the child, with all that it started, by SIGKILL.
func (w *Writer) Kill() error { return killGroup(w.command) }

// Wait waits until the child is no more. All acknowledged numbers must have been read.
func (w *Writer) Wait() { _ = w.command.Wait() } // it was killed

// explain adds what the child said.
func (w *Writer) explain(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, w.Failed())
}

// Failed returns what the child wrote to its standard error, after Wait, or nil.
func (w *Writer) Failed() error {
	if text := strings.TrimSpace(w.errs.String()); text != "" {
		return &Failure{text: text, err: errors.New("the child failed")}
	}
	return nil
}
