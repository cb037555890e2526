// Command stateio shows, checks, copies and repairs stores and state files, and appends to
// them: logs of snapshots of a program's state and of the updates made to it since.
//
//	stateio append app.state < events.txt   # each line, durably
//	stateio restore app.state               # the same lines again
//
// Run stateio help for all commands, and stateio help COMMAND for an example of
// each.
//
// The exit status is 0 on success, 1 if damage or a difference was found or a file
// holds something but no whole entry, 2 for a wrong command line, 3 for any other
// failure, and 128 plus the number of the signal after a closed terminal (129), an
// interrupt (130), a quit (131) or a request to terminate (143). That the reader of
// standard output has gone is success, unless damage was found before; of any other
// output it is a failure.
package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/store"
)

// Exit statuses; a signal's is 128 plus its number.
const (
	exitOK      = 0
	exitDamage  = 1
	exitUsage   = 2
	exitFailure = 3
)

func main() {
	ignoreSignals()
	ctx, cancel := context.WithCancelCause(context.Background())
	heedSignals(cancel)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, &standardOutput{file: os.Stdout}, os.Stderr))
}

// run runs the command line args and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	initCompletion(root)
	command, err := root.ExecuteContextC(ctx)
	if out, ok := stdout.(interface{ failure() error }); ok && err == nil {
		err = out.failure()
	}
	if cause := context.Cause(ctx); cause != nil {
		err = because(err, cause)
	}
	status := statusOf(err)
	if err == nil || onlyClosed(err) {
		return exitOK
	}
	var message strings.Builder
	for _, line := range messages(err) {
		message.WriteString("stateio: " + bare(line) + "\n")
	}
	for _, path := range args {
		if errors.Is(err, fs.ErrNotExist) && isNode(path) {
			message.WriteString("stateio: " + printable(path) + " is the directory of a node of module cluster, which is no store: a node checks its files itself, when it is opened; see docs/CLUSTER.md\n")
		}
	}
	if command.Name() == "help" {
		command = command.Root()
	}
	if status == exitUsage {
		message.WriteString("Run " + command.CommandPath() + " --help for how it is used.\n")
	}
	_, _ = io.WriteString(stderr, message.String()) // there is nowhere else to tell
	return status
}

// bare returns the text of an error without the name of the package that it came from.
func bare(text string) string {
	for _, name := range []string{"stateio: ", "inspect: ", "store: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}

// A usageError is one in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

var (
	// errDamage is the error of a command that has told about damage already.
	errDamage = errors.New("damage was found")

	// errIncomplete is what is wrong with a file that holds something, but no
	// whole entry.
	errIncomplete = errors.New("no whole entry")
)

// statusOf returns the exit status for err.
func statusOf(err error) int {
	var signal interrupted
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &signal):
		if n, ok := signal.Signal.(syscall.Signal); ok {
			return 128 + int(n)
		}
		return exitFailure
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errDamage), errors.Is(err, errDiffer), errors.Is(err, errNotDropped), errors.Is(err, errIncomplete), errors.Is(err, stateio.ErrCorrupt), errors.Is(err, store.ErrCorrupt):
		return exitDamage
	}
	return exitFailure
}
