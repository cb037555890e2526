//go:build unix

package fsys

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSpecialFilesAreRefused also shows that nothing blocks: nobody ever opens
// the other end of the FIFO.
func TestSpecialFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir) // the path of a socket must be short
	sock, err := net.Listen("unix", "sock")
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	for _, path := range []string{fifo, "sock", "/dev/null"} {
		for _, mode := range []Mode{ReadOnly, ReadWrite} {
			_, err := OS{}.Open(path, mode, 0)
			wantErr(t, err, ErrNotRegular, path)
		}
		_, err := OS{}.Lock(path, 0o600)
		wantErr(t, err, ErrNotRegular, path)
	}
}

// TestOpenChecksWhatItOpened is about a path that changes after the first look.
func TestOpenChecksWhatItOpened(t *testing.T) {
	dir := t.TempDir()
	fifo, link, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	create(t, OS{}, file, "")
	symlink(t, file, link)
	for _, path := range []string{fifo, link, "/dev/null"} {
		_, err := openRegular(named(path), os.O_RDWR, 0)
		wantErr(t, err, ErrNotRegular, path)
		_, err = openRegular(named(path), os.O_RDONLY, 0)
		wantErr(t, err, ErrNotRegular, path)
	}
}

func TestInterruptedCallsAreRepeated(t *testing.T) {
	for _, end := range []error{nil, syscall.EIO} {
		n := 0
		err := retry(func() error {
			if n++; n < 3 {
				return syscall.EINTR
			}
			return end
		})
		if !errors.Is(err, end) || n != 3 {
			t.Errorf("%d calls, %v; want 3, %v", n, err, end)
		}
	}
}

func TestFilesAreNotInherited(t *testing.T) {
	f := create(t, OS{}, filepath.Join(t.TempDir(), "a"), "")
	flags, err := unix.FcntlInt(f.(*osFile).fd, unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: want close-on-exec", flags, err)
	}
}
