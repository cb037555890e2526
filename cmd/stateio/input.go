package main

import (
	"bufio"
	"context"
	"errors"
	"io"
)

// A piece is an update that was read, or the error that ended reading.
type piece struct {
	update []byte
	err    error
}

// readUpdates sends what r holds, split behind each delim, to the channel that
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
		b, err := io.ReadAll(r)
		if err == nil {
			send(ctx, pieces, piece{update: b})
			err = io.EOF
		}
		send(ctx, pieces, piece{err: err})
	}()
	return pieces
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
