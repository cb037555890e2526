package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/store"
)

// exitStatus returns the exit status in the error of running a command.
func exitStatus(err error) (int, bool) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, false
	}
	return exit.ExitCode(), true
}

// runStateio runs the program with input, and fails t unless it exits with the
// given status.
func runStateio(t *testing.T, status int, input io.Reader, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.Command("stateio", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &out, &errs
	got := 0
	if err := cmd.Run(); err != nil {
		var ok bool
		if got, ok = exitStatus(err); !ok {
			t.Fatal(err)
		}
	}
	if got != status {
		t.Fatalf("stateio %q: exit status %d, want %d: %s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// heed has the programs that t starts not ignore a signal, as these tests may.
func heed(t *testing.T, s os.Signal) {
	t.Helper()
	c := make(chan os.Signal, 1)
	signal.Notify(c, s)
	t.Cleanup(func() { signal.Stop(c) })
}

// numbered returns lines from up to before to, all different.
func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%d %s\n", i, strings.Repeat("x", i*37%300))
	}
	return b.String()
}

// lastCount returns the last number that append printed for --ack, in whole.
func lastCount(t *testing.T, acks string) int {
	t.Helper()
	acks = acks[:strings.LastIndexByte(acks, '\n')+1]
	all := strings.Fields(acks)
	if len(all) == 0 {
		return 0
	}
	n, err := strconv.Atoi(all[len(all)-1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKilledAppendLosesNothingAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("kills many processes")
	}
	for name, target := range map[string]struct {
		batch string
		store bool
	}{
		"file":             {"1", false},
		"file, batch 7":    {"7", false},
		"file, batch 1000": {"1000", false},
		"store":            {"1", true},
		"store, batch 100": {"100", true},
	} {
		t.Run(name, func(t *testing.T) {
			path, batch := t.TempDir(), target.batch
			if !target.store {
				path = filepath.Join(path, "app.state")
			}
			done := 0 // lines in the file
			for run := range 12 {
				acked := killedAppend(t, path, batch, done, 1+run*run*3)
				restored, _ := runStateio(t, 0, nil, "restore", path)
				n := strings.Count(restored, "\n")
				if restored != numbered(0, n) {
					t.Fatalf("run %d: what was restored is no prefix of what was appended", run)
				}
				if n < done+acked {
					t.Fatalf("run %d: %d of %d acknowledged updates are there", run, n, done+acked)
				}
				done = n
			}
		})
	}
}

// killedAppend appends lines from number from on, and kills the process as soon
// as it has acknowledged at least `after` of them. It returns how many were.
func killedAppend(t *testing.T, path, batch string, from, after int) int {
	t.Helper()
	cmd := exec.Command("stateio", "append", "--ack", "--batch", batch, path)
	cmd.Stdin = strings.NewReader(numbered(from, from+20000))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acks strings.Builder
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		acks.WriteString(line)
		if err != nil {
			break
		}
		if n := lastCount(t, acks.String()); n >= after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			acks.Write(rest)
			break
		}
	}
	if err := cmd.Wait(); err == nil && after < 1000 {
		t.Log("it was faster than the kill")
	}
	return lastCount(t, acks.String())
}

func TestInterruptedAppendTellsWhatIsDurable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts can be sent on Windows")
	}
	for sig, status := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		path := filepath.Join(t.TempDir(), "app.state")
		cmd := exec.Command("stateio", "append", "--ack", "--batch", "1000", path)
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
		heed(t, sig)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The input stays open: the updates of a batch don't wait for the rest.
		if _, err := io.WriteString(in, numbered(0, 10)+"half a li"); err != nil {
			t.Fatal(err)
		}
		if ack, err := bufio.NewReader(out).ReadString('\n'); ack != "10\n" {
			t.Fatalf("acknowledged: %q, %v", ack, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got, _ := exitStatus(cmd.Wait()); got != status {
			t.Fatalf("exit status %d, want %d: %s", got, status, errs.String())
		}
		want := fmt.Sprintf("stateio: %v: 10 updates of this run are durable in %s\n", sig, path)
		if errs.String() != want {
			t.Fatalf("got %q, want %q", errs.String(), want)
		}
		if restored, _ := runStateio(t, 0, nil, "restore", path); restored != numbered(0, 10) {
			t.Fatalf("restored %q", restored)
		}
	}
}

func TestLongLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	long := strings.Repeat("0123456789abcdef", 2<<20) // 32 MiB
	input := "short\n" + long + "\n" + long[:65536] + "\n" + long[:65535] + "\nlast"
	runStateio(t, 0, strings.NewReader(input), "append", path)
	restored, _ := runStateio(t, 0, nil, "restore", path)
	if restored != input+"\n" {
		t.Fatalf("restored %d bytes, want %d", len(restored), len(input)+1)
	}
	shown, _ := runStateio(t, 0, nil, "log", path)
	if len(shown) > 1000 || strings.Count(shown, "\n") != 6 {
		t.Fatalf("shown as %q", shown)
	}
	runStateio(t, 0, strings.NewReader(long), "snapshot", path)
	if restored, _ = runStateio(t, 0, nil, "restore", path); restored != long {
		t.Fatalf("restored %d bytes, want %d", len(restored), len(long))
	}
	runStateio(t, 0, nil, "compact", path)
	runStateio(t, 0, nil, "verify", path)
}

func TestLogAndVerifyRunBesideAWriter(t *testing.T) {
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
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acks := bufio.NewReader(out)
	for i := range 20 {
		if _, err := io.WriteString(in, numbered(i, i+1)); err != nil {
			t.Fatal(err)
		}
		if _, err := acks.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		shown, _ := runStateio(t, 0, nil, "log", path)
		if n := strings.Count(shown, " update "); n != i+1 {
			t.Fatalf("%d of %d updates shown:\n%s", n, i+1, shown)
		}
		runStateio(t, 0, nil, "verify", path)
	}
	for _, other := range [][]string{{"append", path}, {"snapshot", path}, {"compact", path}} {
		if _, errs := runStateio(t, 3, strings.NewReader("x"), other...); !strings.Contains(errs, "locked by another writer") {
			t.Fatalf("stateio %q: %s", other, errs)
		}
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if restored, _ := runStateio(t, 0, nil, "restore", path); restored != numbered(0, 20) {
		t.Fatalf("restored %q", restored)
	}
}

func TestStoreInUseCanBeReadButNotWritten(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, &blindMachine{}, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := s.Update(t.Context(), []byte(strings.TrimSuffix(numbered(i, i+1), "\n"))); err != nil {
			t.Fatal(err)
		}
		if restored, _ := runStateio(t, 0, nil, "restore", dir); restored != numbered(0, i+1) {
			t.Fatalf("restored %q", restored)
		}
		shown, _ := runStateio(t, 0, nil, "log", dir)
		if n := strings.Count(shown, " update "); n != i+1 {
			t.Fatalf("%d of %d updates shown:\n%s", n, i+1, shown)
		}
		runStateio(t, 0, nil, "verify", dir)
	}
	for _, command := range []string{"append", "snapshot"} {
		if _, errs := runStateio(t, 3, strings.NewReader("x"), command, dir); !strings.Contains(errs, "is open elsewhere") {
			t.Fatal(errs)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyExitsWithDamageWhereverItIs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.state")
	runStateio(t, 0, strings.NewReader(numbered(0, 5)), "append", path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := 1
	if testing.Short() {
		step = 31
	}
	last := bytes.LastIndex(whole, []byte("4 xxx")) - 24
	for at := 0; at < last; at += step * 3 {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		runStateio(t, 1, nil, "verify", path)
	}
}
