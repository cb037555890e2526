package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wal "github.com/hashicorp/raft-wal"

	"github.com/stateio/stateio/store"
)

// apart makes nodes that each begin a cluster of its own.
func apart(_ int, o *Options) { o.Members = nil }

// within returns a context that ends soon.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// stranger waits until n says of a member that it is of another cluster.
func stranger(t *testing.T, n *Node, id string) {
	t.Helper()
	eventually(t, "the member is of another cluster", func() bool {
		for _, m := range n.Status().Members {
			if m.ID == id {
				return !m.Up && errors.Is(m.Err, ErrOtherCluster)
			}
		}
		return false
	})
}

// adds makes n updates of a counter.
func adds(t *testing.T, n *Node, count int, name string) {
	t.Helper()
	for range count {
		update(t, n, "add "+name)
	}
}

// has fails unless a node sees these sums, by View.
func has(t *testing.T, tr *trial, i int, want map[string]int) {
	t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		if got := sum(t, tr, i, name); got != want[name] {
			t.Errorf("node %d has %d updates of %s, and %d were acknowledged", i, got, name, want[name])
		}
	}
}

// TestTwoClustersAreNotMadeOneByAdd begins two nodes without Join, and adds one to the
// cluster of the other.
func TestTwoClustersAreNotMadeOneByAdd(t *testing.T) {
	concurrently(t)
	for _, more := range []int{-3, 3} {
		tr := startTrial(t, 2, apart)
		adds(t, tr.nodes[0], 5, "a")
		adds(t, tr.nodes[1], 5+more, "b")
		err := tr.nodes[0].Add(within(t, 20*time.Second), "n1", tr.addrs[1])
		if !errors.Is(err, ErrOtherCluster) {
			t.Fatalf("the error of Add is %v", err)
		}
		voters(t, tr.nodes[0], 1)
		if s := tr.nodes[0].Status(); len(s.Members) != 1 {
			t.Errorf("the members are %v", s.Members)
		}
		adds(t, tr.nodes[0], 1, "a")
		adds(t, tr.nodes[1], 1, "b")
		for range 2 { // as they are, and after a restart
			has(t, tr, 0, map[string]int{"a": 6})
			has(t, tr, 1, map[string]int{"b": 6 + more})
			for i := range tr.nodes {
				tr.crash(i)
				tr.start(i)
			}
		}
	}
}

// TestANodeThatForgotTheListIsNotMixed begins two nodes of three with the list, and one
// without.
func TestANodeThatForgotTheListIsNotMixed(t *testing.T) {
	concurrently(t)
	for _, count := range []int{1, 9} {
		tr := newTrial(t, 3, func(i int, o *Options) {
			if i == 2 {
				o.Members = nil
			}
		})
		tr.start(2)
		adds(t, tr.nodes[2], count, "c")
		tr.start(0)
		tr.start(1)
		adds(t, tr.nodes[0], 4, "a")
		stranger(t, tr.nodes[0], "n2")
		stranger(t, tr.nodes[1], "n2")
		has(t, tr, 0, map[string]int{"a": 4})
		has(t, tr, 1, map[string]int{"a": 4})
		has(t, tr, 2, map[string]int{"c": count})
	}
}

// TestANodeWithAnotherListIsNotMixed begins with two lists that share nodes.
func TestANodeWithAnotherListIsNotMixed(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 4, func(i int, o *Options) {
		if o.Members = o.Members[:3]; i == 3 {
			o.Members = []Member{o.Members[1], o.Members[2], {o.ID, o.Listen}}
		}
	})
	for i := range tr.nodes {
		tr.start(i)
	}
	adds(t, tr.nodes[0], 3, "a")
	stranger(t, tr.nodes[3], "n1")
	stranger(t, tr.nodes[3], "n2")
	if _, err := tr.nodes[3].Update(within(t, 500*time.Millisecond), []byte("add b")); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("a node with a list of its own has updates: %v", err)
	}
	has(t, tr, 1, map[string]int{"a": 3})
}

// TestANodeThatHasBegunCanNotJoin opens a node without Join, by mistake, and then with it,
// also at another address, and when the others do not run yet.
func TestANodeThatHasBegunCanNotJoin(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 2, apart)
	adds(t, tr.nodes[0], 2, "a")
	adds(t, tr.nodes[1], 5, "b")
	first := *tr.opts[1]
	for _, moved := range []bool{false, true} {
		tr.stop(1)
		o := first
		o.Join = tr.addrs[:1]
		if moved {
			o.Listen = freeAddrs(t, 1)[0]
		}
		n, err := Open(tr.path(1), newLedger(), &o)
		if err == nil {
			t.Fatal("the node is open: ", n.Close())
		}
		if !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), tr.path(1)) {
			t.Errorf("the error is %v", err)
		}
		tr.start(1)
		has(t, tr, 1, map[string]int{"b": 5})
	}
	tr.stop(0)
	tr.stop(1)
	logged := &logBook{}
	o := first
	o.Join, o.Logger = tr.addrs[:1], slog.New(slog.NewTextHandler(logged, nil))
	tr.opts[1] = &o
	tr.start(1)
	tr.start(0)
	eventually(t, "it is logged", func() bool { return logged.has("level=ERROR", "cluster: a node of another cluster") })
	has(t, tr, 0, map[string]int{"a": 2})
	has(t, tr, 1, map[string]int{"b": 5})
}

// TestANodeThatIsToJoinBeginsNoCluster opens a node with Join, while nobody answers, and then without.
func TestANodeThatIsToJoinBeginsNoCluster(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 2, apart)
	tr.opts[1].Join = tr.addrs[:1]
	tr.start(1)
	tr.stop(1)
	alone := *tr.opts[1]
	alone.Join = nil
	n, err := Open(tr.path(1), newLedger(), &alone)
	if err == nil {
		t.Fatal("the node is open: ", n.Close())
	}
	if text := err.Error(); !errors.Is(err, ErrOtherCluster) || strings.Contains(text, "none yet") || !strings.Contains(text, "Options.Join") || !strings.Contains(text, tr.path(1)) {
		t.Errorf("the error is %v", err)
	}
	tr.start(0)
	tr.start(1)
	voters(t, tr.nodes[0], 2)
}

// A logBook is a log, line by line.
type logBook struct {
	mu   sync.Mutex
	text []string
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(p))
	return len(p), nil
}

// has reports whether a line has all parts.
func (l *logBook) has(parts ...string) bool { return l.count(parts...) > 0 }

func (l *logBook) count(parts ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.text {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}

// TestANodeAtTheAddressOfADeadMemberIsNotTheMember has a node of another cluster listen
// where a member did that is down.
func TestANodeAtTheAddressOfADeadMemberIsNotTheMember(t *testing.T) {
	concurrently(t)
	for _, id := range []string{"n1", "other"} { // also by the name of the member
		for _, count := range []int{1, 30} {
			here, there := &logBook{}, &logBook{}
			tr := startTrial(t, 3, func(_ int, o *Options) { o.Logger = slog.New(slog.NewTextHandler(here, nil)) })
			adds(t, tr.nodes[0], 6, "a")
			tr.stop(1)
			stray := newTrial(t, 1, func(_ int, o *Options) { o.Members, o.ID = nil, id })
			stray.start(0)
			adds(t, stray.nodes[0], count, "b")
			stray.stop(0)
			stray.opts[0].Listen = tr.addrs[1]
			stray.opts[0].Logger = slog.New(slog.NewTextHandler(there, nil))
			stray.start(0)
			stranger(t, tr.nodes[0], "n1")
			adds(t, tr.nodes[0], 1, "a")
			adds(t, stray.nodes[0], 1, "b")
			has(t, tr, 0, map[string]int{"a": 7})
			has(t, tr, 2, map[string]int{"a": 7})
			has(t, stray, 0, map[string]int{"b": count + 1})
			for _, l := range []*logBook{here, there} {
				eventually(t, "both sides log it", func() bool { return l.has("level=ERROR", "another cluster", "remove its directory") })
			}
			stray.stop(0)
			tr.start(1)
			has(t, tr, 1, map[string]int{"a": 7})
		}
	}
}

// TestAMemberAtTheAddressOfAnotherIsNotTheOther has a member listen where another one did.
func TestAMemberAtTheAddressOfAnotherIsNotTheOther(t *testing.T) {
	tr := startTrial(t, 4, nil)
	adds(t, tr.nodes[0], 1, "a")
	logged := &logBook{}
	tr.stop(2)
	tr.stop(3)
	o := *tr.opts[3]
	o.Listen, o.Logger = tr.addrs[2], slog.New(slog.NewTextHandler(logged, nil))
	tr.opts[3] = &o
	tr.start(3)
	eventually(t, "the member is known to be another one", func() bool {
		for _, m := range tr.nodes[0].Status().Members {
			if m.ID == "n2" {
				return !m.Up && errors.Is(m.Err, ErrIdentity) && !errors.Is(m.Err, ErrOtherCluster)
			}
		}
		return false
	})
	if !logged.has("level=WARN", "known="+tr.addrs[3], "now="+tr.addrs[2], "Options.Join") {
		t.Error("the node does not log that the others know it by another address")
	}
}

// TestFoundersAgreeOnTheirCluster begins with a list, and has all nodes, also one that is
// late and gets a snapshot, one that joins, and all of them after a restart, say the same.
func TestFoundersAgreeOnTheirCluster(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 4, func(i int, o *Options) {
		small(i, o)
		if o.Members = o.Members[:3]; i == 3 {
			o.Members, o.Join = nil, []string{o.Members[0].Addr, o.Members[1].Addr}
		}
	})
	tr.start(0)
	tr.start(1)
	for range 3 {
		adds(t, tr.nodes[0], 40, "a")
		for i := range 2 {
			if err := tr.nodes[i].Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := tr.nodes[tr.leader()].Status().Cluster
	if len(first) != 2*idSize {
		t.Fatalf("the cluster is %q", first)
	}
	tr.start(3)
	voters(t, tr.nodes[0], 4)
	tr.crash(tr.leader()) // perhaps the one that joined leads now
	tr.start(2)
	for i, n := range tr.nodes {
		if n == nil {
			tr.start(i)
		}
	}
	same := func() {
		for i := range tr.nodes {
			eventually(t, "all are of the same cluster", func() bool { return tr.nodes[i].Status().Cluster == first })
			s, err := readSelf(filepath.Join(tr.path(i), nodeFile), tr.opts[i].ID)
			if err != nil || s.is != tr.nodes[0].self.identity() || s.joined != (i == 3) {
				t.Errorf("on the disk of node %d there is %v, %v: %v", i, s.is, s.joined, err)
			}
		}
	}
	same()
	for i := range tr.nodes {
		tr.crash(i)
	}
	for i := range tr.nodes {
		tr.start(i)
	}
	same()
	has(t, tr, 2, map[string]int{"a": 120})
}

// TestBeginningGoesOnAfterACrash opens directories as a crash leaves them, between any two
// steps of the beginning.
func TestBeginningGoesOnAfterACrash(t *testing.T) {
	concurrently(t)
	is := newCluster()
	for _, c := range []struct {
		name   string
		left   identity
		joined bool
		list   bool
		want   error
	}{
		{"one that begins alone", is, false, false, nil},
		{"one with a list", foundersOf([]Member{{"n0", "x:1"}}), false, true, nil},
		{"one with a list that was to begin alone", is, false, true, nil},
		{"one that is to begin alone, and had a list", foundersOf([]Member{{"n0", "x:1"}}), false, false, nil},
		{"one that was to join", is, true, false, ErrOtherCluster},
		{"one that was to join, and has a list", is, true, true, ErrOtherCluster},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTrial(t, 2, nil)
			if !c.list {
				tr.opts[0].Members = nil
			}
			log, err := wal.Open(mkdir(t, filepath.Join(tr.path(0), "wal"))) // the first that is made
			if err != nil {
				t.Fatal(err)
			}
			s := &self{id: "n0", path: filepath.Join(tr.path(0), nodeFile)}
			if err := errors.Join(log.Close(), s.become(c.left, c.joined)); err != nil {
				t.Fatal(err)
			}
			if c.want != nil {
				if n, err := Open(tr.path(0), newLedger(), tr.opts[0]); !errors.Is(err, c.want) {
					t.Errorf("the error is %v, and the node %v", err, n)
				}
				return
			}
			tr.start(0)
			if c.list {
				tr.start(1)
			}
			adds(t, tr.nodes[0], 1, "a")
			if tr.nodes[0].Status().Cluster == is.String() {
				t.Error("the node is of the cluster that did not begin")
			}
		})
	}
}

// TestAFirstStartThatIsInterruptedIsMadeAgain has the disk fail after the first term of a node
// was written, and before the first entry, and opens the node again.
func TestAFirstStartThatIsInterruptedIsMadeAgain(t *testing.T) {
	concurrently(t)
	for name, nodes := range map[string]int{"alone": 1, "with a list": 2} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(t, nodes, nil)
			if nodes == 1 {
				tr.opts[0].Members = nil
			}
			writes := 0
			tr.opts[0].hooks.store = func() error {
				if writes++; writes > 1 {
					return errNoRoom
				}
				return nil
			}
			if n, err := Open(tr.path(0), newLedger(), tr.opts[0]); err == nil || !strings.Contains(err.Error(), errNoRoom.Error()) {
				t.Fatalf("the error is %v, and the node %v", err, n)
			}
			tr.opts[0].hooks.store = nil
			for i := range nodes {
				tr.start(i)
			}
			adds(t, tr.nodes[0], 1, "a")
			tr.stop(0)
			tr.start(0)
			has(t, tr, 0, map[string]int{"a": 1})
		})
	}
}

// TestALogWithoutTheIdentityIsRefused takes the file NODE away, and damages it.
func TestALogWithoutTheIdentityIsRefused(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	adds(t, tr.nodes[0], 1, "a")
	path := filepath.Join(tr.path(0), nodeFile)
	const none = "no file"
	texts := []string{none, "", "n0\n", "n0\ncluster 12\n", "n0\nfounders x\n", "n0\nwhat\n", "\x00\x00\x00", "n0\nclus"}
	if testing.Short() {
		texts = texts[:2]
	}
	for _, text := range texts {
		tr.crash(0)
		err := os.Remove(path)
		if text != none {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := Open(tr.path(0), newLedger(), tr.opts[0]); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), nodeFile) {
			t.Fatalf("with %q the error is %v, and the node %v", text, err, n)
		}
		if _, err := Rejoin(within(t, time.Minute), tr.path(0), tr.opts[0]); err != nil {
			t.Fatal(err)
		}
		tr.start(0)
		voters(t, tr.nodes[1], 3)
		has(t, tr, 0, map[string]int{"a": 1})
	}
}

// TestAFileNODEThatIsCutShortIsDamage reads what a crash, or a file system, may leave of the file NODE,
// and the file of another node, which is not to be set aside.
func TestAFileNODEThatIsCutShortIsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), nodeFile)
	want := &self{id: "n10", is: newCluster(), joined: true, guest: invited, at: []string{"127.0.0.1:1", "[::1]:2"}}
	whole := string(encodeSelf(want.id, want.is, want.joined, want.guest, want.at))
	for text, want := range map[string]error{
		whole: nil, "n10\n": nil,
		"": store.ErrCorrupt, "\n": store.ErrCorrupt, "n": store.ErrCorrupt, "n10": store.ErrCorrupt,
		strings.Repeat("\x00", len(whole)): store.ErrCorrupt, whole[:len(whole)-1]: store.ErrCorrupt, whole[:10]: store.ErrCorrupt,
		"n1\n": ErrIdentity, "m": ErrIdentity, "n100": ErrIdentity, "n1\nclus": ErrIdentity,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSelf(path, "n10"); !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, and it should be: %v", text, err, want)
		}
	}
	if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := readSelf(path, "n10")
	if err != nil || s.is != want.is || !s.joined || s.guest != invited || !slices.Equal(s.at, want.at) {
		t.Errorf("it is read as %+v, %v", s, err)
	}
}

// TestANodeThatJoinsIsOfTheClusterBeforeItIsAMember stops a node that joins once it has
// written down of which cluster it is, and opens it again, there and elsewhere.
func TestANodeThatJoinsIsOfTheClusterBeforeItIsAMember(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 3, apart)
	tr.opts[1].Join = tr.addrs[:1]
	tr.opts[1].hooks.connect = func(kind byte, addr string) error {
		if addr == "" && kind == connRaft {
			return errRefused // it takes nothing of the log
		}
		return nil
	}
	tr.start(0)
	tr.start(2)
	adds(t, tr.nodes[0], 1, "a")
	adds(t, tr.nodes[2], 2, "c")
	tr.start(1)
	eventually(t, "the node knows its cluster", func() bool { return tr.nodes[1].Status().Cluster == tr.nodes[0].Status().Cluster })
	if err := tr.nodes[2].Add(within(t, 20*time.Second), "n1", tr.addrs[1]); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("another cluster adds the node: %v", err)
	}
	tr.crash(1)
	tr.opts[1].hooks.connect = nil
	alone := *tr.opts[1]
	alone.Join = nil
	if n, err := Open(tr.path(1), newLedger(), &alone); !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), "Options.Join") {
		t.Fatalf("without Join the error is %v, and the node %v", err, n)
	}
	tr.start(1)
	voters(t, tr.nodes[0], 2)
	has(t, tr, 1, map[string]int{"a": 1})
}

// TestANodeWithoutAClusterIsOnlyInvited adds a node that can't reach the others.
func TestANodeWithoutAClusterIsOnlyInvited(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 2, apart)
	tr.opts[1].Join = freeAddrs(t, 1)
	tr.start(0)
	adds(t, tr.nodes[0], 3, "a")
	if err := tr.nodes[0].Add(within(t, 300*time.Millisecond), "n1", tr.addrs[1]); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the node does not run yet, and the error is %v", err)
	}
	tr.start(1)
	for _, kind := range []byte{connRaft, connPeer} {
		if _, err := tr.nodes[0].mux.dialTo(t.Context(), kind, tr.addrs[1], "n1"); !errors.Is(err, errNotYet) {
			t.Errorf("a connection of kind %c to a node of no cluster: %v", kind, err)
		}
	}
	if conn, err := tr.nodes[1].mux.dialTo(t.Context(), connPeer, tr.addrs[0], ""); err != nil {
		t.Errorf("the node can't ask to join: %v", err)
	} else {
		defer conn.Close()
	}
	if err := tr.nodes[0].Add(within(t, 20*time.Second), "n7", tr.addrs[1]); !errors.Is(err, ErrMember) || !errors.Is(err, ErrIdentity) {
		t.Errorf("adding it by another name: %v", err)
	}
	if s := tr.nodes[0].Status(); len(s.Members) != 1 || tr.nodes[1].Status().Cluster != "" {
		t.Errorf("something has changed: %v, %v", s, tr.nodes[1].Status())
	}
	if err := tr.nodes[0].Add(within(t, 20*time.Second), "n1", tr.addrs[1]); err != nil {
		t.Fatal(err)
	}
	has(t, tr, 1, map[string]int{"a": 3})
}

// TestIdentitiesOfOneCluster says which nodes belong together.
func TestIdentitiesOfOneCluster(t *testing.T) {
	alone, other := newCluster(), newCluster()
	list, list2 := foundersOf([]Member{{"a", "x:1"}, {"b", "x:2"}}), foundersOf([]Member{{"a", "x:1"}, {"b", "x:3"}})
	if turned := foundersOf([]Member{{"b", "x:2"}, {"a", "x:1"}}); turned != list {
		t.Error("the order of a list matters")
	}
	begun := identity{alone.cluster, list.founders}
	again := identity{other.cluster, list.founders}
	for _, c := range []struct {
		a, b identity
		want relation
	}{
		{alone, alone, related},
		{alone, other, unrelated},
		{alone, list, unrelated},
		{alone, identity{}, undecided},
		{list, identity{}, undecided},
		{identity{}, identity{}, undecided},
		{list, list, related},
		{list, list2, unrelated},
		{begun, list, related},
		{begun, list2, unrelated},
		{begun, begun, related},
		{begun, again, unrelated},
	} {
		if got := c.a.relationTo(c.b); got != c.want {
			t.Errorf("%v and %v: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := c.b.relationTo(c.a); got != c.want {
			t.Errorf("%v and %v: %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

// TestAnIdentityIsNotChanged learns and finds another one.
func TestAnIdentityIsNotChanged(t *testing.T) {
	is := newCluster()
	s := &self{id: "a", is: is}
	if err := s.learn(newCluster()); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("the error is %v", err)
	}
	if err := errors.Join(s.learn(is), s.found(newCluster())); err != nil || s.identity() != is || s.joined {
		t.Errorf("the identity is %v: %v", s.identity(), err)
	}
}

// TestAFounderCutsOffThoseOfAnotherCluster has a founder find out which cluster it is,
// while one that had the same list before is connected to it.
func TestAFounderCutsOffThoseOfAnotherCluster(t *testing.T) {
	list := foundersOf([]Member{{"a", "x:1"}, {"b", "x:2"}})
	old, is := newCluster(), newCluster()
	old.founders, is.founders = list.founders, list.founders
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quietly := &Options{Logger: quiet(t)}
	m := newMux(t.Context(), ln, quietly, &self{id: "a", is: list}, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1)) // until it ends
	})
	m.wg.Go(m.run)
	defer m.close()
	connect := func(is identity) (net.Conn, error) {
		other := newMux(t.Context(), ln, quietly, &self{id: "b", is: is}, nil)
		return other.dialTo(t.Context(), connPeer, ln.Addr().String(), "a")
	}
	var conns []net.Conn
	for _, i := range []identity{old, list, is} {
		conn, err := connect(i)
		if err != nil {
			t.Fatal(i, err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	if err := m.self.found(is); err != nil {
		t.Fatal(err)
	}
	m.found(is)
	_ = conns[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection of the other cluster: %v", err)
	}
	for _, conn := range conns[1:] {
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection of this cluster: %v", err)
		}
	}
	if _, err := connect(old); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("it calls again: %v", err)
	}
}

// TestARefusalIsLoggedOnce says which refusals are worth a line.
func TestARefusalIsLoggedOnce(t *testing.T) {
	logged := &logBook{}
	m := newMux(t.Context(), nil, &Options{Logger: slog.New(slog.NewTextHandler(logged, nil))}, &self{id: "a"}, nil)
	for range 3 {
		for _, why := range []error{ErrOtherCluster, errNotYet} {
			if got := m.tell("b", why); !errors.Is(got, why) {
				t.Errorf("%v has become %v", why, got)
			}
		}
	}
	if n := logged.count(""); n != 1 {
		t.Errorf("there are %d lines", n)
	}
	m.untell("b")
	for i := range 2 * mostTold {
		_ = m.tell(fmt.Sprint("b", i%2), ErrOtherCluster) // logged
	}
	_ = m.tell("b", ErrOtherCluster)
	if n := logged.count(""); n != 4 {
		t.Errorf("there are %d lines", n)
	}
}
