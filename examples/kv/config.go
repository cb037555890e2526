package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

// A config is what the flags say.
type config struct {
	dir, listen string

	// Of a node of a cluster:
	node          cluster.Options // without an ID: it is none
	join, token   string
	from          string // directory of a store, or of another node
	rejoin        bool   // only have the others rebuild this node
	cert, key, ca string
}

// errTold is an error of which package flag has told.
var errTold = errors.New("a flag is wrong")

// parse parses the flags.
func parse(args []string) (*config, error) {
	c := &config{}
	flags := flag.NewFlagSet("kv", flag.ContinueOnError)
	flags.StringVar(&c.dir, "dir", "kv-data", "directory of the data")
	flags.StringVar(&c.listen, "listen", defaultAddress, "address to listen on; the default is another port if this one is taken")
	flags.StringVar(&c.node.ID, "id", "", "be a node of a cluster, of this name")
	flags.StringVar(&c.node.Listen, "raft", "", "address for the other nodes, host:port")
	flags.StringVar(&c.node.Advertise, "advertise", "", "address by which the other nodes reach this one, if that is not -raft")
	flags.StringVar(&c.join, "join", "", "addresses of members of the cluster to join, `ADDR,...`; without it, an empty directory begins a cluster")
	flags.StringVar(&c.from, "from", "", "begin a cluster with the data in this `directory` of a kv that was not a node, or of the last node of a lost cluster (with its -id); it is not changed")
	flags.BoolVar(&c.rejoin, "rejoin", false, "prepare a damaged or removed node, and end: its data is set aside, and the next start joins anew (needs -join)")
	flags.StringVar(&c.token, "token", "", "`file` with a secret that all nodes have")
	flags.StringVar(&c.cert, "cert", "", "`file` with the certificate of this node; needed off loopback")
	flags.StringVar(&c.key, "key", "", "`file` with its key")
	flags.StringVar(&c.ca, "ca", "", "`file` with the CA certificates")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, err
	} else if err != nil {
		return nil, errTold
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: the directory of the data is given by -dir", flags.Arg(0))
	}
	var err error
	flags.Visit(func(f *flag.Flag) {
		switch {
		case f.Name == "dir" || f.Name == "listen":
		case c.node.ID == "":
			err = fmt.Errorf("-%s is for a node of a cluster, which needs -id", f.Name)
		case f.Value.String() == "": // by a variable of a script that is not set: it is not as without the flag
			err = fmt.Errorf("-%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	c.node.Join = addresses(c.join)
	if err == nil && c.join != "" && len(c.node.Join) == 0 {
		err = fmt.Errorf("-join %q has no address", c.join)
	}
	if err == nil && c.node.ID != "" && c.node.Listen == "" {
		err = errors.New("a node of a cluster needs -raft, the address for the other nodes")
	}
	if err == nil && c.from != "" && c.join != "" {
		err = errors.New("-from begins a cluster, and -join joins one: begin it on one node, and let the others join that")
	}
	if err == nil && c.rejoin && (c.join == "" || c.from != "") {
		err = errors.New("-rejoin has the members rebuild this node: it needs -join, with their addresses, and excludes -from")
	}
	return c, err
}

// addresses returns those in a list, which may have spaces, and commas with nothing in between.
func addresses(list string) (addrs []string) {
	for addr := range strings.SplitSeq(list, ",") {
		if addr = strings.TrimSpace(addr); addr != "" {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// open opens the map, in a store or on a node. It waits no longer than ctx: what goes on then
// ends with the program, as by kill -9.
func (c *config) open(ctx context.Context) (keys, error) {
	if c.node.ID == "" {
		return openUntil(ctx, func() (keys, error) { return open(c.dir, store.Options{}) })
	}
	o, err := c.options()
	if err != nil {
		return keys{}, err
	}
	if c.from != "" {
		if err := beginFrom(ctx, c.from, c.dir, o); err != nil {
			return keys{}, err
		}
	}
	return openUntil(ctx, func() (keys, error) { return openNode(c.dir, o) })
}

// openUntil calls open, and does not wait longer than ctx.
func openUntil(ctx context.Context, open func() (keys, error)) (k keys, err error) {
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		k, err = open()
	}()
	select {
	case <-opened:
		return k, err
	case <-ctx.Done():
		return keys{}, ctx.Err()
	}
}

// options are those of the node.
func (c *config) options() (*cluster.Options, error) {
	o := c.node
	if c.token != "" {
		b, err := os.ReadFile(c.token)
		if err != nil {
			return nil, err
		}
		if o.Token = string(bytes.TrimSpace(b)); o.Token == "" { // which is as without one
			return nil, fmt.Errorf("-token: %s is empty: it must have the secret", c.token)
		}
	}
	if c.cert != "" || c.key != "" || c.ca != "" {
		var err error
		if o.TLS, err = cluster.LoadTLS(c.cert, c.key, c.ca); err != nil {
			return nil, err
		}
	}
	return &o, nil
}
