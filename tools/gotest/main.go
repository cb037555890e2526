// Command gotest runs go test with its arguments, and tells more of it and less:
//
//	go run ./tools/gotest -short work
//
// A line for each package when it ends, not when those before it have ended, all
// that a failed test printed, and at the end which tests were skipped, and why.
// The lines and the exit status are those of go test.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	signal.Ignore(os.Interrupt) // go test gets it as well, and ends
	status, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// run runs go test with args, reports to w, and returns its exit status.
func run(args []string, w io.Writer) (status int, err error) {
	r := newReport(w)
	if len(args) > 1 && args[0] == "-note" {
		r.note, args = args[1], args[2:]
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("starting go test: %w", err)
	}
	readErr := r.read(events)
	err = cmd.Wait()
	r.end(err)
	told := errors.Join(readErr, r.err)
	var exit *exec.ExitError
	if errors.As(err, &exit) && told == nil {
		return max(1, exit.ExitCode()), nil // -1 after a signal
	}
	return 0, errors.Join(err, told)
}
