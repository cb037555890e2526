package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// joinFile has the addresses, one a line, of the members by which a node is let in
// again.
const joinFile = "JOIN"

// Rejoin prepares a node to be rebuilt by the others, after Open has said that its
// directory is damaged (store.ErrCorrupt), or its disk was replaced. The node is
// removed from the cluster; what is in dir is set aside in a directory in it, whose
// path is returned, empty if there was nothing; and the next Open lets the node join
// again, with a vote when it has the state. Options are those for Open: Members or
// Join say where the others are. Remove what was set aside when it is of no use.
//
// It needs a majority of the members to be up, and the node not to run. After an
// error or a crash, call it again. The errors are those of options; store.ErrLocked;
// ErrNoQuorum with that of ctx; and those of the file system.
func Rejoin(ctx context.Context, dir string, opts *Options) (aside string, err error) {
	o, err := opts.withDefaults()
	if err != nil {
		return "", err
	}
	addrs := others(o)
	if len(addrs) == 0 {
		return "", errors.New("cluster: rejoining needs the addresses of other members: set Options.Members or Options.Join")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", &opError{msg: "rejoining with " + dir, errs: []error{err}}
	}
	lock, err := lockFile(filepath.Join(dir, "LOCK"))
	if err == nil {
		if err = removeAtOthers(ctx, o, addrs); err == nil {
			aside, err = setAside(dir, addrs)
		}
		err = errors.Join(err, lock.Close())
	}
	if err != nil {
		return "", &opError{msg: "rejoining with " + dir, errs: []error{err}}
	}
	return aside, nil
}

// others returns where other members may be.
func others(o *Options) (addrs []string) {
	for _, m := range o.Members {
		if m.ID != o.ID {
			addrs = append(addrs, m.Addr)
		}
	}
	for _, a := range o.Join {
		if a != o.Advertise {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// removeAtOthers has the others remove this node, if they have it.
func removeAtOthers(ctx context.Context, o *Options, addrs []string) error {
	ln, err := net.Listen("tcp", o.Listen) // nobody else is this node now
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMux(ctx, ln, o, func(net.Conn) {})
	defer m.close()
	p := newPeers(ctx, func(ctx context.Context, addr string) (net.Conn, error) { return m.dial(ctx, connPeer, addr) })
	defer p.close()
	payload, err := json.Marshal(ask{Op: askRemove, ID: o.ID, Relay: true})
	if err != nil {
		return err
	}
	for {
		var failed error
		for _, a := range addrs {
			call, cancel := context.WithTimeout(ctx, max(10*o.Heartbeat, helloTimeout))
			_, err := p.call(call, a, frameAsk, payload)
			cancel()
			if err == nil || errors.Is(err, errAbsent) {
				return nil
			}
			failed = errors.Join(failed, fmt.Errorf("asking %s to remove member %s: %w", a, o.ID, err))
		}
		select {
		case <-ctx.Done():
			return &opError{msg: "no member could remove this one (a majority of the others must be up)", errs: []error{ErrNoQuorum, ctx.Err(), failed}}
		case <-time.After(o.Heartbeat / 5):
		}
	}
}

// setAside moves what is in dir into a directory in it. The addresses are written
// first: with them, Open never begins a cluster.
func setAside(dir string, addrs []string) (aside string, err error) {
	if err := writeDurably(filepath.Join(dir, joinFile), []byte(strings.Join(addrs, "\n")+"\n")); err != nil {
		return "", err
	}
	for _, name := range []string{"wal", "snapshots", "NODE", begunFile} {
		from := filepath.Join(dir, name)
		if _, err := os.Lstat(from); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if aside == "" {
			if aside, err = os.MkdirTemp(dir, "damaged-"); err != nil {
				return "", err
			}
		}
		if err := os.Rename(from, filepath.Join(aside, name)); err != nil {
			return "", err
		}
	}
	return aside, syncDir(dir)
}

// readJoin has the node join as Rejoin has written, until it has joined.
func (n *Node) readJoin() error {
	b, err := os.ReadFile(filepath.Join(n.dir, joinFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n.opts.Members, n.opts.Join = nil, strings.Fields(string(b))
	return nil
}
