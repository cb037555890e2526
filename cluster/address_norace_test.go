//go:build !race

package cluster

import (
	"fmt"
	"net"
	"strings"
	"testing"
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
