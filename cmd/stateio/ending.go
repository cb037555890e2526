package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// grace is how long a command may take to end in order after a signal. It may wait for what
// never comes, such as the reader of a pipe.
var grace = 2 * time.Second

// An ending ends the process when the command does not end by itself.
type ending struct {
	patience func() <-chan time.Time // receives when it is at an end
	stderr   io.Writer
	exit     func(status int)
}

// newEnding returns the ending of this process.
func newEnding() ending {
	return ending{func() <-chan time.Time { return time.After(grace) }, os.Stderr, os.Exit}
}

// giveUp ends the process by a signal that the command has been told of, unless it ends by
// itself before. What is made durable meanwhile is waited for.
func (e ending) giveUp(by interrupted) {
	for before := committing.Load(); ; {
		<-e.patience()
		now := committing.Load()
		if now == before && now%2 == 0 {
			break
		}
		before = now
	}
	e.tell(fmt.Appendf(nil, "stateio: %v: what was being done did not end, and is given up\n", by))
	temporary.remove()
	e.exit(statusOf(by))
}

// tell writes to standard error, which may be what nobody reads: then it is left at that.
func (e ending) tell(text []byte) {
	told := make(chan struct{})
	go func() {
		_, _ = e.stderr.Write(text) // there is nowhere else to tell
		close(told)
	}()
	select {
	case <-told:
	case <-e.patience():
	}
}

// committing counts the beginnings and the ends of what makes something durable: it is odd
// meanwhile.
var committing atomic.Int64

// durably does what makes updates or a state durable, and what says so after it: a signal waits
// for it, however long it takes.
func durably(do func() error) error {
	committing.Add(1)
	defer committing.Add(1)
	return do()
}

// temporary are the paths of what this process has made and must not leave.
var temporary pathSet

// A pathSet is a set of paths. Its methods may be called at any time.
type pathSet struct {
	mu    sync.Mutex
	paths map[string]bool
}

// add adds a path.
func (s *pathSet) add(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths == nil {
		s.paths = map[string]bool{}
	}
	s.paths[path] = true
}

// forget takes a path out: it is removed, or what is there is no longer temporary.
func (s *pathSet) forget(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paths, path)
}

// remove removes what is at the paths. What can't be removed, as what is open on Windows, the
// next run removes.
func (s *pathSet) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range s.paths {
		_ = os.RemoveAll(path)
	}
}
