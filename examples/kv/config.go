package main

import (
	"bytes"
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
	flags.StringVar(&c.join, "join", "", "addresses for nodes of the cluster that are there, `ADDR,...`; without it, a new directory begins a cluster")
	flags.StringVar(&c.token, "token", "", "`file` with a secret that all nodes have")
	flags.StringVar(&c.cert, "cert", "", "`file` with the certificate of this node; needed off loopback")
	flags.StringVar(&c.key, "key", "", "`file` with its key")
	flags.StringVar(&c.ca, "ca", "", "`file` with the certificates of the authorities")
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
		if f.Name != "dir" && f.Name != "listen" && c.node.ID == "" {
			err = fmt.Errorf("-%s is for a node of a cluster, which needs -id", f.Name)
		}
	})
	if err == nil && c.node.ID != "" && c.node.Listen == "" {
		err = errors.New("a node of a cluster needs -raft, the address for the other nodes")
	}
	return c, err
}

// open opens the map, in a store or on a node.
func (c *config) open() (keys, error) {
	if c.node.ID == "" {
		return open(c.dir, store.Options{})
	}
	o := c.node
	if c.join != "" {
		o.Join = strings.Split(c.join, ",")
	}
	if c.token != "" {
		b, err := os.ReadFile(c.token)
		if err != nil {
			return keys{}, err
		}
		o.Token = string(bytes.TrimSpace(b))
	}
	if c.cert != "" || c.key != "" || c.ca != "" {
		var err error
		if o.TLS, err = cluster.LoadTLS(c.cert, c.key, c.ca); err != nil {
			return keys{}, err
		}
	}
	return openNode(c.dir, &o)
}
