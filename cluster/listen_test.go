package cluster

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
)

// TestAnAddressInUseIsTriedAgain has an address that is free after some tries, one that is
// not, and one that can't be had.
func TestAnAddressInUseIsTriedAgain(t *testing.T) {
	inUse := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	denied := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}
	for name, c := range map[string]struct {
		err    error
		fails  int
		tries  int
		listen bool
	}{
		"free":              {inUse, 0, 1, true},
		"free after a time": {inUse, 3, 4, true},
		"of another":        {inUse, listenTries, listenTries, false},
		"not to be had":     {denied, 3, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			ln, err := listenBy(t.Context(), func() (net.Listener, error) {
				if tries++; tries <= c.fails {
					return nil, c.err
				}
				return &net.TCPListener{}, nil
			})
			if tries != c.tries || (ln != nil) != c.listen {
				t.Errorf("%s: after %d tries: %v, %v", name, tries, ln, err)
			}
			if !c.listen && !errors.Is(err, c.err) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
