//go:build amd64 || arm64

package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// Scratch is a directory in memory that only this process and its children
	// see, after EnterNamespace.
	Scratch = "/dev/shm"

	insideEnv = "STATEIO_LAB_INSIDE"
)

// EnterNamespace gives the process a mount namespace of its own, with a
// file system in memory at Scratch, and makes that the directory for temporary
// files. The kernel unmounts all of it when the process and its children have
// ended, in whichever way.
//
// It starts the program again, in its place, with the same arguments; the call
// made then returns nil. It must be the first thing that a program does. An
// error says what is missing, and that nothing has changed.
func EnterNamespace() error {
	if os.Getenv(insideEnv) != "" {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("mounting file systems needs root")
	}
	// Only this thread enters, and exec leaves it alone in the process.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", Scratch, "tmpfs", 0, "mode=0700,size=80%")
	}
	if err != nil {
		// The thread stays locked, and no other code comes to run in there.
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	env := append(os.Environ(), insideEnv+"=1", "TMPDIR="+Scratch)
	return fmt.Errorf("starting the program again: %w", unix.Exec("/proc/self/exe", os.Args, env))
}
