package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// log --follow prints what another process makes, line by line, until it is interrupted.
func TestLogFollowsAStore(t *testing.T) {
	dir := t.TempDir()
	m := &blindMachine{}
	s, err := store.Open(dir, m, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	update := func(text string) {
		if _, err := s.Update(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	update("update 1")
	ctx, cancel := context.WithCancelCause(t.Context())
	read, write := io.Pipe()
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"log", "-f", dir}, strings.NewReader(""), write, io.Discard)
		write.Close()
	}()
	lines := bufio.NewScanner(read)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("log has ended: %v", lines.Err())
		}
		return lines.Text()
	}
	next() // the header
	for i := 1; i <= 20; i++ {
		if want, got := fmt.Sprintf("%q", fmt.Sprintf("update %d", i)), next(); !strings.Contains(got, want) {
			t.Errorf("line %d is %q, want %s", i, got, want)
		}
		update(fmt.Sprintf("update %d", i+1))
	}
	next()
	// A snapshot that is made later has its line, too.
	for range 2 {
		m.state = bytes.NewReader([]byte("a state"))
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want, got := fmt.Sprintf("%020d.snap", s.Index()), next(); !strings.Contains(got, "snapshot") || !strings.HasSuffix(got, want) {
			t.Errorf("the line of a snapshot is %q", got)
		}
		update("one more")
		if got := next(); !strings.Contains(got, "one more") {
			t.Errorf("after a snapshot there is %q", got)
		}
	}
	cancel(interrupted{syscall.SIGINT})
	if lines.Scan() {
		t.Errorf("one more line: %q", lines.Text())
	}
	if got := <-status; got != 130 {
		t.Errorf("exit status %d, want 130", got)
	}
}

// What follows a store ends when the reader of its pipe does, as head, also where nothing more is
// made there.
func TestFollowingEndsWithTheReaderOfThePipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("not run: nothing tells of the reader of a pipe there")
	}
	dir := t.TempDir()
	runStateio(t, 0, strings.NewReader("first\n"), "append", dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "stateio", "log", "--follow", "--json", dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it has ended with %v", err)
	}
}
