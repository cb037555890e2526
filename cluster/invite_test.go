package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestANodeThatCanNotBeReachedIsNoMember has a node join whose certificate is for another
// host. It says why it is no member, and the cluster is as it was.
func TestANodeThatCanNotBeReachedIsNoMember(t *testing.T) {
	ca, _ := authority(t)
	logged := &logBook{}
	tr := newTrial(t, 2, func(i int, o *Options) {
		o.Members, o.TLS = nil, withTLS(t, ca, o.ID)
		if i == 0 {
			return
		}
		f, err := ca.Issue("elsewhere", "10.0.0.9")
		if err == nil {
			o.TLS, err = LoadTLS(f.Cert, f.Key, f.CA)
		}
		if err != nil {
			t.Fatal(err)
		}
		o.Logger = slog.New(slog.NewTextHandler(logged, nil))
	})
	tr.opts[1].Join = tr.addrs[:1]
	tr.start(0)
	tr.start(1)
	eventually(t, "the node logs why", func() bool {
		return logged.has("not a member yet", "can't reach n1", tr.addrs[1], "certificate is valid for 10.0.0.9")
	})
	if s := tr.nodes[0].Status(); len(s.Members) != 1 {
		t.Errorf("there are the members %v", s.Members)
	}
	tr.stop(1)
	tr.opts[1].TLS = withTLS(t, ca, "n1")
	tr.start(1)
	voters(t, tr.nodes[0], 2)
}

// TestRejoinRemovesNoOtherNode calls Rejoin with the ID of another node, in the directory
// of one, and in an empty one, and with the others of another cluster.
func TestRejoinRemovesNoOtherNode(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	adds(t, tr.nodes[0], 1, "a")
	hurt := tr.follower()
	healthy := (hurt + 1) % 3
	tr.stop(hurt)
	o := *tr.opts[hurt]
	o.Members, o.Join, o.ID = nil, []string{tr.addrs[(hurt+1)%3], tr.addrs[(hurt+2)%3]}, tr.opts[healthy].ID
	for dir, want := range map[string]error{tr.path(hurt): ErrIdentity, t.TempDir(): ErrIdentity} {
		aside, err := Rejoin(within(t, 20*time.Second), dir, &o)
		if !errors.Is(err, want) || aside != "" || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	}
	other := startTrial(t, 1, apart)
	o = *tr.opts[hurt]
	o.Members, o.Join = nil, other.addrs
	if _, err := Rejoin(within(t, 20*time.Second), tr.path(hurt), &o); !errors.Is(err, ErrOtherCluster) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the others are of another cluster: %v", err)
	}
	voters(t, tr.nodes[healthy], 3)
	tr.start(hurt) // as it was
	has(t, tr, hurt, map[string]int{"a": 1})
	tr.stop(hurt)
	if _, err := Rejoin(within(t, 20*time.Second), tr.path(hurt), tr.opts[hurt]); err != nil {
		t.Fatal(err)
	}
	is := tr.nodes[healthy].self.identity()
	alone := *tr.opts[hurt]
	alone.hooks.connect = func(byte, string) error { return errRefused }
	n, err := Open(tr.path(hurt), newLedger(), &alone)
	if err != nil {
		t.Fatal(err)
	}
	if n.self.identity() != is {
		t.Errorf("the node that is to be rebuilt is of cluster %v, and was of %v", n.self.identity(), is)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	tr.start(hurt)
	voters(t, tr.nodes[healthy], 3)
	has(t, tr, hurt, map[string]int{"a": 1})
}

// TestANodeDoesNotTakeThePlaceOfAMemberThatRuns opens a copy of a member's directory, as a
// clone of its computer does, while the member runs, or is paused, and while it is gone.
func TestANodeDoesNotTakeThePlaceOfAMemberThatRuns(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	adds(t, tr.nodes[0], 10, "a")
	copied := tr.follower()
	tr.stop(copied)
	clone := filepath.Join(t.TempDir(), "clone")
	if err := os.CopyFS(clone, os.DirFS(tr.path(copied))); err != nil {
		t.Fatal(err)
	}
	tr.start(copied)
	if err := tr.nodes[copied].Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	moved := *tr.opts[copied]
	moved.Members, moved.Listen = nil, freeAddrs(t, 1)[0]
	moved.Join = []string{tr.addrs[(copied+1)%3], tr.addrs[(copied+2)%3]}
	var log lines
	moved.Logger = slog.New(slog.NewTextHandler(&log, nil))
	n, err := Open(clone, newLedger(), &moved)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	eventually(t, "the copy says that it is refused", func() bool {
		return strings.Contains(log.String(), "runs at "+tr.addrs[copied])
	})
	lead := tr.nodes[tr.leader()]
	refused := func(why string) { // with the same error, whichever node is called
		t.Helper()
		for i, called := range tr.nodes {
			if called == nil {
				continue
			}
			err := called.Add(within(t, time.Minute), moved.ID, moved.Listen)
			if !errors.Is(err, ErrIdentity) || !errors.Is(err, ErrMember) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), why) {
				t.Errorf("adding the copy, on node %d: %v", i, err)
			}
		}
	}
	refused("runs at " + tr.addrs[copied])
	if got := fmt.Sprint(lead.voters()); !strings.Contains(got, tr.addrs[copied]) || strings.Contains(got, moved.Listen) {
		t.Errorf("the members are %v", got)
	}

	if err := n.Close(); err != nil { // it would move while nobody is there
		t.Fatal(err)
	}
	eventually(t, "the leader is through with the copy", func() bool {
		lead.joining.mu.Lock()
		defer lead.joining.mu.Unlock()
		return len(lead.joining.all) == 0
	})
	tr.stop(copied)
	paused, err := net.Listen("tcp", tr.addrs[copied]) // takes connections, and does not answer
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(clone, newLedger(), &moved)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	refused("may be paused")
	if _, err := Rejoin(within(t, time.Minute), tr.path(copied), &moved); err == nil {
		t.Error("Rejoin at an address that another process has")
	}
	elsewhere := moved
	elsewhere.Listen = freeAddrs(t, 1)[0]
	if _, err := Rejoin(within(t, time.Minute), tr.path(copied), &elsewhere); !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), "may be paused") {
		t.Errorf("Rejoin of a member that is paused: %v", err)
	}
	if err := paused.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the member has moved", func() bool {
		vs, err := tr.nodes[tr.leader()].voters()
		return err == nil && strings.Contains(fmt.Sprint(vs), moved.Listen)
	})
}

// TestAMemberThatCouldNotBeCalledHasNotMoved has the leader run out of descriptors when it looks whether a
// member runs, while a copy of it, elsewhere, asks to be known there.
func TestAMemberThatCouldNotBeCalledHasNotMoved(t *testing.T) {
	concurrently(t)
	var lacks atomic.Pointer[string] // the address which nobody can call
	tr := startTrial(t, 3, func(_ int, o *Options) {
		o.hooks.connect = func(_ byte, addr string) error {
			if at := lacks.Load(); at != nil && *at == addr {
				return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", syscall.EMFILE)}
			}
			return nil
		}
	})
	adds(t, tr.nodes[0], 1, "a")
	lead, i := tr.nodes[tr.leader()], tr.follower()
	s := raft.Server{ID: raft.ServerID(tr.opts[i].ID), Address: raft.ServerAddress(tr.addrs[i])}
	copied := ask{Op: askJoin, ID: tr.opts[i].ID, Addr: freeAddrs(t, 1)[0]}
	lacks.Store(&tr.addrs[i])
	if err := lead.mayMove(t.Context(), s, copied); !errors.Is(err, ErrMember) || !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), tr.addrs[i]) {
		t.Errorf("a member that runs, and could not be called, may move: %v", err)
	}
	lacks.Store(nil)
	tr.stop(i)
	if err := lead.mayMove(t.Context(), s, copied); err != nil {
		t.Errorf("a member that is gone: %v", err)
	}
}

// TestAddRefusesAMemberWithAnEmptyDirectory adds a member whose directory was lost, where the
// others know it, and at another address, also one that was invited there before.
func TestAddRefusesAMemberWithAnEmptyDirectory(t *testing.T) {
	tr := startTrial(t, 3, steady)
	adds(t, tr.nodes[0], 1, "a")
	lost := tr.follower()
	lead := tr.nodes[tr.leader()]
	tr.stop(lost)
	for _, where := range []string{"same", "another", "another, invited"} {
		o := *tr.opts[lost]
		o.Members, o.Join = nil, freeAddrs(t, 1) // it can't ask by itself
		if where != "same" {
			o.Listen = freeAddrs(t, 1)[0]
		}
		n, err := Open(filepath.Join(t.TempDir(), "empty"), newLedger(), &o)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if where == "another, invited" {
			if err := lead.invite(t.Context(), ask{ID: o.ID, Addr: o.Listen}); err != nil {
				t.Fatal(err)
			}
		}
		err = lead.Add(within(t, time.Minute), o.ID, o.Listen)
		if !errors.Is(err, ErrMember) || !strings.Contains(err.Error(), "empty directory") {
			t.Errorf("%s address: Add: %v", where, err)
		} else if text := err.Error(); !strings.Contains(text, "already, at "+tr.addrs[lost]+",") || strings.Contains(text, "another node, at "+o.Listen) != (where != "same") {
			t.Errorf("%s address: the error does not tell it from the member: %v", where, err)
		}
		if is := n.self.identity(); where != "another, invited" && !is.blank() {
			t.Errorf("%s address: the node is of cluster %v now, and may vote", where, is)
		}
		if conf, _, err := lead.settledMembers(); err != nil || !strings.Contains(fmt.Sprint(conf), tr.addrs[lost]) {
			t.Errorf("%s address: the members are %v, %v", where, conf.Servers, err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tr.start(lost)
	if err := lead.Add(within(t, time.Minute), tr.opts[lost].ID, tr.addrs[lost]); err != nil {
		t.Errorf("Add of the member itself: %v", err)
	}
}

// TestAMemberThatTakesACertificateForExpiredIsNotRemoved moves the clock of a member ahead: it
// refuses new connections, and goes on with those that there are.
func TestAMemberThatTakesACertificateForExpiredIsNotRemoved(t *testing.T) {
	concurrently(t)
	ca, _ := authority(t)
	var late atomic.Int64
	late.Store(-1)
	tr := startTrial(t, 3, func(i int, o *Options) {
		o.TLS = withTLS(t, ca, o.ID)
		o.TLS.Time = func() time.Time {
			if late.Load() == int64(i) {
				return time.Now().AddDate(2, 0, 0)
			}
			return time.Now()
		}
		o.Heartbeat = time.Second
	})
	adds(t, tr.nodes[0], 1, "a")
	lead, c := tr.leader(), tr.follower()
	late.Store(int64(c))
	s := raft.Server{ID: raft.ServerID(tr.opts[c].ID), Address: raft.ServerAddress(tr.addrs[c])}
	is, err := tr.nodes[lead].presenceOf(t.Context(), s)
	if is != silent || !strings.Contains(fmt.Sprint(err), "expired") {
		t.Errorf("the member is %d, and it should be %d: %v", is, silent, err)
	}
	o := *tr.opts[c]
	o.Listen, o.TLS = freeAddrs(t, 1)[0], withTLS(t, ca, o.ID)
	if _, err := Rejoin(within(t, time.Minute), t.TempDir(), &o); !errors.Is(err, ErrIdentity) {
		t.Errorf("Rejoin elsewhere: %v", err)
	}
	voters(t, tr.nodes[lead], 3)
}

func TestWhatAnErrorSaysOfAMember(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	greeting := func(err error) error { return &greetingError{"n1:7000", err, false} }
	for want, errs := range map[presence][]error{
		absent: {
			errNotYet, &refusedError{ErrIdentity}, dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), dial(&net.DNSError{IsNotFound: true}),
			greeting(io.EOF), greeting(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), greeting(x509.UnknownAuthorityError{}),
		},
		silent: {
			greeting(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}), greeting(context.DeadlineExceeded), greeting(net.ErrClosed),
			greeting(x509.CertificateInvalidError{Reason: x509.Expired}), errors.New("no connection without TLS"),
			greeting(&net.OpError{Op: "remote error", Err: tls.AlertError(45)}), &greetingError{"n1:7000", io.EOF, true},
		},
		unreachable: {
			dial(os.ErrDeadlineExceeded), dial(syscall.EHOSTUNREACH), dial(syscall.ENETUNREACH), dial(syscall.ETIMEDOUT), dial(errors.New("another one")),
		},
		unasked: {
			dial(&net.DNSError{IsTemporary: true}), dial(&net.DNSError{IsTimeout: true}), dial(os.NewSyscallError("socket", syscall.EMFILE)),
			dial(os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)), dial(syscall.EACCES), dial(syscall.EPERM), dial(syscall.ENOBUFS),
		},
	} {
		for _, err := range errs {
			if got := presenceBy(fmt.Errorf("looking: %w", err)); got != want {
				t.Errorf("%v: %d, and it should be %d", err, got, want)
			}
		}
	}
}

// TestAnotherProgramAtAnAddressIsNoMember looks for a member where something else listens, and
// where a process does that is paused, with TLS and without.
func TestAnotherProgramAtAnAddressIsNoMember(t *testing.T) {
	concurrently(t)
	ca, _ := authority(t)
	for _, tls := range []bool{false, true} {
		tr := startTrial(t, 1, func(_ int, o *Options) {
			if tls {
				o.TLS = withTLS(t, ca, o.ID)
			}
		})
		page := httptest.NewServer(http.NotFoundHandler())
		defer page.Close()
		secure := httptest.NewUnstartedServer(http.NotFoundHandler())
		secure.Config.ErrorLog = log.New(io.Discard, "", 0)
		secure.StartTLS()
		defer secure.Close()
		rude, paused := listens(t), listens(t)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer rude.Close()
		wg.Go(func() {
			for conn, err := rude.Accept(); err == nil; conn, err = rude.Accept() {
				_ = conn.Close()
			}
		})
		for what, at := range map[string]struct {
			net.Addr
			presence
		}{
			"HTTP": {page.Listener.Addr(), absent}, "HTTPS": {secure.Listener.Addr(), absent},
			"one that hangs up": {rude.Addr(), absent}, "one that is paused": {paused.Addr(), silent},
		} {
			if what == "HTTP" && !tls {
				continue // it waits for the end of a line, which a hello may have, or not
			}
			is, err := tr.nodes[0].presenceOf(t.Context(), raft.Server{ID: "n1", Address: raft.ServerAddress(at.String())})
			if is != at.presence || err == nil {
				t.Errorf("TLS %v, %s: %d, and it should be %d: %v", tls, what, is, at.presence, err)
			}
		}
	}
}

// listens takes connections, as a paused process does.
func listens(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// TestANodeThatIsToBeRebuiltFindsMembersThatHaveMoved opens a node, after Rejoin, with other
// addresses of the members than Rejoin was given, as if they had moved since.
func TestANodeThatIsToBeRebuiltFindsMembersThatHaveMoved(t *testing.T) {
	tr := startTrial(t, 3, nil)
	adds(t, tr.nodes[0], 1, "a")
	for _, members := range []bool{true, false} {
		hurt := tr.follower()
		tr.stop(hurt)
		if _, err := Rejoin(within(t, time.Minute), tr.path(hurt), tr.opts[hurt]); err != nil {
			t.Fatal(err)
		}
		gone := freeAddrs(t, 1)[0]
		if err := os.WriteFile(filepath.Join(tr.path(hurt), joinFile), []byte(gone+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := *tr.opts[hurt]
		if !members {
			o.Members, o.Join = nil, []string{tr.addrs[(hurt+1)%3], tr.addrs[(hurt+2)%3]}
		}
		tr.opts[hurt] = &o
		tr.start(hurt)
		voters(t, tr.nodes[hurt], 3)
		has(t, tr, hurt, map[string]int{"a": 1})
	}
}

// TestAnAddressOfAnotherClusterIsPassedOver gives nodes the address of another cluster's node among
// those of the members. One is rebuilt by way of the others, and each is opened while only the other
// cluster is up.
func TestAnAddressOfAnotherClusterIsPassedOver(t *testing.T) {
	stale := startTrial(t, 1, apart).addrs[0]
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	i := tr.follower()
	if err := tr.nodes[i].Sync(within(t, time.Minute)); err != nil { // it knows of which cluster it is
		t.Fatal(err)
	}
	tr.stop(i)
	o := *tr.opts[i]
	o.Members, o.Join = nil, []string{stale, tr.addrs[(i+1)%3], tr.addrs[(i+2)%3]}
	tr.opts[i] = &o
	if _, err := Rejoin(within(t, time.Minute), tr.path(i), &o); err != nil {
		t.Fatal(err)
	}
	n := tr.start(i)
	eventually(t, "the node has its vote, by an entry that is not lost with the leader", n.joined)
	for i := range tr.nodes {
		tr.crash(i)
	}
	eventually(t, "the other cluster has answered in time", func() bool {
		ended, end := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer end()
		_, err := Rejoin(ended, tr.path(i), &o)
		if !errors.Is(err, ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("only the other cluster is up: %v", err)
		}
		return errors.Is(err, ErrOtherCluster)
	})
	for _, j := range []int{(i + 2) % 3, i} { // a founder, and one that has joined
		o := *tr.opts[j]
		o.Members, o.Join = nil, []string{stale, tr.addrs[(i+1)%3]}
		tr.opts[j] = &o
		tr.start(j)
	}
	update(t, tr.nodes[i], "add x")
}

// TestAFounderWithoutAnEntryIsRebuiltInItsCluster rebuilds one that has a list of members alone, as it is
// before the first entry has said which cluster is begun, with the address of another cluster's node.
func TestAFounderWithoutAnEntryIsRebuiltInItsCluster(t *testing.T) {
	concurrently(t)
	stale := startTrial(t, 1, apart)
	update(t, stale.nodes[0], "add x")
	tr := newTrial(t, 3, nil)
	tr.start(0)
	tr.start(1)
	update(t, tr.nodes[0], "add x")
	s := &self{id: tr.opts[2].ID, path: filepath.Join(mkdir(t, tr.path(2)), nodeFile)}
	if err := s.become(foundersOf(tr.opts[2].Members), false); err != nil {
		t.Fatal(err)
	}
	o := *tr.opts[2]
	o.Members, o.Join = nil, []string{stale.addrs[0], tr.addrs[0], tr.addrs[1]}
	tr.opts[2] = &o
	if _, err := Rejoin(within(t, time.Minute), tr.path(2), &o); err != nil {
		t.Fatal(err)
	}
	n := tr.start(2)
	eventually(t, "the node has its vote", n.joined)
	if is, want := n.Status().Cluster, tr.nodes[0].Status().Cluster; is != want {
		t.Errorf("it is of cluster %s, and was removed from %s", is, want)
	}
	voters(t, tr.nodes[0], 3)
	voters(t, stale.nodes[0], 1)
}
