//go:build unix

package fsys_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
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
		for _, mode := range []fsys.Mode{fsys.ReadOnly, fsys.ReadWrite} {
			_, err := fsys.OS{}.Open(path, mode, 0)
			fsystest.WantErr(t, err, fsys.ErrNotRegular, path)
		}
		_, err := fsys.OS{}.Lock(path, 0o600)
		fsystest.WantErr(t, err, fsys.ErrNotRegular, path)
	}
}

// TestOpenChecksWhatItOpened is about a path that changes after the first look.
func TestOpenChecksWhatItOpened(t *testing.T) {
	dir := t.TempDir()
	fifo, link, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fsystest.Create(t, fsys.OS{}, file, "")
	symlink(t, file, link)
	for _, path := range []string{fifo, link, "/dev/null"} {
		_, err := fsys.OpenRegular(path, os.O_RDWR)
		fsystest.WantErr(t, err, fsys.ErrNotRegular, path)
		_, err = fsys.OpenRegular(path, os.O_RDONLY)
		fsystest.WantErr(t, err, fsys.ErrNotRegular, path)
	}
}

func TestFilesAreNotInherited(t *testing.T) {
	f := fsystest.Create(t, fsys.OS{}, filepath.Join(t.TempDir(), "a"), "")
	flags, err := unix.FcntlInt(fsys.Descriptor(f), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: want close-on-exec", flags, err)
	}
}
