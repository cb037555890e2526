//go:build !race

package cluster

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// It is not built for the race detector: raft's updateLastAppended reads the ID of a member
// without the lock under which startStopReplication writes the member anew, with the same ID,
// when its address changes while entries are sent to it.

// TestAMemberMayGetASecondAddress advertises another name of the same computer.
func TestAMemberMayGetASecondAddress(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	adds(t, tr.nodes[0], 1, "a")
	i := tr.follower()
	tr.stop(i)
	o := *tr.opts[i]
	_, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		t.Fatal(err)
	}
	o.Members, o.Advertise, o.Join = nil, "localhost:"+port, []string{tr.addrs[(i+1)%3], tr.addrs[(i+2)%3]}
	tr.opts[i] = &o
	tr.start(i)
	eventually(t, "the others know the new address", func() bool {
		vs, err := tr.nodes[tr.leader()].voters()
		return err == nil && strings.Contains(fmt.Sprint(vs), o.Advertise)
	})
}

// TestAMemberThatIsBackHearsOfAllMovesFirst has a member moved away and back while it hears nothing, and then
// hear of the first move only: if the leader ended then, it would be known, by its own log, where it was
// in between, and must not take that for another node's place.
func TestAMemberThatIsBackHearsOfAllMovesFirst(t *testing.T) {
	concurrently(t)
	tr, deaf := startDeaf(t, time.Second)
	update(t, tr.nodes[0], "add x")
	moves, lead := tr.follower(), tr.nodes[tr.leader()]
	id, away := raft.ServerID(tr.opts[moves].ID), freeAddrs(t, 1)[0]
	tr.stop(moves)
	deaf.Store(int64(moves))
	move := func(to string) (raft.Configuration, uint64) {
		if err := lead.raft.AddVoter(id, raft.ServerAddress(to), 0, 0).Error(); err != nil {
			t.Fatal(err)
		}
		knownAt(t, lead, string(id), to)
		return lead.fsm.members.get()
	}
	conf, index := move(away)
	move(tr.addrs[moves])
	n := tr.start(moves)
	if _, err := n.noteWhere(away); err != nil {
		t.Fatal(err)
	}
	before := n.raft.LastIndex()
	if before >= index {
		t.Fatalf("it has entry %d already: this tests nothing", index)
	}
	n.fsm.members.note(index, conf)
	if n.hears(before) {
		t.Error("it has heard of all, and not of the last move")
	}
	deaf.Store(-1)
	eventually(t, "it hears of the last move", func() bool { return n.hears(before) })
	knownAt(t, n, string(id), tr.addrs[moves])
}
