//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/store"
)

// A terminal that is closed ends a command as an interrupt does: what it was told
// before is durable, nothing is left lying about, and the exit status says why.
func TestAHangUpEndsACommandInOrder(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("these tests run under nohup, and so would the command")
	}
	path := filepath.Join(t.TempDir(), "app.state")
	cmd := exec.Command("stateio", "append", "--ack", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if status, _ := exitStatus(err); status != 129 || !strings.Contains(errs.String(), "1 update of this run are durable") {
		t.Fatal(err, errs.String())
	}
}

// A signal ends a command that waits for the reader of a pipe: one that reads no more, or one
// that has not come.
func TestASignalEndsACommandThatWaitsForAReader(t *testing.T) {
	dir := t.TempDir()
	path, first, never := filepath.Join(dir, "app.state"), filepath.Join(dir, "first"), filepath.Join(dir, "never")
	runStateio(t, 0, nil, "append", path)
	runStateio(t, 0, strings.NewReader(strings.Repeat("x", 4<<20)), "snapshot", path) // no pipe has room for it
	for _, fifo := range []string{first, never} {
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for sig, args := range map[syscall.Signal][]string{
		syscall.SIGTERM: {"restore", path},
		syscall.SIGHUP:  {"restore", path, "--state", first, "--updates", never},
	} {
		if signal.Ignored(sig) {
			continue // under nohup
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "hasty", args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if len(args) == 2 {
			_, err = io.ReadFull(out, make([]byte, 1)) // and no more
		} else {
			_, err = os.ReadFile(first)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		// Not by cmd, which would close the pipe.
		state, err := cmd.Process.Wait()
		if err != nil || state.ExitCode() != 128+int(sig) {
			t.Errorf("%q: %v, %v", args, state, err)
		}
		_ = out.Close()
	}
}

// The reader of two pipes may read one after the other, whatever is restored: a file, a store, or
// one that has no state.
func TestTwoPipesAreReadOneAfterTheOther(t *testing.T) {
	lines := numbered(0, 2000) // more than a pipe and a buffer have room for
	for _, kind := range []string{"file", "store", "no state"} {
		dir := t.TempDir()
		path, state := filepath.Join(dir, "app"), "the state"
		if kind == "file" {
			runStateio(t, 0, nil, "append", path)
		} else if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if kind == "no state" {
			state = ""
		} else {
			runStateio(t, 0, strings.NewReader(state), "snapshot", path)
		}
		runStateio(t, 0, strings.NewReader(lines), "append", "--batch", "2000", path)
		args := []string{"restore", path}
		for _, name := range []string{"state", "updates"} {
			args = append(args, "--"+name, filepath.Join(dir, name))
			if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "stateio", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got, err := exec.CommandContext(ctx, "cat", args[3], args[5]).Output()
		if err := errors.Join(err, cmd.Wait()); err != nil || string(got) != state+lines {
			t.Errorf("%s: %d bytes are read, %v", kind, len(got), err)
		}
	}
}

// What append and snapshot make in a store has the permissions of what the program has made there:
// others may read it, or have to.
func TestNewFilesOfAStoreHaveTheModeOfTheOld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	s, err := store.Open(dir, &blindMachine{}, &store.Options{FileMode: 0o666, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := modeOf(dir)
	if want == 0o600 {
		t.Skip("the umask leaves no permissions for others")
	}
	mustRun(t, "one\n", "append", dir)
	mustRun(t, "state", "snapshot", dir)
	files := mustGlob(t, dir, ".log", ".snap")
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, not %v; %v", path, info.Mode(), want, err)
		}
	}
	if len(files) < 3 {
		t.Errorf("there are only the files %q", files)
	}
}

// Only a descriptor that the command was started with is written to: another may be of one of its
// own files.
func TestOnlyADescriptorThatWasPassedOnIsAnOutput(t *testing.T) {
	own, err := os.Create(filepath.Join(t.TempDir(), "own"))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	passed, err := unix.Dup(int(own.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := (outputs{}).open(fmt.Sprint("/dev/fd/", own.Fd())); err == nil || !strings.Contains(err.Error(), "started with no such descriptor") {
		t.Errorf("of its own: %v, %v", out, err)
	}
	out, err := outputs{}.open(fmt.Sprint("/dev/fd/", passed))
	if err == nil {
		err = out.commit()
	}
	if err != nil {
		t.Errorf("passed on: %v", err)
	}
}

// fullPipe returns the end of a pipe that has no room, and whose reader takes nothing.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var ends [2]int
	if err := unix.Pipe(ends[:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(ends[0]) })
	for _, fd := range ends {
		unix.CloseOnExec(fd)
	}
	err := unix.SetNonblock(ends[1], true)
	for size := 64 << 10; err == nil && size > 0; {
		n, werr := unix.Write(ends[1], make([]byte, size))
		if n <= 0 {
			size /= 2
		}
		if werr != nil && werr != unix.EAGAIN {
			err = werr
		}
	}
	if err := errors.Join(err, unix.SetNonblock(ends[1], false)); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(ends[1]), "full")
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// Nor does a quit wait for whoever should read what it says.
func TestAQuitWaitsForNoReader(t *testing.T) {
	heed(t, os.Interrupt)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "hasty", "append", "--ack", filepath.Join(t.TempDir(), "app.state"))
	cmd.Stderr = fullPipe(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if status, _ := exitStatus(cmd.Wait()); status != 131 {
		t.Errorf("exit status %d", status)
	}
}

// What a shell runs in the background ignores an interrupt and a quit, which the terminal sends
// to it as well, and a request to terminate ends it.
func TestACommandInTheBackgroundHeedsNoInterrupt(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	path := filepath.Join(t.TempDir(), "app.state")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `stateio append --ack "$0" < "$1" & echo $!; wait $!; echo $?`, path, fifo)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	lines := bufio.NewScanner(out)
	next := func() string {
		lines.Scan()
		return lines.Text()
	}
	pid, err := strconv.Atoi(next())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []syscall.Signal{0, syscall.SIGINT, syscall.SIGQUIT} {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
		if _, err := in.WriteString("line\n"); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != strconv.Itoa(i+1) {
			t.Fatalf("after %v it has acknowledged %q", s, got)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "143" {
		t.Errorf("exit status %s", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A quit ends a command at once, says what it was doing, and is no wrong command line.
func TestAQuitIsNoWrongCommandLine(t *testing.T) {
	heed(t, os.Interrupt)
	cmd := exec.Command("stateio", "append", "--ack", filepath.Join(t.TempDir(), "app.state"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if status, _ := exitStatus(cmd.Wait()); status != 131 || !strings.Contains(errs.String(), ".appendAll(") {
		t.Errorf("exit status %d: %s", status, errs.String())
	}
}

// A file that is replaced, by compact or restore --force, stays that of its owner.
func TestAFileThatIsReplacedKeepsItsOwnerAndMode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of somebody else's")
	}
	dir := t.TempDir()
	path, out := filepath.Join(dir, "app.state"), filepath.Join(dir, "out")
	runStateio(t, 0, strings.NewReader("one\ntwo\n"), "append", path)
	if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, out} {
		if err := os.Chown(name, 65534, 4); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, 0o640); err != nil {
			t.Fatal(err)
		}
		setAttribute(t, name)
	}
	for _, args := range [][]string{{"compact", path}, {"restore", path, "--updates", out, "--force"}} {
		if _, errs := runStateio(t, 0, nil, args...); errs != "" {
			t.Errorf("%q: %s", args, errs)
		}
	}
	for _, name := range []string{path, out} {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != 65534 || st.Gid != 4 || st.Mode&0o777 != 0o640 {
			t.Errorf("%s: owner %d, group %d, mode %o", name, st.Uid, st.Gid, st.Mode)
		}
		checkAttribute(t, name)
	}
}
