package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A standardOutput is standard output. It tells that its reader has gone from a
// broken pipe elsewhere: the one is how head ends, the other is a failure. It remembers
// a failure, for what is written by code that does not look at errors, such as help.
type standardOutput struct {
	file *os.File

	mu  sync.Mutex
	err error // the first one
}

func (o *standardOutput) Write(b []byte) (int, error) {
	n, err := o.file.Write(b)
	if isBrokenPipe(err) {
		err = closedError{err}
	}
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = fmt.Errorf("writing to standard output: %w", err)
		}
	}
	return n, err
}

// failure returns the first error of a Write.
func (o *standardOutput) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Fd is for asking the terminal how wide it is.
func (o *standardOutput) Fd() uintptr { return o.file.Fd() }

// A closedError says that nobody reads standard output any more.
type closedError struct{ error }

func (e closedError) Unwrap() error { return e.error }

// errNoReader is what a closedError says that no write has told.
var errNoReader = errors.New("nobody reads standard output any more")

// onlyClosed reports whether err says nothing but that standard output has no
// reader any more.
func onlyClosed(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it is the wrapping that is looked at
	case closedError:
		return true
	case interface{ Unwrap() error }:
		return onlyClosed(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if !onlyClosed(err) {
				return false
			}
		}
		return true
	}
	return false
}

// A heedless writer goes on when nobody listens any more: what is found is worth
// an exit status.
type heedless struct {
	w      io.Writer
	closed error // a closedError; nil: somebody listens
}

func (h *heedless) Write(b []byte) (int, error) {
	if h.closed != nil {
		return len(b), nil
	}
	n, err := h.w.Write(b)
	if onlyClosed(err) {
		h.closed = err
		return len(b), nil
	}
	return n, err
}

// or returns err, and if that is nil, that nobody listens any more.
func (h *heedless) or(err error) error {
	if err == nil {
		return h.closed
	}
	return err
}
