// Command kill9 shows that a server loses nothing when it is killed. It starts a server
// that keeps its state in a store of package store, has writers write to it, and serves a
// page with a button that kills the server as kill -9 does. It starts the server again,
// and compares every entry that was acknowledged with what the server has.
//
//	go run ./examples/kill9            # the page, and curl for what is on it
//	go run ./examples/kill9 -demo      # the same in the terminal, by itself
//
//	GET  /                 the page
//	POST /kill             kill the server; the answer says what came of it
//	POST /writers          have n writers write, as in n=64
//	GET  /events           what the page shows, as server-sent events
//	GET  /metrics          the same for Prometheus
//
// These are answered by the server, and wait while there is none:
//
//	POST /add/ACCOUNT      add an entry: the body, text of at most 1 KiB
//	GET  /accounts         all accounts
//	GET  /accounts/ACCOUNT one of them
//	GET  /changes          what becomes durable, as server-sent events
//	GET  /stats            figures about the store
//	GET  /debug/stateio/   a page that shows what is in its files, by package view
//	GET  /healthz          200 while the store takes entries, else 503
//
// The exit status is 1 if an entry was lost, or the server has failed. The data is in a
// directory that is removed at the end, unless -dir names one.
//
// The file ledger.go has the state and all that makes it durable, server.go the server;
// memory.go is the comparison.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit statuses of the server that are not those of a kill.
const (
	exitPanic  = 2 // of Go's runtime
	exitFailed = 3
)

// options are what the flags say.
type options struct {
	dir, listen string
	writers     int
	demo        bool
	kills       int
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "`directory` of the data, which is kept; without it, one that is removed at the end")
	flag.StringVar(&o.listen, "listen", defaultAddress, "`address` of the page; the default is another port if this one is taken")
	flag.IntVar(&o.writers, "writers", 16, fmt.Sprintf("writers at the start, up to %d", maxWriters))
	flag.BoolVar(&o.demo, "demo", false, "no page: kill the server a few times, and tell in the terminal what was lost")
	flag.IntVar(&o.kills, "kills", 5, "with -demo, how often to kill the server")
	serve := flag.Bool("serve", false, "be the server; for the program's own use")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "kill9: unexpected argument %q: all arguments are flags\n", flag.Arg(0))
		os.Exit(2)
	}
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "kills" && !o.demo || f.Name == "listen" && o.demo {
			fmt.Fprintf(os.Stderr, "kill9: -%s is of no use here: -kills is for -demo, and -listen for the page, which -demo has not\n", f.Name)
			os.Exit(2)
		}
	})
	if *serve {
		if err := serveLedger(o.dir, o.listen); err != nil {
			fmt.Fprintln(os.Stderr, "kill9: the server:", err)
			os.Exit(exitFailed)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "kill9:", err)
		os.Exit(1)
	}
}

// run shows what o asks for, until ctx ends or there is no more to show. The error says
// that something was lost, or why it could not go on.
func run(ctx context.Context, o options) (err error) {
	if o.writers < 0 || o.writers > maxWriters || o.kills < 1 {
		return fmt.Errorf("-writers is from 0 to %d, and -kills at least 1", maxWriters)
	}
	if o.dir == "" {
		// Not where temporary files are: that may be in memory, where a sync is for nothing.
		if o.dir, err = os.MkdirTemp(".", "kill9-data-"); err != nil {
			return fmt.Errorf("making a directory for the data: %w; -dir names another one", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	p := newParent(o.dir, o.writers)
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() {
		defer cancel()
		ran <- p.run(ctx)
	}()
	show := p.page
	if o.demo {
		show = p.demo
	}
	err = show(ctx, o)
	cancel()
	return errors.Join(err, <-ran, p.loss())
}

// loss returns an error if anything was lost.
func (p *parent) loss() error {
	acked, lost, wrong := p.memory.sums()
	if lost == 0 && wrong == 0 {
		return nil
	}
	return fmt.Errorf("of %d acknowledged entries %d were LOST, and %d accounts were wrong", acked, lost, wrong)
}
