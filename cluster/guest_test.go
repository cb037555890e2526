package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A smallDisk takes a few writes of a node, and then none until there is room. So a node has
// the beginning of what it is sent.
type smallDisk struct {
	few    int32 // how many
	full   atomic.Bool
	writes atomic.Int32
}

var errNoRoom = errors.New("no space left on device")

func (d *smallDisk) store() error {
	if d.full.Load() && d.writes.Add(1) > d.few {
		return errNoRoom
	}
	return nil
}

// leadsNobody fails if a node takes an update.
func leadsNobody(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*n.opts.Heartbeat)
	defer cancel()
	if _, err := n.Update(ctx, []byte("add b")); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("without a majority, an update: %v", err)
	}
}

// hadMembers waits until a node knows of so many members, by the log that it is sent.
func hadMembers(t *testing.T, n *Node, want int) {
	t.Helper()
	eventually(t, "the node has the beginning of the log", func() bool {
		conf, err := n.members()
		return err == nil && len(conf.Servers) == want
	})
}

// A lostFounder is how the first node of a cluster comes to be rebuilt.
type lostFounder struct {
	imported, rejoin, cut bool
}

// TestAFounderThatIsRebuiltDoesNotLeadAlone rebuilds the node that has begun the cluster, alone.
// The beginning of the log that it is sent says that it is the only member. Then the leader is
// killed, or the node is cut off.
func TestAFounderThatIsRebuiltDoesNotLeadAlone(t *testing.T) {
	noLeaks(t)
	for name, how := range map[string]lostFounder{
		"removed, with an empty directory": {},
		"by Rejoin":                        {rejoin: true},
		"by Rejoin, and it is cut off":     {rejoin: true, cut: true},
		"by Rejoin, and it was imported":   {rejoin: true, imported: true},
	} {
		t.Run(name, func(t *testing.T) {
			concurrently(t)
			d := &smallDisk{few: 6}
			tr := newTrial(t, 3, func(i int, o *Options) {
				if o.Members = nil; i == 0 {
					o.hooks.store = d.store
				}
			})
			if how.imported {
				importOther(t, tr)
			}
			tr.start(0)
			adds(t, tr.nodes[0], 500, "a")
			for i := 1; i < 3; i++ {
				tr.opts[i].Join = tr.addrs[:1]
				tr.start(i)
				voters(t, tr.nodes[0], i+1)
			}
			tr.stop(0)
			lead := tr.leader()
			tr.opts[0].Join = []string{tr.addrs[1], tr.addrs[2]}
			lose(t, tr, lead, how.rejoin)
			d.full.Store(true)
			n := tr.start(0)
			hadMembers(t, n, 1)
			if how.cut {
				n.mux.cut(true)
			} else {
				tr.crash(lead)
			}
			d.full.Store(false)
			leadsNobody(t, n)
			tr.crash(0)
			n = tr.start(0) // a restart changes nothing
			if how.cut {
				n.mux.cut(true)
			}
			leadsNobody(t, n)
			if how.cut {
				n.mux.cut(false)
			} else {
				tr.start(lead)
			}
			voters(t, tr.nodes[lead], 3)
			has(t, tr, 0, map[string]int{"a": 500})
			equalStates(t, tr)
		})
	}
}

// importOther prepares node 0 with the backup of another cluster.
func importOther(t *testing.T, tr *trial) {
	t.Helper()
	one := startTrial(t, 1, nil)
	var buf bytes.Buffer
	if _, err := one.nodes[0].Backup(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	if err := Import(t.Context(), tr.path(0), bytes.NewReader(buf.Bytes()), int64(buf.Len()), tr.opts[0]); err != nil {
		t.Fatal(err)
	}
}

// lose takes from node 0, which does not run, what it has, as docs/CLUSTER.md says.
func lose(t *testing.T, tr *trial, lead int, rejoin bool) {
	t.Helper()
	if rejoin {
		if err := os.RemoveAll(filepath.Join(tr.path(0), "wal")); err != nil {
			t.Fatal(err)
		}
		if _, err := Rejoin(within(t, time.Minute), tr.path(0), tr.opts[0]); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := tr.nodes[lead].Remove(within(t, time.Minute), tr.opts[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(tr.path(0)); err != nil {
		t.Fatal(err)
	}
}

// TestANodeThatIsToBeRebuiltDoesNotVote empties a directory, as Rejoin does, of a node that
// the others count as a member still: the removal was not committed. What the node has
// acknowledged is on one other node only.
func TestANodeThatIsToBeRebuiltDoesNotVote(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	adds(t, tr.nodes[0], 3, "a")
	lead := tr.leader()
	empty, late := (lead+1)%3, (lead+2)%3
	eventually(t, "all have all", func() bool {
		return tr.nodes[late].fsm.applied.Load() == tr.nodes[lead].fsm.applied.Load()
	})
	tr.stop(late)
	adds(t, tr.nodes[lead], 5, "c")
	is := &self{id: tr.opts[empty].ID, is: tr.nodes[lead].self.identity()}
	tr.stop(empty)
	if _, err := (&Node{dir: tr.path(empty), opts: &Options{}}).setAside([]string{tr.addrs[lead], tr.addrs[late]}, is); err != nil {
		t.Fatal(err)
	}
	tr.crash(lead)
	n := tr.start(empty)
	leadsNobody(t, tr.start(late))
	if last := n.raft.LastIndex(); last != 0 {
		t.Errorf("the node has %d entries, by those that count it as the member that it was", last)
	}
	tr.start(lead)
	has(t, tr, late, map[string]int{"a": 3, "c": 5})
	tr.stop(empty)
	if _, err := Rejoin(within(t, time.Minute), tr.path(empty), tr.opts[empty]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was removed", func() bool { vs, err := tr.nodes[lead].voters(); return err == nil && len(vs) == 2 })
	tr.start(empty)
	voters(t, tr.nodes[lead], 3)
	equalStates(t, tr)
}

// TestAGuestTakesNoPartInElections asks one for its vote, and to stand.
func TestAGuestTakesNoPartInElections(t *testing.T) {
	from, to, addr := pair(t)
	to.aside = func(*raft.Raft) bool { return true }
	h := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("a"), Addr: []byte("x:1")}
	for what, err := range map[string]error{
		"a vote":             from.RequestVote("b", addr, &raft.RequestVoteRequest{RPCHeader: h}, &raft.RequestVoteResponse{}),
		"a vote before that": from.RequestPreVote("b", addr, &raft.RequestPreVoteRequest{RPCHeader: h}, &raft.RequestPreVoteResponse{}),
		"standing":           from.TimeoutNow("b", addr, &raft.TimeoutNowRequest{RPCHeader: h}, &raft.TimeoutNowResponse{}),
	} {
		if err == nil || !strings.Contains(err.Error(), errAside.Error()) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestANodeThatWasLetInVotesBeforeItKnowsOfItsVote stops the two nodes of a cluster that was
// one of one node, when only the first has the entry by which the second got its vote.
func TestANodeThatWasLetInVotesBeforeItKnowsOfItsVote(t *testing.T) {
	tr := newTrial(t, 2, nil)
	joining(tr)
	var full atomic.Bool
	full.Store(true)
	tr.opts[1].hooks.store = func() error {
		b, err := os.ReadFile(filepath.Join(tr.path(1), nodeFile))
		if err == nil && full.Load() && !strings.Contains(string(b), "guest") {
			return errNoRoom // it was let in
		}
		return nil
	}
	tr.start(0)
	adds(t, tr.nodes[0], 3, "a")
	tr.start(1)
	voters(t, tr.nodes[0], 2)
	if vs, _ := tr.nodes[1].voters(); len(vs) == 2 {
		t.Fatal("the second node has the entry")
	}
	tr.crash(0)
	full.Store(false) // closing waits for the disk
	tr.crash(1)
	tr.start(1)
	tr.start(0)
	adds(t, tr.nodes[0], 1, "a")
	eventually(t, "the second node knows that it has a vote", tr.nodes[1].joined)
	has(t, tr, 1, map[string]int{"a": 4})
}

// TestWhatRaftReloadsIsChangedByOneAtATime changes what raft can change while it runs, as a snapshot
// does, and letting a guest in, which may come at the same time.
func TestWhatRaftReloadsIsChangedByOneAtATime(t *testing.T) {
	n := startTrial(t, 1, nil).nodes[0]
	const goroutines, each = 4, 2000
	before := n.raft.ReloadableConfig().TrailingLogs
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				if err := n.reload(func(c *raft.ReloadableConfig) { c.TrailingLogs++ }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := n.raft.ReloadableConfig().TrailingLogs - before; got != goroutines*each {
		t.Errorf("of %d changes, %d are there", goroutines*each, got)
	}
}

// TestANodeThatIsRebuiltGetsItsVote changes the leader while a founder is sent the log, the
// beginning of which says that it has a vote.
func TestANodeThatIsRebuiltGetsItsVote(t *testing.T) {
	concurrently(t)
	d := &smallDisk{few: 6}
	var log lines
	tr := startTrial(t, 3, func(i int, o *Options) {
		if i == 0 {
			o.hooks.store, o.Logger = d.store, slog.New(slog.NewTextHandler(&log, nil))
		}
	})
	adds(t, tr.nodes[0], 500, "a")
	tr.stop(0)
	lead := tr.leader()
	lose(t, tr, lead, true)
	d.full.Store(true)
	n := tr.start(0)
	hadMembers(t, n, 3)
	eventually(t, "it was told that it is being added", func() bool { return strings.Contains(log.String(), "being added") })
	for tr.leader() == lead {
		if err := tr.nodes[lead].Transfer(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it asks the new leader, by whichever node", func() bool {
		for i := 1; i < 3; i++ {
			j := &tr.nodes[i].joining
			j.mu.Lock()
			asked := i != lead && j.all["n0"] != nil
			j.mu.Unlock()
			if asked {
				return true
			}
		}
		return false
	})
	d.full.Store(false)
	voters(t, tr.nodes[lead], 3)
	eventually(t, "the node has noted it", func() bool {
		_, err := os.Stat(filepath.Join(tr.path(0), joinFile))
		return errors.Is(err, os.ErrNotExist)
	})
	eventually(t, "the log says so", func() bool { return strings.Contains(log.String(), "a member, with a vote") })
	equalStates(t, tr)
}
