package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// Open opens a node whose log and snapshots are in the directory dir, which it
// makes if it is not there, and returns it. The machine m must be in its initial
// state. Open restores what the newest snapshot holds; the updates since then are
// applied when the node has found the others, so Index and ViewLocal lag until
// then, and Sync waits for it. See [Options] for how a cluster begins.
//
// The error is store.ErrLocked if the directory is open elsewhere; ErrIdentity if it
// is another node's; store.ErrCorrupt if the log or a snapshot is damaged or gone, see
// [Rejoin]; what Restore returns; or one of options, of the network and of the file
// system. After an error m may hold any part of the state.
func Open(dir string, m store.Machine, opts *Options) (*Node, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("cluster: no machine")
	}
	n := &Node{dir: dir, opts: o, log: o.Logger, closed: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.out = newOutbox(o.MaxPending, n.leader.Load, n.transmit)
	n.fsm = newFSM(m, n.out)
	n.fsm.again, n.fsm.recent.most = o.hooks.again, o.KeepUpdates
	if err := n.open(); err != nil {
		n.abandon()
		return nil, &opError{msg: "opening " + dir, errs: []error{err}}
	}
	return n, nil
}

// open opens everything, in the order in which it is needed.
func (n *Node) open() error {
	if err := n.openDir(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", n.opts.Listen)
	if err != nil {
		return err
	}
	n.fillAddresses(ln.Addr())
	n.mux = newMux(n.ctx, ln, n.opts, n.serve)
	n.peers = newPeers(n.ctx, func(ctx context.Context, addr string) (net.Conn, error) {
		return n.mux.dial(ctx, connPeer, addr)
	})
	n.reads = newReads(n.findIndex)
	n.lead = &leadership{n: n}
	n.lead.rounds = newReads(n.lead.find)
	if err := n.openRaft(); err != nil {
		return err
	}
	n.begin()
	return nil
}

// fillAddresses replaces port 0.
func (n *Node) fillAddresses(listening net.Addr) {
	if _, port, _ := net.SplitHostPort(n.opts.Advertise); port == "0" {
		n.opts.Advertise = listening.String()
	}
}

// openDir makes and locks the directory, and makes sure that it is this node's.
func (n *Node) openDir() (err error) {
	for _, d := range []string{"", "wal", "snapshots"} {
		if err := makeDir(filepath.Join(n.dir, d)); err != nil {
			return err
		}
	}
	if n.lock, err = lockFile(filepath.Join(n.dir, "LOCK")); err != nil {
		return err
	}
	if err := errors.Join(sweep(n.dir), n.readJoin()); err != nil {
		return err
	}
	path := filepath.Join(n.dir, "NODE")
	id, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return writeDurably(path, []byte(n.opts.ID+"\n"))
	}
	if err != nil {
		return err
	}
	if got := strings.TrimSuffix(string(id), "\n"); got != n.opts.ID {
		return fmt.Errorf("%w: the directory is that of node %q, and Options.ID is %q", ErrIdentity, got, n.opts.ID)
	}
	return nil
}

// sweep removes what a crash has left of snapshots and backups that were being made.
// Raft ignores such snapshots, and leaves them.
func sweep(dir string) error {
	for place, prefix := range map[string]string{dir: "backup-", filepath.Join(dir, "snapshots"): ""} {
		list, err := os.ReadDir(place)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range list {
			if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || !strings.HasSuffix(e.Name(), ".tmp") {
				continue
			}
			if err := os.RemoveAll(filepath.Join(place, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeDir makes a directory, and those above that are not there, and sees that they
// keep their names.
func makeDir(dir string) error {
	there, err := exists(dir)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if !there {
		if err := makeDir(parent); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return syncParent(parent)
}

// syncParent syncs a directory, unless it is another user's, who may have made it.
func syncParent(dir string) error {
	if err := syncDir(dir); !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// writeDurably makes a small file, or leaves none.
func writeDurably(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return ignoreUnsupported(d.Sync())
}

// openRaft opens the log and the snapshots, and starts raft.
func (n *Node) openRaft() error {
	logger := raftLogger(n.opts.Logger, n.opts.ID)
	if err := n.openLog(); err != nil {
		return err
	}
	snaps, err := n.openSnapshots()
	if err != nil {
		return err
	}
	// One call at a time to each follower: with more, raft can stop sending entries to
	// a follower for good after its disk has failed once (raft's issue 612).
	n.trans = newTransport(n.ctx, n.opts.Heartbeat/4, &raft.NetworkTransportConfig{
		Stream: &raftStream{n.mux, n.opts.Advertise, 2 * n.opts.Heartbeat}, MaxPool: 3, MaxRPCsInFlight: 1,
		Timeout: max(10*time.Second, 4*n.opts.Heartbeat), Logger: logger,
	})
	n.fsm.installed = func(index, term uint64) {
		if !snaps.opening.Load() {
			n.logs.restored(index, term)
		}
	}
	conf := n.raftConfig()
	conf.Logger = logger
	if err := n.bootstrap(conf, snaps); err != nil {
		return err
	}
	n.raft, err = raft.NewRaft(conf, n.fsm, n.logs, n.logs, snaps, n.trans)
	if err != nil && snaps.refused != nil {
		return damagedErr(fmt.Errorf("cluster: no snapshot can be used: %w", snaps.refused))
	}
	if err != nil {
		return fmt.Errorf("cluster: starting raft: %w", err)
	}
	n.trans.raft.Store(n.raft)
	snaps.opening.Store(false)
	return nil
}

const keepSnapshots = 2

func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.opts.ID)
	// A follower of raft looks at times that are 1 to 2 timeouts apart whether it has
	// heard nothing for 1 timeout. It notices after 1.8 of them on average, so this
	// makes the average of one follower about Heartbeat.
	patience := n.opts.Heartbeat * 3 / 5
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = patience, patience, patience
	c.CommitTimeout = 25 * time.Millisecond
	c.MaxAppendEntries = 64 // of which each is maxEntryBytes at most, if its updates are
	c.BatchApplyCh = true
	c.SnapshotThreshold = 1 << 62 // by bytes, in snapshotLoop
	c.SnapshotInterval = time.Hour
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	return c
}

// bootstrap writes the first configuration of a new cluster.
func (n *Node) bootstrap(conf *raft.Config, snaps raft.SnapshotStore) error {
	has, err := raft.HasExistingState(n.logs, n.logs, snaps)
	if err != nil {
		return fmt.Errorf("cluster: looking at the log: %w", err)
	}
	if has {
		return n.begun()
	}
	if len(n.opts.Join) > 0 {
		return nil // there is something to lose when it has joined
	}
	members := n.opts.Members
	if len(members) == 0 {
		members = []Member{{n.opts.ID, n.opts.Advertise}}
	}
	var first raft.Configuration
	for _, m := range members {
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.Addr)})
	}
	if err := raft.BootstrapCluster(conf, n.logs, n.logs, snaps, n.trans, first); err != nil {
		return fmt.Errorf("cluster: beginning a cluster: %w", err)
	}
	return n.begun()
}

// begin starts what runs until the node is closed.
func (n *Node) begin() {
	n.prop = &proposer{raft: n.raft, now: func() int64 { return max(time.Now().UnixNano(), n.fsm.clock.Load()) }}
	signs := make(chan raft.Observation, 16)
	n.raft.RegisterObserver(raft.NewObserver(signs, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	}))
	n.wg.Go(n.mux.run)
	n.wg.Go(func() { n.watchLeader(signs) })
	n.wg.Go(n.watchDisk)
	n.wg.Go(n.snapshotLoop)
	if len(n.opts.Join) > 0 {
		n.wg.Go(n.enter)
	}
}

// transmit sends a parcel to the leader.
func (n *Node) transmit(to *leader, p *parcel) {
	if to.self {
		n.prop.add(p.body, func(err error) { n.out.settle(p, err) })
		return
	}
	n.peers.send(to.addr, frameForward, p.body, func(_ []byte, err error) { n.out.settle(p, err) })
	if f := n.opts.hooks.forget; f != nil && f() {
		n.out.settle(p, errGone)
	}
}

// abandon closes what open has opened before it failed.
func (n *Node) abandon() {
	n.cancel()
	if n.mux != nil {
		n.mux.close()
	}
	if n.trans != nil {
		_ = n.trans.Close()
	}
	if n.logs != nil {
		_ = n.logs.Close()
	}
	if n.lock != nil {
		_ = n.lock.Close()
	}
}
