package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
	"golang.org/x/term"
)

// A piece is an update that was read, or the error that ended reading.
type piece struct {
	update []byte
	err    error
}

// readUpdates sends what r holds, split after each delim, to the channel that
// it returns, and then the error that ended it: io.EOF if all is well. What
// follows the last delim is an update, too, unless it is nothing.
func readUpdates(ctx context.Context, r io.Reader, delim byte) <-chan piece {
	pieces := make(chan piece)
	go func() {
		in := bufio.NewReaderSize(r, 64<<10)
		for {
			b, err := in.ReadBytes(delim)
			if err == nil {
				b = b[:len(b)-1]
			}
			if err != nil && !errors.Is(err, io.EOF) {
				b = nil // cut short, nobody knows where
			}
			if err == nil || len(b) > 0 {
				if !send(ctx, pieces, piece{update: b}) {
					return
				}
			}
			if err != nil {
				send(ctx, pieces, piece{err: err})
				return
			}
		}
	}()
	return pieces
}

// readWhole sends all of r as one piece.
func readWhole(ctx context.Context, r io.Reader) <-chan piece {
	pieces := make(chan piece)
	go func() {
		b, err := readAll(r)
		if err == nil {
			send(ctx, pieces, piece{update: b})
			err = io.EOF
		}
		send(ctx, pieces, piece{err: err})
	}()
	return pieces
}

// notItself returns an error if standard input is what is appended to: nobody means that, and
// what was appended would be read and appended again, with -0 until the disk is full.
func notItself(in io.Reader, path string) error {
	file, ok := in.(*os.File)
	if !ok {
		return nil
	}
	input, err := file.Stat()
	if err != nil || !input.Mode().IsRegular() {
		return nil // reading it tells
	}
	paths := []string{path}
	if files, err := store.Files(path); err == nil {
		for _, f := range files {
			paths = append(paths, f.Path)
		}
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, input) {
			return usageError{fmt.Errorf("standard input is %s, which is to be appended to: name another file", path)}
		}
	}
	return nil
}

// tellWaiting says that a command waits for what is typed, if that is what it does.
func tellWaiting(cmd *cobra.Command, how string) {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		cmd.PrintErrf("stateio: reading from the terminal: %s\n", how)
	}
}

// send sends p unless ctx ends before it is taken.
func send(ctx context.Context, pieces chan<- piece, p piece) bool {
	select {
	case pieces <- p:
		return true
	case <-ctx.Done():
		return false
	}
}

// readAll returns all that r holds. It takes twice the memory of that, where
// io.ReadAll, which grows a slice, takes three times and more.
func readAll(r io.Reader) ([]byte, error) {
	var pieces [][]byte
	for size := 4 << 10; ; size = min(2*size, 1<<20) {
		b := make([]byte, size)
		n, err := io.ReadFull(r, b)
		pieces = append(pieces, b[:n])
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return bytes.Join(pieces, nil), nil
		case err != nil:
			return nil, err
		}
	}
}
