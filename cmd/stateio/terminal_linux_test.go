package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// openTerminal returns a terminal and what shows it.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	return master, terminal
}

// onTerminal runs the program on a terminal, and returns what that shows.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	master, terminal := openTerminal(t)
	cmd := exec.Command("stateio", args...)
	cmd.Stdout, cmd.Stderr = terminal, terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	_, _ = shown.ReadFrom(master) // it fails when the terminal has no user any more
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &shown)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

// restore gives data back to the byte, but not to a terminal that would obey it.
func TestRestoreDoesNotSpeakToATerminal(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, hostile, "append", "--whole", dir)
	want := escaped(strings.Split(hostile, "\n")[0]) + "\nstateio: all is well\n"
	if got := onTerminal(t, "restore", dir); got != want {
		t.Errorf("it shows %q, want %q", got, want)
	}
	if out, _ := runStateio(t, exitOK, nil, "restore", dir); out != hostile+"\n" {
		t.Errorf("to a pipe it writes %q", out)
	}
}

// Work that lasts is shown on a terminal, by a name that this does not obey, with a rate and
// the time left; elsewhere, and before a second has passed, nothing is shown.
func TestProgressIsForTerminals(t *testing.T) {
	master, terminal := openTerminal(t)
	p := newProgress(io.Discard, terminal, "verify \x1b[2J\u202e", 2000)
	p.at(100)
	if p.shown {
		t.Error("it is shown at once")
	}
	p.begun = p.begun.Add(-time.Minute)
	p.of(500, 1000) // it turns out to be less work
	p.finish()
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	_, _ = shown.ReadFrom(master) // it fails when the terminal has no user any more
	if got := shown.String(); !strings.Contains(got, `verify \x1b[2J\u202e  50%`) || !strings.Contains(got, "B/s") {
		t.Errorf("it shows %q", got)
	}
	var elsewhere bytes.Buffer
	p = newProgress(io.Discard, &elsewhere, "verify", 1000)
	p.begun = p.begun.Add(-time.Minute)
	p.at(500)
	p.finish()
	if elsewhere.Len() > 0 {
		t.Errorf("no terminal is shown %q", &elsewhere)
	}
}

// What is drawn over itself fits on one line, however long the path is; where there is no room,
// nothing is drawn.
func TestProgressFitsTheTerminal(t *testing.T) {
	impatient(t)
	for _, columns := range []uint16{20, 59, 60, 80, 200} {
		for _, path := range []string{"app", strings.Repeat("/var/lib", 40) + "/app.state", strings.Repeat("漢", 90)} {
			master, terminal := openTerminal(t)
			if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
				t.Fatal(err)
			}
			p := newProgress(io.Discard, terminal, "verify "+path, 2<<20)
			p.at(1 << 20)
			p.finish()
			if err := terminal.Close(); err != nil {
				t.Fatal(err)
			}
			var shown bytes.Buffer
			_, _ = shown.ReadFrom(master) // it fails when the terminal has no user any more
			if drawn := strings.Contains(shown.String(), "\rverify "); drawn != (columns >= 60) {
				t.Errorf("on %d columns it shows %q", columns, &shown)
			}
			for line := range strings.SplitSeq(shown.String(), "\r") {
				if n := utf8.RuneCountInString(strings.ReplaceAll(line, "漢", "xx")); n > int(columns) {
					t.Errorf("on %d columns a line takes %d: %q", columns, n, line)
				}
			}
		}
	}
}

// On a terminal, verdicts have colours, unless its user wants none. Elsewhere there are none.
func TestVerdictsHaveColours(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	mustRun(t, "state", "append", mustMake(t, dir))
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if got := onTerminal(t, "verify", dir); !strings.Contains(got, "\x1b[32mok: 1 update") || !strings.HasSuffix(got, "\x1b[0m\n") {
		t.Errorf("on a terminal: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := onTerminal(t, "verify", dir); strings.Contains(got, "\x1b") || !strings.Contains(got, "ok: 1 update") {
		t.Errorf("without colours: %q", got)
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if got := onTerminal(t, "verify", dir); strings.Contains(got, "\x1b") {
		t.Errorf("on a dumb terminal: %q", got)
	}
	var out, errs bytes.Buffer
	t.Setenv("TERM", "xterm")
	if status := run(t.Context(), []string{"verify", dir}, strings.NewReader(""), &out, &errs); status != exitOK || strings.Contains(out.String(), "\x1b") {
		t.Errorf("elsewhere: %d, %q", status, out.String())
	}
}

// mustMake makes a directory.
func mustMake(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
