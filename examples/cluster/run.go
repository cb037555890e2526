package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/stateio/stateio/cluster"
)

// nodeCommand is the argument that makes this program a node.
const nodeCommand = "node"

// A nodeConfig is what the flags of a node say.
type nodeConfig struct {
	dir, page      string
	cert, key, ca  string
	members, join  string
	rejoin, leaves bool // leaves: at the end of standard input
	cluster.Options
}

// parseNode parses the flags of a node.
func parseNode(args []string) (*nodeConfig, error) {
	c := &nodeConfig{}
	flags := flag.NewFlagSet(nodeCommand, flag.ContinueOnError)
	flags.StringVar(&c.dir, "dir", "", "directory of the node")
	flags.StringVar(&c.ID, "id", "", "ID")
	flags.StringVar(&c.Listen, "listen", "", "address for the other nodes")
	flags.StringVar(&c.Advertise, "advertise", "", "the same, as the other nodes know it; empty: as -listen")
	flags.StringVar(&c.page, "page", "", "address for clients")
	flags.StringVar(&c.members, "members", "", "first members of a new cluster, ID=ADDR,...")
	flags.StringVar(&c.join, "join", "", "addresses of members of a cluster to join, ADDR,...")
	flags.StringVar(&c.cert, "cert", "", "certificate of this node; empty: no TLS, on loopback")
	flags.StringVar(&c.key, "key", "", "its key")
	flags.StringVar(&c.ca, "ca", "", "certificates of the authorities")
	flags.DurationVar(&c.Heartbeat, "heartbeat", 0, "cluster.Options.Heartbeat")
	flags.BoolVar(&c.rejoin, "rejoin", false, "have the other members rebuild this node, set aside what is in its directory, and end")
	flags.BoolVar(&c.leaves, "until-eof", false, "end at the end of standard input")
	if err := parse(flags, args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, m := range elements(c.members) {
		id, addr, ok := strings.Cut(m, "=")
		if !ok {
			return nil, fmt.Errorf("-members has %q, which is not ID=ADDR", m)
		}
		c.Members = append(c.Members, cluster.Member{ID: id, Addr: addr})
	}
	c.Join = elements(c.join)
	var err error
	flags.Visit(func(f *flag.Flag) { // a node that is given neither begins a cluster of its own
		if f.Name == "join" && len(c.Join) == 0 || f.Name == "members" && len(c.Members) == 0 {
			err = fmt.Errorf("-%s %q has no address: give it some, or leave it out", f.Name, f.Value)
		}
	})
	return c, err
}

// elements returns those of a list, which may have spaces, and commas with nothing in between.
func elements(list string) (all []string) {
	for e := range strings.SplitSeq(list, ",") {
		if e = strings.TrimSpace(e); e != "" {
			all = append(all, e)
		}
	}
	return all
}

// runNode is one node, until it gets a signal to end.
func runNode(args []string) error {
	c, err := parseNode(args)
	if err != nil {
		return err
	}
	if c.cert != "" || c.key != "" || c.ca != "" {
		if c.TLS, err = cluster.LoadTLS(c.cert, c.key, c.ca); err != nil {
			return err
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // a second signal ends the node at once
	if c.rejoin {
		return c.prepareRejoin(ctx)
	}
	if c.leaves {
		c.Logger = slog.New(slog.DiscardHandler)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // its end is the end of the parent
			cancel()
		}()
	}
	if c.page == "" { // a port of the system's choice, at all addresses
		return errors.New("-page is empty: give it the address for clients, like 127.0.0.1:8080")
	}
	m := newCounter()
	n, err := cluster.Open(c.dir, m, &c.Options)
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-n.Failed():
			cancel() // Close says why
		case <-n.Done():
		}
	}()
	return errors.Join(serve(ctx, c.page, forLoopback(c.page, handler(n, m))), n.Close())
}

// prepareRejoin is for a node that Open has refused, as damaged.
func (c *nodeConfig) prepareRejoin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	aside, err := cluster.Rejoin(ctx, c.dir, &c.Options)
	if err != nil {
		return err
	}
	if aside != "" {
		say(os.Stdout, "what was there is in %s\n", aside)
	}
	say(os.Stdout, "start the node, and the other members send it the state\n")
	return nil
}

// serve answers clients until ctx ends.
func serve(ctx context.Context, addr string, h http.Handler) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
