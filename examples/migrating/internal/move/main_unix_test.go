//go:build unix

package move

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// foreverEnv makes this test a program whose move does not end.
const foreverEnv = "STATEIO_MOVE_FOREVER"

func TestMain(m *testing.M) {
	if os.Getenv(foreverEnv) != "" {
		os.Args = []string{"forever", "-from", "here", "-to", "there"}
		Main(forever, forever)
	}
	os.Exit(m.Run())
}

// forever says that it has begun, and that it was interrupted, and goes on.
func forever(ctx context.Context, _, _ string) (int, error) {
	fmt.Println("begun")
	<-ctx.Done()
	fmt.Println("interrupted")
	<-time.After(time.Hour)
	return 0, nil
}

// A move that does not end when it is interrupted ends when it is interrupted again.
func TestASecondInterruptEndsAMove(t *testing.T) {
	heeded := make(chan os.Signal, 1)
	signal.Notify(heeded, os.Interrupt) // or the program would ignore it, if these tests do
	defer signal.Stop(heeded)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), foreverEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"begun", "interrupted"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it says %q, %v", lines.Text(), lines.Err())
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its state tells
		close(ended)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C: // it may have come before the program was ready for it
			_ = cmd.Process.Signal(os.Interrupt)
		case <-ended:
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT {
				t.Errorf("it ends with %v", cmd.ProcessState)
			}
			return
		}
	}
}
