package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/store"
)

// seen runs a command at once with a terminal as standard error, and returns what that
// shows and the exit status.
func seen(ctx context.Context, t *testing.T, stdout io.Writer, args ...string) (string, int) {
	t.Helper()
	master, terminal := openTerminal(t)
	shown := make(chan string)
	go func() {
		b, _ := io.ReadAll(master) // it fails when the terminal has no user any more
		shown <- string(b)
	}()
	status := run(ctx, args, strings.NewReader(""), stdout, terminal)
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	return <-shown, status
}

// impatient has progress shown at once.
func impatient(t *testing.T) {
	t.Helper()
	before := patience
	patience = 0
	t.Cleanup(func() { patience = before })
}

// backupOf makes a backup of the store in dir.
func backupOf(t *testing.T, dir, path string) {
	t.Helper()
	m := &blindMachine{}
	s, err := store.Open(dir, m, &store.Options{SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m.state = bytes.NewReader(bytes.Repeat([]byte("state"), 1<<18))
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each command that reads all of something shows how far it is, and takes that away.
func TestCommandsShowHowFarTheyAre(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	lines := strings.Repeat("an update\n", 20_000)
	mustRun(t, lines, "append", "--batch", "1000", "app.state")
	for _, app := range []string{"app", "other"} {
		if err := os.Mkdir(app, 0o700); err != nil {
			t.Fatal(err)
		}
		mustRun(t, lines, "append", "--batch", "1000", app)
	}
	mustRun(t, strings.Repeat("state", 1<<18), "snapshot", "app")
	mustRun(t, lines, "append", "--batch", "1000", "app")
	backupOf(t, "other", "app.backup")
	impatient(t)
	for _, args := range [][]string{
		{"restore", "app"},
		{"restore", "app", "--at", "10000", "--updates", "updates"},
		{"restore", "app", "--state", "state"},
		{"restore", "app.state"},
		{"restore", "app.backup", "--state", "backed"},
		{"import", "app.backup", "imported"},
		{"import", "app.state", "imported.state"},
		{"log", "app"},
		{"log", "--json", "app", "--from", "15000"},
		{"log", "app.state"},
		{"stat", "app"},
		{"verify", "app"},
		{"diff", "app", "other"},
		{"truncate", "app.state"},
	} {
		var out bytes.Buffer
		shown, status := seen(t.Context(), t, &out, args...)
		if status != exitOK || !strings.Contains(shown, "\r"+args[0]+" ") || !regexp.MustCompile(`[0-9]%`).MatchString(shown) {
			t.Errorf("%q: exit status %d, it shows %.200q", args, status, shown)
		}
		if _, last, _ := cutLast(shown, "\r"); strings.TrimSpace(last) != "" {
			t.Errorf("%q: it leaves %q", args, last)
		}
	}
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// What is written to a pipe, whose reader may show it on the same terminal as a pager does,
// is not drawn over; nor is what a terminal shows.
func TestNoBarIsDrawnOverOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	mustRun(t, strings.Repeat("an update\n", 20_000), "append", "--batch", "1000", path)
	impatient(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	defer w.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, command := range []string{"log", "restore", "verify", "stat"} {
		if shown, status := seen(t.Context(), t, &standardOutput{file: w}, command, path); shown != "" || status != exitOK {
			t.Errorf("%s to a pipe: exit status %d, it shows %.200q", command, status, shown)
		}
		if shown, status := seen(t.Context(), t, &standardOutput{file: file}, command, path); !strings.Contains(shown, command) || status != exitOK {
			t.Errorf("%s to a file: exit status %d, it shows %.200q", command, status, shown)
		}
	}
}

// A signalled writer takes what a command writes, and interrupts it.
type signalled struct{ cancel context.CancelCauseFunc }

func (s signalled) Write(b []byte) (int, error) {
	s.cancel(interrupted{syscall.SIGINT})
	return len(b), nil
}

// An interrupt takes the bar away before it says what was not done.
func TestAnInterruptTakesTheBarAway(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, strings.Repeat("an update\n", 50_000), "append", "--batch", "1000", dir)
	impatient(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	shown, status := seen(ctx, t, signalled{cancel}, "restore", dir)
	_, last, _ := cutLast(strings.TrimSuffix(shown, "\r\n"), "\r")
	if status != 130 || !strings.HasPrefix(last, "stateio: interrupt: restoring "+dir) {
		t.Errorf("exit status %d, it shows %q at the end", status, last)
	}
}
