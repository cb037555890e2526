//go:build amd64 || arm64

package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/crashtest"
)

// childEnv makes the program a child; it holds an order.
const childEnv = "STATEIO_LAB_CHILD"

// An order is what a child is to do: one life, which it reports through its file
// descriptor 3, a socket. An error from the disk does not surprise it.
type order struct {
	Subject string
	Dir     string
	Seed    uint64
	Turns   int // lives before this one
	Steps   int

	// FileSize limits the size of files, in bytes, from the start or from some
	// step on; 0: no limit.
	FileSize int64
}

// reportFD is where the parent's socket is.
const reportFD = 3

// report tells the parent what happened. It does not call write, which may be made
// to fail.
func report(event string) {
	if err := unix.Send(reportFD, []byte(event+"\n"), 0); err != nil {
		os.Exit(2) // the parent is gone
	}
}

// child does what it is ordered to, with one writer, on a thread of its own:
// strace counts the calls of each thread.
func child(spec string) error {
	runtime.LockOSThread()
	var o order
	if err := json.Unmarshal([]byte(spec), &o); err != nil {
		return err
	}
	l := &life{
		dir: o.Dir, steps: o.Steps, stubborn: true, noted: report,
		turns: o.Turns, rng: rand.New(rand.NewPCG(o.Seed, 3)),
	}
	if o.FileSize > 0 {
		if err := l.limit(o.FileSize); err != nil {
			return err
		}
	}
	return subjects[o.Subject].live(l)
}

// limit limits the size of files, now or at some step.
func (l *life) limit(bytes int64) error {
	set := func() error {
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(bytes), Max: unix.RLIM_INFINITY})
	}
	left := l.intN(l.steps + 1)
	if left == 0 {
		return set()
	}
	l.begin = func() {
		if left--; left == 0 {
			l.fail(set())
		}
	}
	return nil
}

var subjects = map[string]subject{aStore.name: aStore, aStateFile.name: aStateFile}

// startChild has a child do an order, and hears its reports. It returns how the
// child ended, and with an error if what it reported is wrong. wrap makes the
// command of the child another one; nil: it does not.
func startChild(t *testing.T, o order, hist *crashtest.History, wrap func(*exec.Cmd)) (ended error, err error) {
	t.Helper()
	spec, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, its := os.NewFile(uintptr(fds[0]), "reports"), os.NewFile(uintptr(fds[1]), "reports")
	defer mine.Close()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	if exe, err := os.Executable(); err == nil {
		cmd = exec.CommandContext(t.Context(), exe)
	}
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec), "GOMAXPROCS=1", "GOTRACEBACK=none")
	cmd.ExtraFiles = []*os.File{its} // becomes reportFD
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if wrap != nil {
		wrap(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	its.Close()
	err = hear(mine, hist)
	if _, rerr := io.Copy(io.Discard, mine); rerr != nil { // let it end
		err = errors.Join(err, rerr)
	}
	if ended = cmd.Wait(); ended != nil {
		ended = fmt.Errorf("%w: %s", ended, strings.TrimSpace(stderr.String()))
	}
	return ended, err
}

// hear notes what a child reports.
func hear(r io.Reader, hist *crashtest.History) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var a, b uint64
		var what string
		n, err := fmt.Sscan(lines.Text(), &what, &a, &b)
		switch {
		case n == 3 && what == "opened":
			m := &crashtest.Machine{Count: a, Digest: b}
			if err := hist.Check(m); err != nil {
				return err
			}
			hist.Recovered(m)
		case n == 2 && what == "submits":
			hist.Next(int(a))
		case n == 2 && what == "acked":
			hist.Acked(int(a))
		case what == "refused":
			hist.Refused()
		case lines.Text() == "acked after failure":
			return errors.New("an update was acknowledged after the failure")
		default:
			return fmt.Errorf("the child says %q: %w", lines.Text(), err)
		}
	}
	return lines.Err()
}

// judge opens what a child left, without any faults, and closes it.
func judge(s subject, dir string, hist *crashtest.History) error {
	return s.live(&life{dir: dir, hist: hist, rng: rand.New(rand.NewPCG(1, 1))})
}
