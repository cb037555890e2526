package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// bootstrap writes what a new cluster begins with, or makes sure of which cluster a node
// is that has begun. See identity.go.
func (n *Node) bootstrap(conf *raft.Config, snaps raft.SnapshotStore) error {
	has, err := n.hasBegun(snaps)
	if err != nil {
		return fmt.Errorf("cluster: looking at the log: %w", err)
	}
	switch {
	case has && n.self.identity().blank():
		return damagedErr(fmt.Errorf("cluster: %s does not say of which cluster the log is", n.self.path))
	case has:
		return errors.Join(n.checkJoin(snaps), n.begun())
	case len(n.opts.Join) > 0:
		return n.beginJoining() // there is something to lose when it has joined
	case n.self.joined:
		which := "one that it has not heard of yet"
		if is := n.self.identity(); is.known() {
			which = fmt.Sprintf("%v, and is no member yet", is)
		}
		return fmt.Errorf("%w: this one was opened with Options.Join, to be of %s: set that again; or remove %s, if it is to begin a cluster of its own", ErrOtherCluster, which, n.dir)
	}
	members := n.opts.Members
	if len(members) == 0 {
		members = []Member{{n.opts.ID, n.opts.Advertise}}
	}
	if err := n.checkListed(members); err != nil {
		return err
	}
	return n.beginWith(conf, snaps, members)
}

// hasBegun reports whether this node has anything of a cluster. One that has a term and nothing
// else has not: its first start was interrupted before there was an entry.
func (n *Node) hasBegun(snaps raft.SnapshotStore) (bool, error) {
	has, err := raft.HasExistingState(n.logs, n.logs, snaps)
	if err != nil || !has {
		return false, err
	}
	last, err := n.logs.LastIndex()
	if err != nil || last > 0 {
		return true, err
	}
	names, err := snapshotNames(n.dir)
	if err != nil || len(names) > 0 {
		return true, err
	}
	return exists(filepath.Join(n.dir, begunFile))
}

// beginWith begins a cluster. The log is there, and has no entry. The file NODE is written
// next: without an entry it does not count, so after a crash in between, all of this is done
// again; raft refuses if there is a term of the last time. The first entry makes
// the node one of the cluster; and BEGUN says that it has to be there from now on.
func (n *Node) beginWith(conf *raft.Config, snaps raft.SnapshotStore, members []Member) error {
	var first raft.Configuration
	for _, m := range members {
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.Addr)})
	}
	is := foundersOf(members)
	if len(members) == 1 {
		is = newCluster()
	}
	if err := n.self.become(is, false); err != nil {
		return err
	}
	term, err := n.logs.GetUint64([]byte("CurrentTerm"))
	if err == nil && term > 0 {
		err = n.logs.SetUint64([]byte("CurrentTerm"), 0)
	}
	if err != nil {
		return fmt.Errorf("cluster: beginning a cluster: %w", err)
	}
	if err := raft.BootstrapCluster(conf, n.logs, n.logs, snaps, n.trans, first); err != nil {
		return fmt.Errorf("cluster: beginning a cluster: %w", err)
	}
	return n.begun()
}

// beginJoining prepares a node without a log to join, as a guest. One that is to be rebuilt
// knows of which cluster it is. Another one may have learned that, and have been stopped
// before it had anything of it: it learns that anew, from whomever Options.Join says now.
func (n *Node) beginJoining() error {
	switch {
	case !n.rejoining:
		return n.self.become(identity{}, true)
	case n.self.isGuest():
		return nil // and may have been invited
	}
	return n.self.become(n.self.identity(), true)
}

// checkJoin makes sure that a node which has a log, and is to join, is to join the cluster
// that it is of: it may have been opened without Join first, by mistake, and has begun a
// cluster of its own. If nobody answers, as when all nodes are restarted, the node is
// opened, and goes on asking. A node that has others in its log has made no such mistake: an
// address is of no use any more, since a node of another cluster has it.
func (n *Node) checkJoin(snaps raft.SnapshotStore) error {
	if len(n.opts.Join) == 0 {
		return nil
	}
	n.listen() // the others may be doing the same
	ctx, cancel := context.WithTimeout(n.ctx, max(n.opts.Heartbeat, minCheckJoin))
	defer cancel()
	others := make(chan error, len(n.opts.Join))
	for _, addr := range n.opts.Join {
		go func() { others <- n.greet(ctx, addr) }()
	}
	var other error
	for range n.opts.Join {
		err := <-others
		if err == nil {
			return nil // one is of this cluster
		}
		if errors.Is(err, ErrOtherCluster) {
			other = err
		}
	}
	if other == nil {
		n.unsure = true
		return nil
	}
	if n.self.joined || !n.isAlone(snaps) {
		n.log.Warn("cluster: Options.Join has the address of a node of another cluster, and no other one answers", "node", n.opts.ID, "error", other)
		return nil
	}
	return fmt.Errorf("this node has begun as one of another cluster than Options.Join says: open it without Join to go on with it; or, to join, remove %s first, and with it what only this node has: %w", n.dir, other)
}

// isAlone reports whether this node is the only one with a vote, by its log, which raft has not
// read yet. What can't be read is an error there.
func (n *Node) isAlone(snaps raft.SnapshotStore) bool {
	var conf raft.Configuration
	var until uint64
	if list, err := snaps.List(); err == nil && len(list) > 0 {
		conf, until = list[0].Configuration, list[0].Index
	}
	first, ferr := n.logs.FirstIndex()
	last, lerr := n.logs.LastIndex()
	if ferr != nil || lerr != nil {
		return false
	}
	for i := last; i > until && i >= first && i > 0; i-- {
		var l raft.Log
		if err := n.logs.GetLog(i, &l); err != nil {
			return false
		}
		if l.Type == raft.LogConfiguration {
			conf = raft.DecodeConfiguration(l.Data)
			break
		}
	}
	voters := votersOf(conf)
	return len(voters) == 1 && string(voters[0].ID) == n.opts.ID
}

// listen lets other nodes call. They are answered which node this is, and what they ask
// when it is open.
func (n *Node) listen() {
	n.listening.Do(func() { n.wg.Go(n.mux.run) })
}

// greet makes sure that the node at addr is there, and is another one of this cluster.
func (n *Node) greet(ctx context.Context, addr string) error {
	if addr == n.opts.Advertise {
		return errNotYet
	}
	conn, err := n.mux.dialTo(ctx, connPeer, addr, "")
	if err != nil {
		return err
	}
	if c, ok := conn.(*trackedConn); ok && c.to == n.opts.ID { // by another name: localhost, say
		err = errNotYet
	}
	return errors.Join(err, conn.Close())
}

const (
	minCheckJoin  = time.Second
	mostCheckJoin = time.Minute
)

// goOnChecking asks the nodes of Options.Join until one says of which cluster it is. If
// that is another one, this is logged; see mux.tell.
func (n *Node) goOnChecking() {
	for wait := n.opts.Heartbeat; n.pause(wait); wait = min(2*wait, mostCheckJoin) {
		for _, addr := range n.opts.Join {
			ctx, cancel := context.WithTimeout(n.ctx, helloTimeout)
			err := n.greet(ctx, addr)
			cancel()
			if err == nil || errors.Is(err, ErrOtherCluster) {
				return
			}
		}
	}
}

// firstGroup is what entries begin with until one has said which cluster this is.
func (n *Node) firstGroup() []byte {
	if n.self.identity().known() {
		return nil
	}
	is := newCluster()
	is.founders = n.self.identity().founders
	return appendCluster(nil, is)
}

// found is told of the cluster that the first entry, or a snapshot, says that this is.
// What is in memory counts from here on: the log has it, and brings it back.
func (n *Node) found(is identity) {
	written := n.under.begin("writing " + n.self.path)
	err := n.self.found(is)
	written()
	if err != nil {
		n.log.Error("cluster: can't write down which cluster this is; it is done when the node is opened again", "node", n.opts.ID, "error", err)
	}
	n.mux.found(is)
}

// memberAt returns which member is at an address, as far as this node knows. The leader may be where
// another one was, as long as nobody has removed that.
func (n *Node) memberAt(addr string) string {
	if l := n.leader.Load(); l != nil && l.addr == addr {
		return l.id
	}
	r := n.trans.raft.Load()
	if r == nil {
		return ""
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if string(s.Address) == addr {
			return string(s.ID)
		}
	}
	return ""
}
