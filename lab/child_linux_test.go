//go:build amd64 || arm64

package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/lab/kernel"
)

// childEnv makes the program a child, which gets orders and reports what it does
// through its file descriptor childFD, a socket.
const (
	childEnv = "STATEIO_LAB_CHILD"
	childFD  = 3
)

// An order is what a child is to do: one life. An error from the disk does not
// surprise it.
type order struct {
	Subject  string
	Dir      string // of the subject
	Seed     uint64
	Turns    int // lives before this one
	Steps    int
	Stubborn bool // as in life

	// FileSize limits the size of files, in bytes, from the start or from some
	// step on; 0: no limit.
	FileSize int64

	// Kind is that of the file system on Disk, which is mounted on Dir with these
	// Options meanwhile; "": it is there already.
	Kind, Disk, Options string
	// Lie has fdatasync do nothing on that disk.
	Lie bool
	// Answer has the child wait for an answer to each report.
	Answer bool
}

// child does what it is ordered to, until there are no more orders. A single
// writer has a thread of its own: strace counts the calls of each thread.
func child() error {
	runtime.LockOSThread()
	orders := bufio.NewScanner(os.NewFile(childFD, "orders"))
	for orders.Scan() {
		var o order
		if err := json.Unmarshal(orders.Bytes(), &o); err != nil {
			return err
		}
		if err := o.do(orders); err != nil {
			report("failed " + strconv.Quote(err.Error()))
		} else {
			report("done")
		}
	}
	return orders.Err()
}

// report tells the parent something. It does not call write, which may be made to
// fail.
func report(line string) {
	if err := unix.Send(childFD, []byte(line+"\n"), 0); err != nil {
		os.Exit(2) // the parent is gone
	}
}

// do does the order.
func (o *order) do(answers *bufio.Scanner) (err error) {
	l := &life{
		dir: o.Dir, steps: o.Steps, stubborn: o.Stubborn, noted: report,
		turns: o.Turns, rng: rand.New(rand.NewPCG(o.Seed, 3)),
	}
	if o.Answer {
		l.noted = func(event string) {
			report(event)
			if !answers.Scan() {
				os.Exit(2)
			}
		}
	}
	if o.FileSize > 0 {
		if err := l.limit(o.FileSize); err != nil {
			return err
		}
	}
	if o.Kind != "" {
		m, err := kinds[o.Kind].Mount(o.Disk, o.Dir, o.Options)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Unmount()) }()
	}
	if o.Lie {
		defer storefs.Mount(filepath.Join(o.Dir, "store"), liar{fsys.OS{}})()
	}
	return subjects[o.Subject].live(l)
}

var (
	subjects = map[string]subject{aStore.name: aStore, aStateFile.name: aStateFile}
	kinds    = map[string]kernel.FileSystem{
		kernel.Ext4.Name: kernel.Ext4, kernel.XFS.Name: kernel.XFS, kernel.Btrfs.Name: kernel.Btrfs,
	}
)

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

// A process is a child, seen by its parent.
type process struct {
	cmd    *exec.Cmd
	socket *os.File
	lines  *bufio.Scanner
	stderr strings.Builder
}

// start starts a child. wrap makes the command another one; nil: it does not.
func start(t *testing.T, wrap func(*exec.Cmd)) *process {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe), socket: os.NewFile(uintptr(fds[0]), "reports")}
	p.lines = bufio.NewScanner(p.socket)
	its := os.NewFile(uintptr(fds[1]), "reports")
	defer its.Close()
	p.cmd.Env = append(os.Environ(), childEnv+"=1", "GOTRACEBACK=none")
	p.cmd.ExtraFiles = []*os.File{its} // becomes childFD
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if wrap != nil {
		wrap(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end ends the child, at once or when it has done its order, and returns how it
// ended.
func (p *process) end(atOnce bool) error {
	if atOnce {
		_ = p.cmd.Process.Kill() // if it has not ended by itself
	}
	_ = p.socket.Close() // also what it waits for
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(p.stderr.String()))
	}
	return nil
}

// errEnded says that a child has ended before it had done its order.
var errEnded = errors.New("the process ended")

// do has the child do an order, keeps the history of what it reports, and calls
// noted, which may be nil, when that has changed. failed is why the child says that
// it failed, or errEnded; err says that what it reports is wrong.
func (p *process) do(o order, hist *crashtest.History, noted func()) (failed, err error) {
	line, err := json.Marshal(o)
	if err == nil {
		_, err = p.socket.Write(append(line, '\n'))
	}
	if err != nil {
		return nil, err
	}
	for p.lines.Scan() {
		line := p.lines.Text()
		if line == "done" {
			return nil, nil
		}
		if text, ok := strings.CutPrefix(line, "failed "); ok {
			text, err := strconv.Unquote(text)
			return errors.New(text), err
		}
		if err := hear(line, hist); err != nil {
			return nil, err
		}
		if noted != nil {
			noted()
		}
		if o.Answer {
			if _, err := p.socket.WriteString("go on\n"); err != nil {
				return nil, err
			}
		}
	}
	return errEnded, p.lines.Err()
}

// hear notes an event that a child reports.
func hear(event string, hist *crashtest.History) error {
	var a, b uint64
	var what string
	n, _ := fmt.Sscan(event, &what, &a, &b) // n tells what there was
	switch {
	case event == "acked after failure":
		return errors.New("an update was acknowledged after the failure")
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
	default:
		return fmt.Errorf("the child says %q", event)
	}
	return nil
}

// once has a child do one order. It returns how the child ended, and with an
// error if what it reported is wrong.
func once(t *testing.T, o order, hist *crashtest.History, wrap func(*exec.Cmd)) (ended, err error) {
	t.Helper()
	p := start(t, wrap)
	o.Stubborn = true
	failed, err := p.do(o, hist, nil)
	ended = p.end(err != nil)
	if ended == nil || failed != nil && !errors.Is(failed, errEnded) {
		ended = failed
	}
	return ended, err
}

// judge opens what a child left, without any faults, and closes it.
func judge(s subject, dir string, hist *crashtest.History) error {
	return s.live(&life{dir: dir, hist: hist, rng: rand.New(rand.NewPCG(1, 1))})
}
