package fsys_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
)

// A file on which another process has a lease, as a server of files has for its clients, is
// opened when that was given up.
func TestOpenWaitsForALease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leased")
	check(t, fsystest.Create(t, fsys.OS{}, path, "").Close())
	opens := map[string]func() error{
		"Open": func() error {
			f, err := fsys.OS{}.Open(path, fsys.ReadWrite, 0)
			if err == nil {
				err = f.Close()
			}
			return err
		},
		"Lock": func() error {
			l, err := fsys.OS{}.Lock(path, 0o600)
			if err == nil {
				err = l.Close()
			}
			return err
		},
	}
	for name, open := range opens {
		holder, err := os.Open(path)
		check(t, err)
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, unix.SIGIO)
		if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
			t.Skipf("there are no leases here: %v", err)
		}
		opened := make(chan error, 1)
		go func() { opened <- open() }()
		<-asked
		check(t, holder.Close()) // which gives it up
		if err := <-opened; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		signal.Stop(asked)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
