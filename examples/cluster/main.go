// Command cluster shows what happens to a cluster when its nodes die. It starts
// three nodes, each a process of its own, has clients add to a counter on all of
// them, and checks that every addition which was acknowledged is counted once.
//
//	go run ./examples/cluster             # keys kill, pause and restart nodes
//	go run ./examples/cluster -kills 5    # kill -9 the leader 5 times, check, and end
//
// A page shows all nodes: leader, lag, throughput, the gap of the last failover, with
// buttons that do what keys do. Each node has a page of its own, too.
//
//	cluster node -help
//
// has the flags of one node, for those that are on computers of their own; folder
// deploy has a unit for systemd and manifests for Kubernetes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

func main() {
	switch err := run(os.Args[1:]); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errTold):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(exitCode(err))
	}
}

// errTold is an error of which package flag has told.
var errTold = errors.New("a flag is wrong")

// parse parses flags.
func parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return errTold
	}
	return err
}

// exitCode is 3 if starting again is of no use, until somebody has done what the error says:
// the node must rejoin, or has a directory that is not its own, one of a later release, or none any more.
func exitCode(err error) int {
	for _, lasting := range []error{
		store.ErrCorrupt, store.ErrFailed, store.ErrVersion, store.ErrUpdateVersion,
		cluster.ErrRemoved, cluster.ErrIdentity, cluster.ErrOtherCluster, cluster.ErrUnfinished,
	} {
		if errors.Is(err, lasting) {
			return 3
		}
	}
	var refused *store.ReplayError
	if errors.As(err, &refused) {
		return 3
	}
	return 1
}

// run is the program: one of the nodes, or what starts them.
func run(args []string) error {
	if len(args) > 0 && args[0] == nodeCommand {
		return runNode(args[1:])
	}
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	dir := flags.String("dir", "", "where the nodes keep their state, from run to run; a new directory here, removed at the end, if it is empty")
	kills := flags.Int("kills", 0, "kill the leader this many times, check, and end; 0: keys decide")
	clients := flags.Int("clients", 9, "how many clients add")
	page := flags.String("http", "127.0.0.1:0", "address of the page of all nodes")
	heartbeat := flags.Duration("heartbeat", 500*time.Millisecond, "cluster.Options.Heartbeat of the nodes")
	if err := parse(flags, args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: cluster %s begins one node, and all else is said by flags", flags.Arg(0), nodeCommand)
	case *kills < 0 || *clients < 0:
		return fmt.Errorf("-kills is %d and -clients %d: neither is less than 0", *kills, *clients)
	case *kills > 0 && *clients == 0:
		return errors.New("-clients is 0: with -kills, somebody must add, or there is nothing to check")
	}
	if *dir == "" {
		// Not where temporary files are: that may be in memory, where a sync is for nothing.
		tmp, err := os.MkdirTemp(".", "cluster-data-")
		if err != nil {
			return fmt.Errorf("making a directory for the nodes: %w; -dir names another one", err)
		}
		defer func() { _ = os.RemoveAll(tmp) }() // temporary files, at worst, are left
		*dir = tmp
	}
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release) // a second signal ends the program at once
	f, err := startFleet(*dir, *heartbeat)
	if err != nil {
		return err
	}
	defer f.stop()
	shown := make(chan error, 1)
	go func() { shown <- show(f, *clients, *kills, *page) }() // it may wait for input, or for nodes
	select {
	case err := <-shown:
		return err
	case <-ctx.Done():
		return errors.New("interrupted: nothing was checked")
	}
}

// show has clients add, and kills nodes or has keys do so. The error is that something was
// lost, or why it could not go on.
func show(f *fleet, clients, kills int, page string) error {
	before, err := f.settled(time.Minute)
	if err != nil {
		return err
	}
	l := startLoad(f, clients, before)
	defer l.stop()
	d := &dashboard{f: f, l: l, out: os.Stdout}
	url, closePage, err := d.open(page)
	if err != nil {
		return err
	}
	defer closePage()
	say(os.Stdout, "all nodes, with buttons:  %s\n", url)
	f.printPages(os.Stdout)
	if kills > 0 {
		err = killLeaders(os.Stdout, f, l, kills)
	} else {
		err = obeyKeys(os.Stdin, os.Stdout, f, l, d)
	}
	if err != nil {
		return err
	}
	return l.check(os.Stdout)
}
