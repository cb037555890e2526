package store_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/store"
)

// A sandbox answers a system call that a store can do without, with any of the errors
// that sandboxes answer with. The store works nevertheless, and what it wrote in a
// process that may make the call can be used in one that may not.
func TestASandboxThatRefusesWhatIsOptional(t *testing.T) {
	if task := os.Getenv(childEnv); task != "" {
		inSandbox(t, task)
		return
	}
	for name, nr := range map[string]int{"statx": unix.SYS_STATX, "fallocate": unix.SYS_FALLOCATE, "fadvise": sysFadvise} {
		for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS} {
			t.Run(name+" "+errno.Error(), func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, dir, &journal{}, nil)
				update(t, s, "outside")
				check(t, s.Close())
				sandboxed(t, dir, nr, errno)
				m := &journal{}
				open(t, dir, m, nil).Close()
				if got := strings.Join(m.updates, " "); got != "outside one two" {
					t.Errorf("the updates are %q", got)
				}
			})
		}
	}
}

// Locks are not optional: one of them must be had.
func TestASandboxWithoutLocksIsToldSo(t *testing.T) {
	if task := os.Getenv(childEnv); task != "" {
		inSandbox(t, task)
		return
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS, unix.ENOLCK} {
		sandboxed(t, t.TempDir(), unix.SYS_FLOCK, errno)
	}
}

// sandboxed does in a sandbox what inSandbox does.
func sandboxed(t *testing.T, dir string, nr int, errno unix.Errno) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(exe, "-test.run", "^"+test+"$")
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{"enter", strconv.Itoa(nr), strconv.Itoa(int(errno)), dir}, " "))
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), noSandbox) {
			t.Skip(string(out))
		}
		t.Errorf("%v: %v\n%s", errno, err, out)
	}
}

const noSandbox = "there are no sandboxes here"

// inSandbox enters a sandbox, by starting the program again in it, or is in one.
func inSandbox(t *testing.T, task string) {
	fields := strings.SplitN(task, " ", 4)
	nr, err := strconv.Atoi(fields[1])
	check(t, err)
	errno, err := strconv.Atoi(fields[2])
	check(t, err)
	if fields[0] == "enter" {
		runtime.LockOSThread()
		if err := refuse(uint32(nr), uint32(errno)); err != nil {
			t.Fatal(noSandbox, ": ", err)
		}
		t.Setenv(childEnv, strings.Join(append([]string{"inside"}, fields[1:]...), " "))
		t.Fatal(unix.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	if nr == unix.SYS_FLOCK {
		s, err := store.Open(fields[3], &journal{}, quiet(nil))
		if err == nil || !strings.Contains(err.Error(), "can't be locked") || !strings.Contains(err.Error(), unix.Errno(errno).Error()) {
			t.Error(err)
		}
		if s != nil {
			s.Close()
		}
		return
	}
	useStore(t, fields[3])
	useStore(t, filepath.Join(t.TempDir(), "new", "store"))
}

// useStore makes two updates and a snapshot, and looks at what is there.
func useStore(t *testing.T, dir string) {
	t.Helper()
	m := &journal{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1, PreallocateBytes: 600})
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	update(t, s, "two")
	check(t, s.Close())
	reports, err := store.Check(t.Context(), dir, nil)
	check(t, err)
	for _, r := range reports {
		if len(r.Damage) > 0 {
			t.Errorf("%+v", r)
		}
	}
	again := &journal{}
	check(t, open(t, dir, again, nil).Close())
	if len(again.updates) != len(m.updates) {
		t.Errorf("%q became %q", m.updates, again.updates)
	}
}

// refuse makes the kernel answer a system call of this thread, and of what it
// executes, with an error.
func refuse(nr, errno uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: nr},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, failed := unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if failed != 0 {
		return failed
	}
	return nil
}
