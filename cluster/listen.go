package cluster

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

const (
	listenTries = 20
	listenPause = 5 * time.Millisecond
)

// listen listens at addr. A node of this program that had the address and has closed may
// seem to have it still, for a moment: a child of the program that is between fork and exec
// has its descriptors. So an address that is in use is tried for 0.1 s.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	return listenBy(ctx, func() (net.Listener, error) { return net.Listen("tcp", addr) })
}

func listenBy(ctx context.Context, try func() (net.Listener, error)) (ln net.Listener, err error) {
	for range listenTries {
		if ln, err = try(); !errors.Is(err, syscall.EADDRINUSE) {
			return ln, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(listenPause):
		}
	}
	return nil, err
}
