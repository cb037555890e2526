package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stateio/stateio/store"
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
// It needs a majority of all members to be up without this one, which must not run: of two there is
// none, and the way back is [Recover]. After an error or a crash, call it again. The errors are
// those of options; ErrIdentity if dir is that of another node, or of a store, if the member
// runs elsewhere, or may do so, since its address does not answer, or tokens differ; or if the
// member is known at another address than this node's, or dir says that this node was removed, so
// that the member may be another node, which was given its ID (Remove the member first if it is
// this node, or gone); ErrOtherCluster if all the others are of another cluster than dir;
// store.ErrLocked; ErrNoQuorum with that of ctx; and those of the file system.
func Rejoin(ctx context.Context, dir string, opts *Options) (aside string, err error) {
	o, err := opts.withDefaults()
	if err != nil {
		return "", err
	}
	addrs := others(o)
	if len(addrs) == 0 {
		return "", errors.New("cluster: rejoining needs the addresses of other members: set Options.Members or Options.Join")
	}
	if dir, err = absolute(dir); err != nil {
		return "", err
	}
	n := &Node{dir: dir, opts: o}
	aside, err = n.rejoin(ctx, addrs)
	if n.lock != nil {
		err = errors.Join(err, n.lock.Close())
	}
	if err != nil {
		return "", &opError{msg: "rejoining with " + dir, errs: []error{err}}
	}
	return aside, nil
}

// rejoin is Rejoin, with options that are good.
func (n *Node) rejoin(ctx context.Context, addrs []string) (aside string, err error) {
	if err := n.checkMine(); err != nil && !errors.Is(err, store.ErrCorrupt) {
		return "", err
	}
	if err := n.lockDir(); err != nil {
		return "", err
	}
	if err := n.checkMine(); err != nil && !errors.Is(err, store.ErrCorrupt) {
		return "", err
	}
	// One that knows of which cluster it is goes back to that one.
	asker := &self{id: n.opts.ID}
	if n.self != nil {
		asker.is = n.self.identity()
	}
	if err := n.leave(ctx, asker, addrs); err != nil {
		return "", err
	}
	return n.setAside(addrs, asker)
}

// leave has the others remove this node, if they have it. One that knows that it was removed has
// nothing to ask for: a member with its ID is another node.
func (n *Node) leave(ctx context.Context, asker *self, addrs []string) error {
	note := filepath.Join(n.dir, removedFile)
	removed, err := exists(note)
	if err != nil {
		return err
	}
	a := ask{Op: askMember, ID: n.opts.ID, Relay: true}
	if !removed {
		a.Op, a.Gone = askRemove, true
		if _, port, _ := net.SplitHostPort(n.opts.Advertise); port != "0" {
			a.Addr, a.At = n.opts.Advertise, []string{}
		}
		if n.self != nil && a.At != nil {
			a.At = append(a.At, n.self.at...)
		}
	}
	switch err := askOthers(ctx, n.opts, asker, addrs, a); {
	case errors.Is(err, errAbsent):
		return nil
	case err == nil && removed:
		return errIsMember(n.opts.ID, note)
	default:
		return err
	}
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

// askOthers asks the others to remove this node, or whether they have it, until a leader has answered:
// errAbsent if they do not. An address may be that of another cluster by now, so a node there that
// refuses to talk decides nothing, unless there is none but such.
func askOthers(ctx context.Context, o *Options, asker *self, addrs []string, a ask) error {
	ln, err := listen(ctx, o.Listen) // nobody else is this node now
	if err == nil {
		err = ln.Close() // the leader calls, and must find nobody
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMux(ctx, ln, o, asker, func(net.Conn) {})
	defer m.close()
	p := newPeers(ctx, func(ctx context.Context, addr string) (net.Conn, error) { return m.dial(ctx, connPeer, addr) })
	defer p.close()
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	for {
		var failed error
		refused := 0
		for _, addr := range addrs {
			call, cancel := context.WithTimeout(ctx, max(10*o.Heartbeat, helloTimeout))
			_, err := p.call(call, addr, frameAsk, payload)
			cancel()
			if err != nil {
				p.drop(addr) // it may lead to another node the next time, or the connection be dead
			}
			answered := errors.As(err, new(*remoteError))
			switch {
			case err == nil, errors.Is(err, errAbsent), answered && errors.Is(err, ErrIdentity):
				return err
			case errors.Is(err, ErrOtherCluster), errors.Is(err, ErrIdentity):
				refused++
			}
			failed = errors.Join(failed, fmt.Errorf("asking %s about member %s: %w", addr, o.ID, err))
		}
		if refused == len(addrs) {
			return failed
		}
		select {
		case <-ctx.Done():
			return &opError{msg: "no member could remove this one (a majority of all members must be up without it; where that can't be, as of two, call Recover for the directory of one that is left)", errs: []error{ErrNoQuorum, ctx.Err(), failed}}
		case <-time.After(o.Heartbeat / 5):
		}
	}
}

// setAside moves what is in the directory into one in it. The addresses are written first: with
// them, Open never begins a cluster. Of the cluster, the node is still, whatever step is the last one:
// a node that did not know would join whoever has one of the addresses by now. A founder may
// know no more than the list that it was begun with. Only if NODE is damaged, or not there, the
// node learns its cluster from the others.
func (n *Node) setAside(addrs []string, is *self) (aside string, err error) {
	if err := writeDurably(filepath.Join(n.dir, joinFile), []byte(strings.Join(addrs, "\n")+"\n")); err != nil {
		return "", err
	}
	n.opts.hooks.at(joinFile)
	for _, name := range append([]string{"wal", "snapshots"}, nodeFiles...) {
		from := filepath.Join(n.dir, name)
		if _, err := os.Lstat(from); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if aside == "" {
			if aside, err = os.MkdirTemp(n.dir, "damaged-"); err != nil {
				return "", err
			}
		}
		to := filepath.Join(aside, name)
		if name == nodeFile && !is.identity().blank() {
			err = is.beginAnew(from, to)
		} else {
			err = os.Rename(from, to)
		}
		if err != nil {
			return "", err
		}
		n.opts.hooks.at(name)
	}
	return aside, syncDir(n.dir)
}

// beginAnew copies the file NODE at path, and puts one in its place that says of which cluster this node
// is, and that it is to join.
func (s *self) beginAnew(path, to string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = writeDurably(to, b)
	}
	if err != nil {
		return err
	}
	s.path = path
	return s.become(s.identity(), true)
}

// readJoin has the node join by the addresses that Rejoin has written, and by those that
// Options have, to which the others may have moved since, until it has joined.
func (n *Node) readJoin() error {
	b, err := os.ReadFile(filepath.Join(n.dir, joinFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n.rejoining = true
	join := strings.Fields(string(b))
	for _, addr := range others(n.opts) {
		if !slices.Contains(join, addr) {
			join = append(join, addr)
		}
	}
	n.opts.Members, n.opts.Join = nil, join
	return nil
}
