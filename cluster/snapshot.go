package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// A snapshot is chunks of
//
//	magic [8]byte | version uint32 = 1
//	| index uint64 | time int64 | applied uint64 | term uint64
//	| cluster [16]byte | founders [16]byte | table | state
//
// where state is what the machine has written.
const (
	snapshotMagic   = "stateclu"
	snapshotVersion = 1
)

// A snapshotHeader is what precedes the table in a snapshot.
type snapshotHeader struct {
	index   uint64 // updates applied since the beginning of time
	time    int64  // of the last entry
	applied uint64 // raft index of the last entry
	term    uint64 // and its term
	is      identity
}

func (h snapshotHeader) encode() []byte {
	b := append(make([]byte, 0, 128), snapshotMagic...)
	b = binary.LittleEndian.AppendUint32(b, snapshotVersion)
	for _, v := range []uint64{h.index, uint64(h.time), h.applied, h.term} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return appendIdentity(b, h.is)
}

// readSnapshotHead reads what precedes the machine's state.
func readSnapshotHead(r io.Reader) (h snapshotHeader, t *table, err error) {
	b := make([]byte, len(h.encode()))
	if _, err := io.ReadFull(r, b); err != nil {
		return h, nil, err
	}
	if string(b[:len(snapshotMagic)]) != snapshotMagic {
		return h, nil, errors.New("cluster: this is not a snapshot of a cluster")
	}
	b = b[len(snapshotMagic):]
	if v := binary.LittleEndian.Uint32(b); v != snapshotVersion {
		return h, nil, fmt.Errorf("cluster: the snapshot has version %d, and this program knows only %d: use the newer version of the program on this node, too: %w", v, snapshotVersion, store.ErrVersion)
	}
	get := func(i int) uint64 { return binary.LittleEndian.Uint64(b[4+8*i:]) }
	h = snapshotHeader{index: get(0), time: int64(get(1)), applied: get(2), term: get(3), is: parseIdentity(b[4+8*4:])}
	t, err = readTable(r)
	return h, t, err
}

// A capturedState is the replicated state as it was at some time. It implements
// raft.FSMSnapshot.
type capturedState struct {
	header snapshotHeader
	table  captured
	state  io.WriterTo
	of     *fsm
	has    volume
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	returned := false
	defer func() {
		if !returned {
			mustReturn("Snapshot", recover())
		}
	}()
	f.state.Lock()
	defer f.state.Unlock()
	c, err := f.captureLocked()
	returned = true
	if err != nil {
		return nil, err
	}
	f.members.captured(c.header.applied)
	return c, nil
}

// captureLocked captures the state. It is called with state held.
func (f *fsm) captureLocked() (*capturedState, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	defer f.calling(&inSnapshot)()
	state, err := f.m.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("cluster: the machine can't make a snapshot: %w", err)
	}
	if state == nil {
		return nil, errNoState
	}
	return &capturedState{
		header: snapshotHeader{index: f.index.Load(), time: f.time, applied: f.applied.Load(), term: f.term.Load(), is: f.self.identity()},
		table:  f.table.capture(), state: state,
		of: f, has: f.total(),
	}, nil
}

var errNoState = errors.New("cluster: Snapshot of the machine returned neither a snapshot nor an error")

// Persist implements raft.FSMSnapshot.
func (c *capturedState) Persist(sink raft.SnapshotSink) error {
	returned := false
	defer func() {
		if !returned {
			mustReturn("WriteTo of a snapshot", recover())
		}
	}()
	c.of.persisting.Add(1)
	defer c.of.persisting.Add(-1)
	err := c.writeTo(sink)
	returned = true
	if err == nil && c.header.applied < c.of.durable.Load() { // raft would go back to this one
		err = errors.New("cluster: a later one of another node was restored meanwhile")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cluster: writing a snapshot: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("cluster: writing a snapshot: %w", err)
	}
	c.of.cutAt(c.has)
	return nil
}

func (c *capturedState) writeTo(w io.Writer) error {
	chunks := newChunkWriter(w)
	buffered := bufio.NewWriter(chunks)
	if _, err := buffered.Write(c.header.encode()); err != nil {
		return err
	}
	if err := c.table.writeTo(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if _, err := c.state.WriteTo(chunks); err != nil {
		return err
	}
	return chunks.Close()
}

// Release implements raft.FSMSnapshot.
func (c *capturedState) Release() {
	if closer, ok := c.state.(io.Closer); ok {
		_ = guarded("Close of the captured state", closer.Close) // there is nobody to tell
	}
}

// Snapshot makes a snapshot of this node's state and drops the part of the log that
// it replaces. Nodes make snapshots by themselves, each for itself; see
// Options.SnapshotBytes. It returns when the snapshot is durable, and at once if
// nothing was applied since the last one. If ctx ends while it is made, it goes on.
//
// The errors are those of Machine.Snapshot and its io.WriterTo, those of the file
// system, store.ErrClosed, store.ErrFailed, ErrStalled, ErrRemoved, and that of ctx.
func (n *Node) Snapshot(ctx context.Context) error {
	if err := n.down("snapshot not made"); err != nil {
		return err
	}
	if err := n.await(ctx, n.makeSnapshot); err != nil {
		return &opError{msg: "making a snapshot in " + n.dir, errs: []error{err}}
	}
	return nil
}

func (n *Node) makeSnapshot() error {
	n.snapshotMu.Lock()
	defer n.snapshotMu.Unlock()
	began := time.Now()
	if err := n.verify(); err != nil { // raft would make the directory again
		return err
	}
	wanted := n.fsm.applied.Load()
	if wanted <= n.fsm.durable.Load() { // raft would write the same once more
		return n.fsm.read(func() error { return nil }) // or the state is not whole
	}
	if err := n.keepLogs(); err != nil {
		n.snapshotDone(0, err, time.Since(began))
		return err
	}
	f := n.raft.Snapshot()
	err := f.Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) || err != nil && n.fsm.durable.Load() >= wanted {
		return nil // in the second case one of another node was restored meanwhile
	}
	var index uint64
	var size int64
	if err == nil {
		index, size, err = readBack(f)
	}
	if err == nil {
		err = n.verify()
	}
	if err == nil && index > n.fsm.durable.Load() {
		n.fsm.durable.Store(index)
	}
	n.snapshotDone(size, err, time.Since(began))
	return err
}

// keepLogs sets how many entries raft keeps before a snapshot, for followers that
// are a little behind: about trailingBytes, going by the size of the latest ones, but not
// those of more files than that many bytes may take.
func (n *Node) keepLogs() error {
	since := n.fsm.since()
	size := uint64(since.bytes) / max(since.entries, 1)
	room := n.opts.hooks.trailing(trailingBytes)
	keep := room / max(size, 1)
	bases, err := n.logBases()
	if err != nil {
		return err
	}
	if most := n.filesFor(int64(room)); int64(len(bases)) > most {
		last, err := n.logs.LastIndex()
		if err != nil {
			return err
		}
		keep = min(keep, last+1-min(bases[int64(len(bases))-most], last+1))
	}
	return n.reload(func(c *raft.ReloadableConfig) { c.TrailingLogs = min(max(keep, 16), 100_000) })
}

// readBack reads the snapshot that was made, which checks it, and returns its last entry and its
// size.
func readBack(f raft.SnapshotFuture) (index uint64, size int64, err error) {
	meta, r, err := f.Open()
	if err != nil {
		return 0, 0, fmt.Errorf("cluster: reading back a snapshot: %w", err)
	}
	return meta.Index, meta.Size, r.Close()
}

const trailingBytes = 32 << 20

// snapshotLoop makes snapshots by itself.
func (n *Node) snapshotLoop() {
	if n.opts.SnapshotBytes < 0 {
		return
	}
	files, kept := 0, 0 // of the log: now, and after the last snapshot
	for n.pause(n.opts.Heartbeat) {
		files = n.countLogFiles(files)
		kept = min(kept, files)
		if !n.snapshotIsDue(files - kept) {
			continue
		}
		if err := n.Snapshot(n.ctx); err == nil {
			kept = n.countLogFiles(files)
		} else if n.ctx.Err() == nil {
			n.log.Warn("cluster: no snapshot; the log grows until one can be made", "node", n.opts.ID, "error", err)
			if !n.pause(20 * n.opts.Heartbeat) {
				return
			}
		}
	}
}

// snapshotIsDue reports whether the log has grown by so much since the last snapshot, or by so many
// files, that another one is due. Files count only if something was applied since: else there is
// nothing to make one of.
func (n *Node) snapshotIsDue(files int) bool {
	size := max(n.opts.SnapshotBytes, n.lastSnapshotSize())
	since := n.fsm.since()
	return since.bytes >= size || since.entries > 0 && int64(files) >= n.filesFor(size)
}
