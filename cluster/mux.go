package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// A mux is the only way in and out of a node: one listener, for raft and for what
// nodes ask each other besides. It can cut raft off; see cut.
type mux struct {
	ctx   context.Context // of the node
	ln    net.Listener
	tls   *tls.Config // nil: none
	token [sha256.Size]byte
	self  *self
	log   *slog.Logger
	told  told
	serve func(net.Conn)           // a connection of kind connPeer; returns when it ends
	whois func(addr string) string // which member is at an address; empty: none that is known

	process  string        // drawn when the node was opened; empty: no node
	patience time.Duration // of claimNow
	claimOf  func(ctx context.Context, id, run string) claim

	raft chan net.Conn // accepted for raft
	done chan struct{} // closed by close
	wg   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]party // all that are open
	closed bool
	off    bool // raft is cut off
	fault  func(kind byte, addr string) error
}

// A party is what is known of the other end of a connection.
type party struct {
	kind     byte // 0: not known yet
	identity identity
}

func newMux(ctx context.Context, ln net.Listener, opts *Options, self *self, serve func(net.Conn)) *mux {
	return &mux{
		self: self, log: opts.Logger, whois: func(string) string { return "" },
		patience: min(opts.Heartbeat, helloTimeout) / 4, claimOf: func(context.Context, string, string) claim { return unproven },
		ctx: ctx, ln: ln, tls: opts.TLS, token: sha256.Sum256([]byte("stateio cluster token\n" + opts.Token)), serve: serve,
		raft: make(chan net.Conn), done: make(chan struct{}), conns: map[net.Conn]party{}, fault: opts.hooks.connect,
	}
}

// run accepts connections until close.
func (m *mux) run() {
	var said reminder
	for {
		conn, err := m.ln.Accept()
		if err != nil {
			select {
			case <-m.done:
				return
			default:
			}
			if said.due(time.Now(), err.Error()) {
				m.log.Error("cluster: this node can't take connections, and tries again", "node", m.self.id, "at", m.ln.Addr(), "error", err)
			}
			select {
			case <-m.done:
				return
			case <-time.After(50 * time.Millisecond): // too many files, say
				continue
			}
		}
		if m.tls != nil {
			conn = tls.Server(conn, m.tls)
		}
		if m.keep(conn, party{}) != nil {
			continue
		}
		m.wg.Go(func() { m.greet(conn) })
	}
}

// greet reads the hello of a connection and passes it on.
func (m *mux) greet(conn net.Conn) {
	c, err := m.readHello(conn)
	if err == nil && m.fault != nil {
		err = m.fault(c.kind, "")
	}
	if err == nil {
		err = m.keep(conn, party{c.kind, c.identity})
	}
	if err != nil || c.kind == connInvite {
		m.drop(conn)
		return
	}
	if c.kind == connPeer {
		m.serve(conn)
		m.drop(conn)
		return
	}
	if c.claim == unproven {
		m.wg.Go(func() { m.watchClaim(conn, c) })
	}
	select {
	case m.raft <- &trackedConn{conn, m, c.from}:
	case <-m.done:
		m.drop(conn)
	}
}

// dial connects to another node: to the member that is known to be at addr, if one is.
func (m *mux) dial(ctx context.Context, kind byte, addr string) (net.Conn, error) {
	return m.dialTo(ctx, kind, addr, m.whois(addr))
}

// dialTo connects to the node with an ID, or any but this one if that is empty.
func (m *mux) dialTo(ctx context.Context, kind byte, addr, id string) (net.Conn, error) {
	if m.fault != nil {
		if err := m.fault(kind, addr); err != nil {
			return nil, err
		}
	}
	if m.tls == nil && !isLoopback(addr) {
		return nil, fmt.Errorf("cluster: not connecting to %s without TLS, since it is another machine: set Options.TLS", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	var dialer net.Dialer
	if id == "" {
		dialer.ControlContext = m.notItself
	}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if m.tls != nil {
		c := m.tls.Clone()
		if c.ServerName == "" {
			c.ServerName, _, _ = net.SplitHostPort(addr)
		}
		conn = tls.Client(conn, c)
	}
	if err := m.keep(conn, party{kind: kind}); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	there, from, err := m.sayHello(conn, kind, addr, id)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = m.keep(conn, party{kind, there})
	}
	if err != nil {
		m.drop(conn)
		return nil, &greetingError{addr, hungUp(err, m.tls != nil), certified(conn)}
	}
	_ = conn.SetDeadline(time.Time{})
	return &trackedConn{conn, m, from}, nil
}

var errItself = errors.New("cluster: that is this node itself")

// notItself has a dialer pass over the address of this node, among those that a name has.
func (m *mux) notItself(_ context.Context, _, addr string, _ syscall.RawConn) error {
	if leadsTo(addr, m.ln.Addr()) {
		return errItself
	}
	return nil
}

// leadsTo reports whether a connection to addr, which has no name, comes to whoever listens at own.
func leadsTo(addr string, own net.Addr) bool {
	at, ok := own.(*net.TCPAddr)
	to, err := netip.ParseAddrPort(addr)
	if !ok || err != nil || int(to.Port()) != at.Port {
		return false
	}
	if !at.IP.IsUnspecified() {
		return at.IP.Equal(to.Addr().AsSlice())
	}
	all, _ := net.InterfaceAddrs() // without them it is not known
	return slices.ContainsFunc(all, func(a net.Addr) bool {
		is, ok := a.(*net.IPNet)
		return ok && is.IP.Equal(to.Addr().AsSlice())
	})
}

// A greetingError says that somebody has taken a connection, and it has come to nothing.
type greetingError struct {
	addr      string
	err       error
	certified bool // by a certificate that is good for the address
}

// certified reports whether the other side of a connection has shown a certificate that is good.
func certified(conn net.Conn) bool {
	c, ok := conn.(*tls.Conn)
	return ok && c.ConnectionState().HandshakeComplete
}

func (e *greetingError) Error() string { return fmt.Sprintf("cluster: greeting %s: %v", e.addr, e.err) }

func (e *greetingError) Unwrap() error { return e.err }

// hungUp says what may be the reason if the other side has ended the connection.
func hungUp(err error, tls bool) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	if tls {
		return fmt.Errorf("%w (the connection was ended there: it is no node, or one without Options.TLS, or its log says why)", err)
	}
	return fmt.Errorf("%w (the connection was ended there: it is no node, or one with Options.TLS, which this one does not have)", err)
}

var errCut = errors.New("cluster: cut off, because the disk of this node does not answer")

// keep remembers an open connection, or closes it if there may be none.
func (m *mux) keep(conn net.Conn, p party) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	switch {
	case m.closed:
		err = net.ErrClosed
	case m.off && p.kind == connRaft:
		err = errCut
	case m.self.identity().relationTo(p.identity) == unrelated: // which was learned meanwhile
		err = ErrOtherCluster
	default:
		m.conns[conn] = p
		return nil
	}
	delete(m.conns, conn)
	_ = conn.Close()
	return err
}

// drop closes a connection and forgets it.
func (m *mux) drop(conn net.Conn) {
	m.mu.Lock()
	delete(m.conns, conn)
	m.mu.Unlock()
	_ = conn.Close()
}

// cut cuts raft off from the other nodes, or lets it back. A leader with a disk
// that hangs would otherwise go on with its heartbeats, and keep the others from
// electing another one (raft's issues 503 and 666).
func (m *mux) cut(off bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off = off
	for conn, p := range m.conns {
		if off && p.kind == connRaft {
			go hangUp(conn)
		}
	}
}

// found is told that this node has found out of which cluster it is. Among those that were
// begun with the same list there may be one of another cluster, which has the list from
// before its founders lost their directories.
func (m *mux) found(is identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for conn, p := range m.conns {
		if is.relationTo(p.identity) == unrelated {
			go hangUp(conn)
		}
	}
}

// close closes the listener and all connections.
func (m *mux) close() {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.done)
		_ = m.ln.Close()
		for conn := range m.conns {
			go hangUp(conn)
		}
	}
	m.mu.Unlock()
	m.wg.Wait()
}

// hangUp closes a connection. TLS may wait for a peer that does not read.
func hangUp(conn net.Conn) { _ = conn.Close() }

// A trackedConn is forgotten by its mux when it is closed.
type trackedConn struct {
	net.Conn
	m  *mux
	to string // which node is at the other end
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.m.drop(c.Conn)
	return nil
}

// A raftStream is what raft's transport sees of a mux. It implements
// raft.StreamLayer.
type raftStream struct {
	*mux
	addr     string
	patience time.Duration // of Dial
}

// Accept implements net.Listener.
func (s *raftStream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.raft:
		return conn, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The mux is closed by its node.
func (s *raftStream) Close() error { return nil }

// Addr implements net.Listener.
func (s *raftStream) Addr() net.Addr { return nodeAddr(s.addr) }

// dialAgain is how long to wait before a node is called again that does not listen.
const dialAgain = 50 * time.Millisecond

// Dial implements raft.StreamLayer. It calls a node that is down again for a little
// while: raft waits between its own calls, and a node that starts is found earlier. It
// does not do so for long, since the node may have moved to another address.
func (s *raftStream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	for end := time.Now().Add(s.patience); ; {
		conn, err := s.dial(ctx, connRaft, string(addr))
		if err == nil || errors.Is(err, errCut) || errors.As(err, new(*refusedError)) || errors.Is(err, net.ErrClosed) || time.Now().After(end) {
			return conn, err
		}
		wait := time.NewTimer(dialAgain)
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

// A nodeAddr is the address by which the others know a node.
type nodeAddr string

// Network implements net.Addr.
func (nodeAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a nodeAddr) String() string { return string(a) }
