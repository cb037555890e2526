//go:build unix

package cluster

import (
	"syscall"
	"testing"
)

// TestAClosedNodeIsNotLockedByAChild closes a node while a child of the program, between fork
// and exec, has its descriptors still, and opens it again.
func TestAClosedNodeIsNotLockedByAChild(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 1, nil)
	adds(t, tr.nodes[0], 1, "a")
	child, err := syscall.Dup(int(tr.nodes[0].lock.(*heldLock).f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(child)
	tr.stop(0)
	tr.start(0)
	has(t, tr, 0, map[string]int{"a": 1})
}
