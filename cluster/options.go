package cluster

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Options say which node this is, where the others are, and how it works. ID and
// Listen are required. Open copies the struct.
type Options struct {
	// ID is the name of this node: 1 to 128 bytes of UTF-8, on one line. No other node
	// has it, now or later. A node keeps it when its address changes.
	ID string

	// Listen is the address on which the others reach this node, host:port. One
	// port serves everything. Port 0 is for tests.
	Listen string

	// Advertise is the address that the others use, if it is not Listen: where
	// Listen is ":7000", which needs it, or a port is forwarded.
	Advertise string

	// Members are the first members of a new cluster, with this node among them:
	// every one of them must be opened with the same list. Once the cluster is
	// there, the list is ignored. Nodes with another list, or none, are of another
	// cluster, and refuse each other. Never open a node with a list again whose
	// directory was lost: remove it and let it Join.
	Members []Member

	// Join are addresses of nodes of a cluster that this one is to become a member
	// of. Once it is a member, they are ignored, but for this: with Join, a member whose
	// address has changed tells the others, these and those in its log. Without Join and Members, a node
	// whose directory is empty begins a cluster of its own: opened with Join after that,
	// it is refused (ErrOtherCluster), since what it has would be lost.
	Join []string

	// Token is a secret that all nodes of a cluster share. Nodes with another one
	// are refused, so that two clusters do not mix. The default is empty.
	Token string

	// TLS is used for every connection, both ways, and each side asks the other for
	// a certificate. It needs a certificate, RootCAs and ClientCAs; [LoadTLS] makes
	// one from files. TLS 1.3 is the least. It may be nil only if every address is
	// one of this machine's loopback.
	TLS *tls.Config

	// Heartbeat is how long a node hears nothing of the leader before it wants
	// another one, on average: between 0.6 and 1.8 times as long. The default
	// is 500 ms, and the least 50 ms. A short one shortens the gap after a
	// leader's death, and causes needless changes of leader where machines or
	// networks are busy.
	Heartbeat time.Duration

	// StallTimeout is how long a write to the disk may take until this node gives
	// up being leader. The default is 2 s, and the least twice Heartbeat.
	StallTimeout time.Duration

	// MaxUpdate is the size of the largest update, in bytes; the default is 4 MiB,
	// and the most 8 MiB: while larger ones are copied, heartbeats are late, and the
	// leader is voted out. All nodes should have the same.
	MaxUpdate int

	// MaxPending is how many bytes of updates may wait on this node; further calls
	// of Update wait before their update is taken, in the order in which they were made.
	// The default is 4 MiB. A single update may be larger: it waits for those before it.
	MaxPending int

	// KeepUpdates is how many bytes of the latest updates are kept in memory, for
	// Updates and Follow; each counts 64 bytes more than it has. The default is
	// 16 MiB. The latest one is always kept.
	KeepUpdates int

	// SnapshotBytes starts a snapshot by itself when this many bytes of log were
	// applied since the last one, and at least as many as the last one has. 0, the
	// default, means 64 MiB. Below zero: never, and the log grows until Snapshot is
	// called. One starts earlier if the log grew by files for twice as many bytes,
	// and by four more: a file that is not full takes as much of the disk, and the log
	// begins one whenever its end is replaced with entries of another leader.
	SnapshotBytes int64

	// SegmentBytes is the size of the log's files, in bytes. The default is 64
	// MiB, the least 64 KiB, and the most 1 GiB. Small ones are for tests.
	SegmentBytes int

	// Logger gets what an operator must know. What raft says comes one level lower
	// than raft says it. The default is slog.Default().
	Logger *slog.Logger

	hooks hooks
}

// A Member is a node, as Options.Members lists it.
type Member struct {
	ID   string // Options.ID
	Addr string // Options.Advertise, or else Options.Listen
}

// hooks are what the tests of this package change.
type hooks struct {
	unverified bool                               // reads trust that this node leads: the way not to do it
	again      bool                               // updates that come a second time are applied again: likewise
	forget     func() bool                        // whether what was just sent to a leader counts as lost
	connect    func(kind byte, addr string) error // before a connection to addr, and after one from elsewhere, with no addr
	store      func() error                       // before each write to the disk
	patience   time.Duration                      // of Close, with raft; 0: the default
	importing  func(step string)                  // after each step of Import, and of Rejoin
	noting     func(removed bool) error           // before the file REMOVED is made or removed
	keepLogs   uint64                             // bytes of log kept before a snapshot; 0: the default
}

func (h hooks) trailing(normal uint64) uint64 {
	if h.keepLogs != 0 {
		return h.keepLogs
	}
	return normal
}

func (h hooks) at(step string) {
	if h.importing != nil {
		h.importing(step)
	}
}

func (h hooks) closing() time.Duration {
	if h.patience != 0 {
		return h.patience
	}
	return closeMost
}

const (
	defaultHeartbeat = 500 * time.Millisecond
	minHeartbeat     = 50 * time.Millisecond
	defaultStall     = 2 * time.Second
	defaultMaxUpdate = 4 << 20
	maxMaxUpdate     = 8 << 20
	defaultPending   = 4 << 20
	defaultKeep      = 16 << 20
	defaultSnapshot  = 64 << 20
	defaultSegment   = 64 << 20
	minSegment       = 64 << 10
	maxSegment       = 1 << 30 // raft-wal takes none of 2 GiB, and larger ones for small ones
	maxID            = 128
)

// withDefaults returns a copy of o with every field set, or what is wrong.
func (o *Options) withDefaults() (*Options, error) {
	if o == nil {
		return nil, fmt.Errorf("cluster: no Options: ID and Listen are required")
	}
	c := *o
	setDefault(&c.Advertise, c.Listen)
	setDefault(&c.Heartbeat, defaultHeartbeat)
	setDefault(&c.StallTimeout, max(defaultStall, 2*c.Heartbeat))
	setDefault(&c.MaxUpdate, defaultMaxUpdate)
	setDefault(&c.MaxPending, defaultPending)
	setDefault(&c.KeepUpdates, defaultKeep)
	setDefault(&c.SnapshotBytes, defaultSnapshot)
	setDefault(&c.SegmentBytes, defaultSegment)
	setDefault(&c.Logger, slog.Default())
	if err := c.checkNumbers(); err != nil {
		return nil, err
	}
	if err := c.checkMembers(); err != nil {
		return nil, err
	}
	return &c, c.checkTLS()
}

// isID reports whether nodes can be told by a name: they send it to each other in JSON, and have it as
// a line of a file.
func isID(id string) bool {
	return id != "" && len(id) <= maxID && utf8.ValidString(id) && !strings.ContainsAny(id, "\r\n")
}

// whatID says what isID demands.
var whatID = fmt.Sprintf("one line of 1 to %d bytes, of UTF-8", maxID)

func (o *Options) checkNumbers() error {
	switch {
	case !isID(o.ID):
		return fmt.Errorf("cluster: Options.ID is %q: it must be %s", o.ID, whatID)
	case o.Listen == "":
		return fmt.Errorf("cluster: Options.Listen is empty: it must be an address like 10.0.0.1:7000")
	case o.Heartbeat < minHeartbeat:
		return fmt.Errorf("cluster: Options.Heartbeat is %v: it must be at least %v, or 0 for the default", o.Heartbeat, minHeartbeat)
	case o.StallTimeout < 2*o.Heartbeat:
		return fmt.Errorf("cluster: Options.StallTimeout is %v: it must be at least twice Heartbeat, which is %v, or 0 for the default", o.StallTimeout, o.Heartbeat)
	case o.MaxUpdate < 0 || o.MaxUpdate > maxMaxUpdate:
		return fmt.Errorf("cluster: Options.MaxUpdate is %d: it must be between 1 and %d, or 0 for the default", o.MaxUpdate, maxMaxUpdate)
	case o.MaxPending < 0:
		return fmt.Errorf("cluster: Options.MaxPending is %d: it must not be negative", o.MaxPending)
	case o.KeepUpdates < 0:
		return fmt.Errorf("cluster: Options.KeepUpdates is %d: it must not be negative", o.KeepUpdates)
	case o.SegmentBytes < minSegment || o.SegmentBytes > maxSegment:
		return fmt.Errorf("cluster: Options.SegmentBytes is %d: it must be between %d and %d, or 0 for the default", o.SegmentBytes, minSegment, maxSegment)
	}
	return nil
}

func (o *Options) checkMembers() error {
	if len(o.Members) > 0 && len(o.Join) > 0 {
		return fmt.Errorf("cluster: Options.Members and Options.Join are both set: a node is one of the first members, or joins")
	}
	own := func(addr string) bool { return addr == o.Advertise || addr == o.Listen }
	if len(o.Join) > 0 && !slices.ContainsFunc(o.Join, func(addr string) bool { return !own(addr) }) {
		return fmt.Errorf("cluster: Options.Join has only this node's own address, %s: leave it empty on the first node of a cluster; on any other node, give the address of a member", o.Advertise)
	}
	ids, addrs := map[string]bool{}, map[string]bool{}
	for _, m := range o.Members {
		if !isID(m.ID) || m.Addr == "" || ids[m.ID] || addrs[m.Addr] {
			return fmt.Errorf("cluster: Options.Members has %q at %q: every member needs an ID, which is %s, and an address that no other one has", m.ID, m.Addr, whatID)
		}
		ids[m.ID], addrs[m.Addr] = true, true
	}
	if len(o.Members) > 0 && !ids[o.ID] {
		return fmt.Errorf("cluster: Options.Members does not have this node, %q", o.ID)
	}
	return o.checkAddresses()
}

// checkTLS makes sure that nothing leaves this machine in the clear, or is taken
// from whomever.
func (o *Options) checkTLS() error {
	if o.TLS == nil {
		addrs := append([]string{o.Listen, o.Advertise}, o.Join...)
		for _, m := range o.Members {
			addrs = append(addrs, m.Addr)
		}
		for _, a := range addrs {
			if !isLoopback(a) {
				return fmt.Errorf("cluster: Options.TLS is not set, and %s can be reached from other machines: set it (LoadTLS), or use addresses like 127.0.0.1:7000", a)
			}
		}
		return nil
	}
	c := o.TLS.Clone()
	switch {
	case c.RootCAs == nil || c.ClientCAs == nil:
		return fmt.Errorf("cluster: Options.TLS has no RootCAs or no ClientCAs: set both to the authority that signs the nodes' certificates")
	case c.InsecureSkipVerify:
		return fmt.Errorf("cluster: Options.TLS has InsecureSkipVerify: anybody could be a member")
	case len(c.Certificates) == 0 && (c.GetCertificate == nil || c.GetClientCertificate == nil):
		return fmt.Errorf("cluster: Options.TLS has no certificate: set Certificates, or GetCertificate and GetClientCertificate")
	}
	c.MinVersion = tls.VersionTLS13
	c.ClientAuth = tls.RequireAndVerifyClientCert
	o.TLS = c
	return nil
}

// isLoopback reports whether addr can only be reached from this machine.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
