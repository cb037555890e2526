// Command queue writes lines of text when they are due, and loses none by kill -9 or a
// power cut.
//
//	go run ./examples/queue -dir queue-data
//	5s tea is ready
//	1h30m call home
//
// Each line of standard input is a job: how long to wait, and what to write then to
// standard output. A job is acknowledged ("1: due at ...", on standard error) when it is
// on the disk. One that was written, but not noted as done when the program was killed,
// is written again after a minute: at least once.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/stateio/stateio/store"
)

func main() {
	dir := flag.String("dir", "queue-data", "directory of the data")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "queue: unexpected argument %q: jobs are lines of standard input\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	q, err := open(*dir, nil)
	if err != nil {
		log.Fatal("queue: ", err)
	}
	go func() { // it may wait for input for ever
		if err := q.read(ctx, os.Stdin, os.Stderr); err != nil {
			log.Fatal("queue: ", err)
		}
	}()
	err = q.run(ctx, os.Stdout)
	if err := errors.Join(err, q.store.Close()); err != nil {
		log.Fatal("queue: ", err)
	}
}

// lease is how long a job may take.
const lease = time.Minute

// maxText is how long the text of a job may be, in bytes.
const maxText = 1 << 20

// A queue is the store with what it keeps.
type queue struct {
	store *store.Typed[update, job]
	jobs  *jobs
	added chan struct{} // holds a token when a job was added
	mu    sync.Mutex    // held while a line is written
}

func open(dir string, opts *store.Options) (*queue, error) {
	q := &queue{jobs: &jobs{}, added: make(chan struct{}, 1)}
	var err error
	q.store, err = store.OpenTyped(dir, q.jobs, nil, opts)
	return q, err
}

// read adds the jobs in r, and acknowledges each of them, until ctx ends.
func (q *queue) read(ctx context.Context, r io.Reader, acks io.Writer) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		after, text, _ := strings.Cut(line, " ")
		if len(text) > maxText {
			_ = q.write(acks, "not a job: it has %d bytes, and the limit is %d", len(text), maxText)
			continue
		}
		if !utf8.ValidString(text) { // which the codec of updates would refuse
			_ = q.write(acks, "not a job: %q: it is not valid UTF-8", line)
			continue
		}
		d, err := time.ParseDuration(after)
		if err != nil {
			_ = q.write(acks, "not a job: %v: begin with how long to wait, like 1m30s", err)
			continue
		}
		j, err := q.store.Update(ctx, update{Add: &add{Text: text, After: d}})
		if ctx.Err() != nil && err != nil {
			return nil
		}
		if err != nil {
			return err
		}
		_ = q.write(acks, "%d: due at %s", j.ID, j.Due.Local().Format(time.DateTime)) // it is kept, read or not
		select {
		case q.added <- struct{}{}:
		default: // there is one already
		}
	}
}

// run writes the jobs that are due, until ctx ends.
func (q *queue) run(ctx context.Context, out io.Writer) error {
	for {
		j, err := q.store.Update(ctx, update{Take: &take{Lease: lease}})
		switch {
		case err == nil:
			if err = q.write(out, "%s", j.Text); err != nil {
				return fmt.Errorf("writing job %d, which stays in the queue: %w", j.ID, err)
			}
			if _, err = q.store.Update(ctx, update{Done: &done{j.ID, j.Attempt}}); errors.Is(err, errGone) {
				err = nil // it took longer than its lease
			}
		case errors.Is(err, errNotDue):
			err = nil
			q.wait(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wait waits until a job may be due.
func (q *queue) wait(ctx context.Context) {
	wait := time.Hour
	_ = q.store.View(func() error { // it returns what the function returns: nil
		if len(q.jobs.waiting) > 0 {
			wait = max(time.Until(q.jobs.waiting[0].Due), time.Millisecond)
		}
		return nil
	})
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.added:
	case <-ctx.Done():
	}
}

// write writes a line.
func (q *queue) write(w io.Writer, format string, args ...any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, err := fmt.Fprintf(w, format+"\n", args...)
	return err
}
