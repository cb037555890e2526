package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// openCopy opens a copy of the directory of a member, which runs again meanwhile.
func openCopy(t *testing.T, tr *trial, i int, change func(o *Options)) *Node {
	t.Helper()
	tr.stop(i)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(tr.path(i))); err != nil {
		t.Fatal(err)
	}
	tr.start(i)
	if err := tr.nodes[i].Sync(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	o := *tr.opts[i]
	change(&o)
	n, err := Open(dir, newLedger(), &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// TestACopyOfAMemberThatRunsGetsNoVote opens a copy of a member's directory, with another address, and
// with that of the member, which leads elsewhere; and has the member be up only after the copy.
func TestACopyOfAMemberThatRunsGetsNoVote(t *testing.T) {
	concurrently(t)
	for _, what := range []string{"another address", "the same address"} {
		t.Run(what, func(t *testing.T) {
			tr := startTrial(t, 3, nil)
			adds(t, tr.nodes[0], 1, "a")
			lead := tr.leader()
			b, c := (lead+1)%3, (lead+2)%3
			n := openCopy(t, tr, c, func(o *Options) {
				if what == "the same address" {
					o.Advertise, o.Listen = o.Listen, freeAddrs(t, 1)[0]
				} else {
					o.Listen = freeAddrs(t, 1)[0]
				}
			})
			call := func(n *Node) error {
				conn, err := n.mux.dialTo(t.Context(), connRaft, tr.addrs[b], tr.opts[b].ID)
				if err == nil {
					err = conn.Close()
				}
				return err
			}
			eventually(t, "the copy is refused", func() bool { return errors.Is(call(n), ErrIdentity) })
			if err := call(tr.nodes[c]); err != nil {
				t.Errorf("the member: %v", err)
			}
			tr.crash(lead)
			update(t, tr.nodes[b], "add a")
			if _, leads := n.leads(); leads {
				t.Error("the copy leads")
			}

			tr.crash(c)
			conn, err := n.mux.dialTo(t.Context(), connRaft, tr.addrs[b], tr.opts[b].ID)
			if err != nil {
				t.Fatalf("the copy, while the member is down: %v", err)
			}
			defer conn.Close()
			tr.start(c)
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the copy, once the member is up, is not hung up on: %v", err)
			}
		})
	}
}
