package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/cluster/testca"
)

// A network is one of Linux network namespaces: one for each node, and one with the
// switch that they are plugged into. Clients are outside: they talk to the nodes by
// Unix sockets, which are not cut with the network.
type network struct {
	t     *testing.T
	nodes int
	slow  bool   // links can be made slow
	disks string // directory with a small disk for each node; empty: it has none
}

func (w *network) space(i int) string { return fmt.Sprintf("stateio-%d-%d", os.Getpid(), i) }
func (w *network) hub() string        { return fmt.Sprintf("stateio-%d-hub", os.Getpid()) }
func addrOf(i int) string             { return fmt.Sprintf("10.213.7.%d", i+1) }

// run runs a command.
func (w *network) run(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// must runs commands that must succeed, one a line.
func (w *network) must(lines ...string) {
	w.t.Helper()
	for _, l := range lines {
		if err := w.run(strings.Fields(l)...); err != nil {
			w.t.Fatal(err)
		}
	}
}

// newNetwork makes a network, or skips the test where that can't be done.
func newNetwork(t *testing.T, nodes int) *network {
	t.Helper()
	w := &network{t: t, nodes: nodes}
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no command ip (package iproute2)")
	}
	if err := w.run("ip", "netns", "add", w.hub()); err != nil {
		t.Skip("network namespaces can't be made here: ", err)
	}
	t.Cleanup(func() { w.must("ip netns del " + w.hub()) })
	w.must("ip -n "+w.hub()+" link add hub type bridge", "ip -n "+w.hub()+" link set hub up")
	for i := range nodes {
		w.plug(i)
	}
	w.slow = w.narrow(0) == nil && w.widen(0) == nil
	if !w.slow {
		t.Log("without slow links: there is no command tc here, or no queue tbf in this kernel")
	}
	return w
}

// plug makes the namespace of a node, with a link to the switch.
func (w *network) plug(i int) {
	s, h := w.space(i), w.hub()
	w.must("ip netns add " + s)
	w.t.Cleanup(func() { w.must("ip netns del " + s) })
	w.must(
		fmt.Sprintf("ip link add port%d netns %s type veth peer name eth0 netns %s", i, h, s),
		fmt.Sprintf("ip -n %s link set port%d master hub up", h, i),
		"ip -n "+s+" link set lo up",
		"ip -n "+s+" link set eth0 up",
		"ip -n "+s+" addr add "+addrOf(i)+"/24 dev eth0",
	)
}

// isolate pulls a node's plug, and rejoin puts it back.
func (w *network) isolate(i int) error {
	return w.run("ip", "-n", w.hub(), "link", "set", fmt.Sprintf("port%d", i), "down")
}

func (w *network) rejoin(i int) error {
	return w.run("ip", "-n", w.hub(), "link", "set", fmt.Sprintf("port%d", i), "up")
}

// mute lets nothing that from sends reach to, and unmute ends that. The other
// direction works.
func (w *network) mute(from, to int) error {
	return w.run("ip", "-n", w.space(from), "route", "add", "blackhole", addrOf(to)+"/32")
}

func (w *network) unmute(from, to int) error {
	return w.run("ip", "-n", w.space(from), "route", "del", "blackhole", addrOf(to)+"/32")
}

// narrow makes a node's link so narrow that what it sends comes late, and part of it
// never; widen ends that.
func (w *network) narrow(i int) error {
	return w.run("tc", "-n", w.space(i), "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "400kbit", "burst", "3000", "latency", "150ms")
}

func (w *network) widen(i int) error {
	return w.run("tc", "-n", w.space(i), "qdisc", "del", "dev", "eth0", "root")
}

// diskBytes is the size of the small disks. A state of the longest runs, its snapshots and its log
// have a tenth of that.
const diskBytes = 48 << 20

func (w *network) disk(i int) string   { return filepath.Join(w.disks, fmt.Sprintf("disk%d", i)) }
func (w *network) filler(i int) string { return filepath.Join(w.disk(i), "filler") }

// mount makes a small disk for each node, in memory, where that can be done.
func (w *network) mount(dir string) {
	w.t.Helper()
	w.disks = dir
	for i := range w.nodes {
		at := mkdir(w.t, w.disk(i))
		if err := w.run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskBytes), "tmpfs", at); err != nil {
			w.t.Logf("without disks that are really full: %v", err)
			w.disks = ""
			return
		}
		w.t.Cleanup(func() { w.must("umount " + at) })
	}
}

// fill fills the disk of a node to its last byte, and clear makes space again.
func (w *network) fill(i int) error {
	f, err := os.Create(w.filler(i))
	if err != nil {
		return err
	}
	defer f.Close()
	for piece := make([]byte, 4096); err == nil; {
		_, err = f.Write(piece)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

func (w *network) clear(i int) error { return os.Remove(w.filler(i)) }

// startNetworkFleet is startFleet, with each node in a namespace of its own.
func startNetworkFleet(t *testing.T, w *network) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "stateio") //nolint:usetesting // a short path: those of sockets have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ca, err := testca.New(mkdir(t, filepath.Join(dir, "ca")))
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	members := make([]Member, w.nodes)
	for k := range members {
		members[k] = Member{fmt.Sprintf("n%d", k), addrOf(k) + ":7000"}
	}
	w.mount(dir)
	return startFleet(t, w.nodes, func(c *childConfig) {
		files, err := ca.Issue(c.ID, addrOf(i))
		if err != nil {
			t.Fatal(err)
		}
		c.TLS, c.Members, c.Listen = &files, members, members[i].Addr
		c.Serve = filepath.Join(dir, c.ID)
		c.Within = []string{"ip", "netns", "exec", w.space(i)}
		if w.disks != "" {
			c.Dir = filepath.Join(w.disk(i), "node")
		}
		i++
	})
}

// while does something bad to the network for a while, and undoes it.
func (f *fleet) while(r *rand.Rand, bad, good func() error) {
	f.t.Helper()
	if err := bad(); err != nil {
		f.t.Error(err)
	}
	wait(time.Duration(300+r.IntN(900))*time.Millisecond, nil)
	if err := good(); err != nil {
		f.t.Error(err)
	}
}

// badNetwork are the faults of a network.
func badNetwork(w *network) map[string]func(f *fleet, r *rand.Rand) {
	pair := func(f *fleet, r *rand.Rand) (lead, other int) {
		lead = f.leader()
		return lead, (lead + 1 + r.IntN(w.nodes-1)) % w.nodes
	}
	return map[string]func(f *fleet, r *rand.Rand){
		"unplug the leader": func(f *fleet, r *rand.Rand) {
			i := f.leader()
			f.while(r, func() error { return w.isolate(i) }, func() error { return w.rejoin(i) })
		},
		"unplug any": func(f *fleet, r *rand.Rand) {
			i := r.IntN(w.nodes)
			f.while(r, func() error { return w.isolate(i) }, func() error { return w.rejoin(i) })
		},
		"unplug all": func(f *fleet, r *rand.Rand) {
			f.while(r,
				func() error { return errors.Join(w.isolate(0), w.isolate(1), w.isolate(2)) },
				func() error { return errors.Join(w.rejoin(0), w.rejoin(1), w.rejoin(2)) })
		},
		"cut the leader off from one": func(f *fleet, r *rand.Rand) {
			i, k := pair(f, r)
			f.while(r,
				func() error { return errors.Join(w.mute(i, k), w.mute(k, i)) },
				func() error { return errors.Join(w.unmute(i, k), w.unmute(k, i)) })
		},
		"one does not hear the leader": func(f *fleet, r *rand.Rand) {
			i, k := pair(f, r)
			f.while(r, func() error { return w.mute(i, k) }, func() error { return w.unmute(i, k) })
		},
		"the leader does not hear one": func(f *fleet, r *rand.Rand) {
			i, k := pair(f, r)
			f.while(r, func() error { return w.mute(k, i) }, func() error { return w.unmute(k, i) })
		},
		"slow leader": func(f *fleet, r *rand.Rand) {
			if i := f.leader(); w.slow {
				f.while(r, func() error { return w.narrow(i) }, func() error { return w.widen(i) })
			}
		},
		"no space": func(f *fleet, r *rand.Rand) {
			if i := f.leaderOrAny(r); w.disks != "" {
				f.while(r, func() error { return w.fill(i) }, func() error { return w.clear(i) })
			}
		},
	}
}

// TestReadsAndUpdatesAreLinearizableOnABadNetwork is the test of linearizability with
// nodes in network namespaces of their own, whose links are cut and slow, and with small
// disks, which are filled, besides what else happens to them.
func TestReadsAndUpdatesAreLinearizableOnABadNetwork(t *testing.T) {
	w := newNetwork(t, 3)
	f := startNetworkFleet(t, w)
	all := badNetwork(w)
	names := []string{
		"unplug the leader", "kill the leader", "no space", "cut the leader off from one", "one does not hear the leader",
		"pause the leader", "the leader does not hear one", "slow leader", "slow disk", "unplug any", "no space", "restart one by one",
		"unplug all", "full disk", "change members",
	}
	for name, fault := range faults {
		all[name] = fault
	}
	f.linearizable(all, names)
}

// TestLocalReadsAreNotLinearizableOnABadNetwork makes sure that the test above would
// notice: a leader without a plug does not know what the others do.
func TestLocalReadsAreNotLinearizableOnABadNetwork(t *testing.T) {
	w := newNetwork(t, 3)
	f := startNetworkFleet(t, w)
	unplug := badNetwork(w)["unplug the leader"]
	r := rand.New(rand.NewPCG(1, 1))
	f.notLinearizable("local", func() { unplug(f, r) })
}
