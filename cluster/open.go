package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/store"
)

// Open opens a node whose log and snapshots are in the directory dir, which it
// makes if it is not there, and returns it. The machine m must be in its initial
// state. Open restores what the newest snapshot holds; the updates since then are
// applied when the node has found the others, so Index and ViewLocal lag until
// then, and Sync waits for it. See [Options] for how a cluster begins.
//
// The error is store.ErrLocked if the directory is open elsewhere; ErrIdentity if it is
// another node's, or a store's; ErrOtherCluster if the node has begun a cluster, in which
// it is alone, and Join says nodes of another one; ErrRemoved if the node knows that it was
// removed; ErrUnfinished if an Import was interrupted there; store.ErrCorrupt if the log or
// a snapshot is damaged or gone, see [Rejoin]; what Restore returns; what CheckType returns, if
// m is a store.TypeChecker, before anything is made; store.ErrVersion if a
// later release has written the snapshot; or one of options, of the network and of the file
// system. After an error m may hold any part of the
// state.
func Open(dir string, m store.Machine, opts *Options) (*Node, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("cluster: no machine")
	}
	if c, ok := m.(store.TypeChecker); ok {
		if err := c.CheckType(); err != nil {
			return nil, &opError{msg: "opening " + dir, errs: []error{err}}
		}
	}
	if dir, err = absolute(dir); err != nil {
		return nil, err
	}
	n := &Node{dir: dir, opts: o, log: o.Logger, ready: make(chan struct{}), closed: make(chan struct{}), failed: make(chan struct{})}
	n.run, n.noting, n.unread = rand.Text(), make(chan struct{}, 1), make(chan error, 1)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.out = newOutbox(o.MaxPending, n.leader.Load, n.transmit)
	n.fsm = newFSM(m, n.out)
	n.fsm.again, n.fsm.recent.most = o.hooks.again, o.KeepUpdates
	opened := false
	defer func() {
		if !opened { // the machine may also have panicked
			n.abandon()
		}
	}()
	if err := n.open(); err != nil {
		return nil, &opError{msg: "opening " + dir, errs: []error{advised(err, toRejoin)}}
	}
	opened = true
	return n, nil
}

// absolute returns the path of a directory from the root: the working directory may change.
func absolute(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("cluster: the directory has no name")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cluster: looking for %s: %w", dir, err)
	}
	return abs, nil
}

// open opens everything, in the order in which it is needed.
func (n *Node) open() error {
	if err := n.openDir(); err != nil {
		return err
	}
	ln, err := listen(n.ctx, n.opts.Listen)
	if err != nil {
		return err
	}
	n.fillAddresses(ln.Addr())
	n.mux = newMux(n.ctx, ln, n.opts, n.self, n.serve)
	n.mux.whois, n.mux.claimOf, n.mux.process = n.memberAt, n.claimOf, n.run
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

// openDir makes and locks the directory, and makes sure that it is this node's, and has its
// parts, before it changes anything.
func (n *Node) openDir() error {
	if err := n.checkMine(); err != nil {
		return err
	}
	if err := n.lockDir(); err != nil {
		return err
	}
	if err := n.checkMine(); err != nil { // what was there before it was locked is not certain
		return err
	}
	if err := errors.Join(checkNotRemoved(n.dir), n.readJoin()); err != nil {
		return err
	}
	if err := n.checkWhole(); err != nil {
		return err
	}
	if err := n.makeDirs(); err != nil {
		return err
	}
	return n.sweep()
}

// checkMine makes sure that the directory is this node's, if it is anybody's.
func (n *Node) checkMine() (err error) {
	if err := checkDir(n.dir); err != nil {
		return err
	}
	n.self, err = readSelf(filepath.Join(n.dir, nodeFile), n.opts.ID)
	return err
}

// lockDir makes the directory, and locks it.
func (n *Node) lockDir() (err error) {
	if err := makeDir(n.dir); err != nil {
		return err
	}
	n.lock, err = lockFile(filepath.Join(n.dir, "LOCK"))
	return err
}

func (n *Node) makeDirs() error {
	return errors.Join(makeDir(filepath.Join(n.dir, "wal")), makeDir(filepath.Join(n.dir, "snapshots")))
}

// sweep removes what a crash has left of snapshots and backups that were being made.
// Raft ignores such snapshots, and leaves them. A directory without the file NODE has none,
// or they are not this node's.
func (n *Node) sweep() error {
	if there, err := exists(n.self.path); err != nil || !there {
		return err
	}
	return errors.Join(
		removeUnfinished(n.dir, "backup-", nil),
		removeUnfinished(filepath.Join(n.dir, "snapshots"), "", nil),
	)
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
	return fsys.OS{}.SyncName(dir)
}

// writeDurably makes a small file, or leaves what is at path. After an error PATH.tmp
// may be left; the next call writes over it.
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

func syncDir(dir string) error { return fsys.OS{}.SyncDir(dir) }

// openRaft opens the log and the snapshots, and starts raft.
func (n *Node) openRaft() error {
	logger := raftLogger(n.opts.Logger, n.opts.ID)
	if err := n.openLog(); err != nil {
		return err
	}
	n.self.held = n.verify
	snaps, err := n.openSnapshots()
	if err != nil {
		return err
	}
	// One call at a time to each follower: with more, raft can stop sending entries to
	// a follower for good after its disk has failed once (raft's issue 612).
	n.trans = newTransport(n.ctx, n.opts.Heartbeat/4, n.standsAside, n.logs, &raft.NetworkTransportConfig{
		Stream: &raftStream{n.mux, n.opts.Advertise, 2 * n.opts.Heartbeat}, MaxPool: 3, MaxRPCsInFlight: 1,
		Timeout: max(10*time.Second, 4*n.opts.Heartbeat), Logger: logger,
	})
	n.fsm.self, n.fsm.found = n.self, n.found
	n.fsm.installed = func(index, term uint64) {
		if snaps.opening.Load() {
			n.logs.covers(index, term)
		} else {
			n.logs.restored(index, term)
		}
	}
	snaps.unread = n.cantRead
	n.fsm.alarm, n.fsm.newest, n.fsm.closing = n.notRestored, newestOf(snaps), n.ctx.Done()
	conf := n.raftConfig()
	conf.Logger = logger
	if err := n.bootstrap(conf, snaps); err != nil {
		return err
	}
	if n.self.isGuest() {
		conf.HeartbeatTimeout, conf.ElectionTimeout = noElection, noElection
	}
	n.raft, err = raft.NewRaft(conf, n.fsm, n.logs, n.logs, snaps, n.trans)
	if err != nil && (snaps.refused != nil || n.fsm.unrestored != nil) { // which raft only logs
		return notUsed(snaps.refused, n.fsm.unrestored)
	}
	if err != nil {
		return fmt.Errorf("cluster: starting raft: %w", err)
	}
	n.trans.raft.Store(n.raft)
	snaps.opening.Store(false)
	return n.noteFirst()
}

const (
	keepSnapshots = 2
	raftBytes     = 256 << 20 // of entries that raft has in memory at once, about
)

func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.opts.ID)
	patience := n.patience()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = patience, patience, patience
	c.CommitTimeout = 25 * time.Millisecond
	// Raft reads so many entries into memory to send them, or to apply them, each of which
	// is maxEntryBytes, or one update.
	c.MaxAppendEntries = min(64, max(4, raftBytes/n.opts.MaxUpdate))
	c.BatchApplyCh = true
	c.SnapshotThreshold = 1 << 62 // by bytes, in snapshotLoop
	c.SnapshotInterval = time.Hour
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	return c
}

// patience is raft's timeout. A follower of raft looks at times that are 1 to 2 timeouts apart
// whether it has heard nothing for 1 timeout. It notices after 1.8 of them on average, so this
// makes the average of one follower about Heartbeat.
func (n *Node) patience() time.Duration { return n.opts.Heartbeat * 3 / 5 }

// begin starts what runs until the node is closed.
func (n *Node) begin() {
	n.prop = &proposer{raft: n.raft, first: n.firstGroup, now: n.entryTime}
	signs := make(chan raft.Observation, 16)
	n.raft.RegisterObserver(raft.NewObserver(signs, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	}))
	close(n.ready)
	n.listen()
	n.wg.Go(func() { n.watchLeader(signs) })
	n.wg.Go(n.watchDisk)
	n.wg.Go(n.watchFiles)
	n.wg.Go(n.watchLog)
	n.wg.Go(n.snapshotLoop)
	n.wg.Go(n.watchRemoval)
	n.wg.Go(n.keepNotes)
	n.warnOfMoved()
	if n.unsure {
		n.wg.Go(n.goOnChecking)
	}
	if len(n.opts.Join) > 0 || n.self.isGuest() || n.mustAsk() {
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
	if n.raft != nil {
		_ = n.raft.Shutdown().Error() // it has begun nothing that can fail
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
