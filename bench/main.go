// Command bench compares package store with other ways to make small writes
// durable, and with what the disk and the processor allow.
//
//	go run ./bench            all that follows and more, as a page and as JSON
//	go run ./bench commit     updates a second, beside peers and a bound
//	go run ./bench replay     opening a store, beside reading and hashing its log
//	go run ./bench snapshot   latency of updates while a snapshot is written
//	go run ./bench maps       package durable, beside embedded databases
//
// all writes the files -html and -json, and -quick has it do so in a minute or two. The
// others print a table. Each has flags (-h) for size and duration. Whatever is
// compared runs in turn, in rounds, and figures are medians over the rounds:
// the speed of disks and shared machines drifts, ratios within a round hold.
//
// The directory, -dir, must be on the disk in question: /tmp is often in
// memory, where a sync costs nothing. The default is the working directory.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/stateio/stateio/bench/child"
)

// A command does one comparison and writes its table to out. It parses args
// with flags.
type command func(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error

var commands = map[string]command{
	"all":      allCommand,
	"commit":   commitCommand,
	"replay":   replayCommand,
	"snapshot": snapshotCommand,
	"maps":     mapsCommand,
}

func main() {
	child.Main(engines())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{"all"}, args...)
	}
	do, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("no comparison is called %q: there are all, commit, replay, snapshot and maps", args[0])
	}
	return do(ctx, flag.NewFlagSet("bench "+args[0], flag.ExitOnError), args[1:], out)
}

// parse parses flags, which are all that a comparison takes. These numbers and times must be more
// than 0: there is nothing to measure with less.
func parse(flags *flag.FlagSet, args []string, positive ...string) error {
	_ = flags.Parse(args) // ends the program on an error
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: all after the name of the comparison are flags", flags.Arg(0))
	}
	for _, name := range positive {
		text := flags.Lookup(name).Value.String()
		if text == "0" || text == "0s" || strings.HasPrefix(text, "-") {
			return fmt.Errorf("-%s %s: it has to be more than 0", name, text)
		}
	}
	return nil
}

// inTempDir calls do with a new directory in parent and removes it afterwards.
func inTempDir(parent string, do func(dir string) error) error {
	dir, err := os.MkdirTemp(parent, "stateio-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is in a directory that tells its origin
	return do(dir)
}
