package cluster

import (
	"errors"
	"strings"
	"testing"
)

// threeWithOneDown returns a cluster of three, and which leads, which is down, and which is the
// third.
func threeWithOneDown(t *testing.T) (tr *trial, lead, down, other int) {
	t.Helper()
	tr = startTrial(t, 3, nil)
	lead = tr.leader()
	down, other = (lead+1)%3, (lead+2)%3
	update(t, tr.nodes[lead], "add x")
	tr.crash(down)
	return tr, lead, down, other
}

func TestAMemberWithoutWhichThereIsNoMajorityIsNotRemoved(t *testing.T) {
	noLeaks(t)
	tr, lead, down, other := threeWithOneDown(t)
	for _, from := range []int{lead, other} {
		err := tr.nodes[from].Remove(t.Context(), tr.opts[other].ID)
		if !errors.Is(err, ErrMember) || !strings.Contains(err.Error(), tr.opts[down].ID+" at "+tr.addrs[down]) || !strings.Contains(err.Error(), "start those first") {
			t.Errorf("the error is %v", err)
		}
	}
	update(t, tr.nodes[other], "add x")
	tr.start(down)
	eventually(t, "the member is removed when the others are up", func() bool {
		return tr.nodes[lead].Remove(t.Context(), tr.opts[other].ID) == nil
	})
	update(t, tr.nodes[down], "add x")
	voters(t, tr.nodes[lead], 2)
}

func TestAMemberThatIsDownIsRemoved(t *testing.T) {
	tr, lead, down, other := threeWithOneDown(t)
	if err := tr.nodes[other].Remove(t.Context(), tr.opts[down].ID); err != nil {
		t.Fatal(err)
	}
	update(t, tr.nodes[lead], "add x")
	if err := tr.nodes[lead].Remove(t.Context(), tr.opts[other].ID); err != nil {
		t.Fatal("removing one of two that are up:", err)
	}
	update(t, tr.nodes[lead], "add x")
}

// TestAMemberIsNotMovedToWhereThereIsNoMajority moves one of the two members that are up to an
// address that nobody listens on.
func TestAMemberIsNotMovedToWhereThereIsNoMajority(t *testing.T) {
	tr, lead, _, other := threeWithOneDown(t)
	err := tr.nodes[lead].Add(t.Context(), tr.opts[other].ID, freeAddrs(t, 1)[0])
	if !errors.Is(err, ErrMember) {
		t.Errorf("the error is %v", err)
	}
	update(t, tr.nodes[other], "add x")
}
