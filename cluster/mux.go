package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A connection begins with a hello, and the other side answers with one byte.
//
//	hello = "statecl1" | kind uint8 | hash [32]byte of the token
const (
	helloMagic = "statecl1"
	helloSize  = len(helloMagic) + 1 + sha256.Size

	connRaft byte = 'R'
	connPeer byte = 'P'

	helloOK    = 0
	helloToken = 1 // the tokens differ

	helloTimeout = 5 * time.Second
)

// A mux is the only way in and out of a node: one listener, for raft and for what
// nodes ask each other besides. It can cut raft off; see cut.
type mux struct {
	ctx   context.Context // of the node
	ln    net.Listener
	tls   *tls.Config // nil: none
	token [sha256.Size]byte
	serve func(net.Conn) // a connection of kind connPeer; returns when it ends

	raft chan net.Conn // accepted for raft
	done chan struct{} // closed by close
	wg   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]byte // all that are open, with their kind; 0: not known yet
	closed bool
	off    bool // raft is cut off
	fault  func(kind byte, addr string) error
}

func newMux(ctx context.Context, ln net.Listener, opts *Options, serve func(net.Conn)) *mux {
	return &mux{
		ctx: ctx, ln: ln, tls: opts.TLS, token: sha256.Sum256([]byte("stateio cluster token\n" + opts.Token)), serve: serve,
		raft: make(chan net.Conn), done: make(chan struct{}), conns: map[net.Conn]byte{}, fault: opts.hooks.connect,
	}
}

// run accepts connections until close.
func (m *mux) run() {
	for {
		conn, err := m.ln.Accept()
		if err != nil {
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
		if m.keep(conn, 0) != nil {
			continue
		}
		m.wg.Go(func() { m.greet(conn) })
	}
}

// greet reads the hello of a connection and passes it on.
func (m *mux) greet(conn net.Conn) {
	kind, err := m.readHello(conn)
	if err == nil && m.fault != nil {
		err = m.fault(kind, "")
	}
	if err == nil {
		err = m.keep(conn, kind)
	}
	if err != nil {
		m.drop(conn)
		return
	}
	if kind == connPeer {
		m.serve(conn)
		m.drop(conn)
		return
	}
	select {
	case m.raft <- &trackedConn{conn, m}:
	case <-m.done:
		m.drop(conn)
	}
}

func (m *mux) readHello(conn net.Conn) (kind byte, err error) {
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	var b [helloSize]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return 0, err
	}
	kind = b[len(helloMagic)]
	if !bytes.HasPrefix(b[:], []byte(helloMagic)) || kind != connRaft && kind != connPeer {
		return 0, errMalformed
	}
	answer := byte(helloOK)
	if subtle.ConstantTimeCompare(b[len(helloMagic)+1:], m.token[:]) == 0 {
		answer, err = helloToken, ErrIdentity
	}
	if _, werr := conn.Write([]byte{answer}); err == nil {
		err = werr
	}
	_ = conn.SetDeadline(time.Time{})
	return kind, err
}

// dial connects to another node.
func (m *mux) dial(ctx context.Context, kind byte, addr string) (net.Conn, error) {
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
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
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
	if err := m.keep(conn, kind); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = m.sayHello(conn, kind)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		m.drop(conn)
		return nil, fmt.Errorf("cluster: greeting %s: %w", addr, err)
	}
	_ = conn.SetDeadline(time.Time{})
	return &trackedConn{conn, m}, nil
}

func (m *mux) sayHello(conn net.Conn, kind byte) error {
	b := append([]byte(helloMagic), kind)
	if _, err := conn.Write(append(b, m.token[:]...)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != helloOK {
		return fmt.Errorf("%w: it belongs to another cluster, or Options.Token differs", ErrIdentity)
	}
	return nil
}

var errCut = errors.New("cluster: cut off, because the disk of this node does not answer")

// keep remembers an open connection, or closes it if there may be none.
func (m *mux) keep(conn net.Conn, kind byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	switch {
	case m.closed:
		err = net.ErrClosed
	case m.off && kind == connRaft:
		err = errCut
	default:
		m.conns[conn] = kind
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
	for conn, kind := range m.conns {
		if off && kind == connRaft {
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
	m *mux
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
		if err == nil || errors.Is(err, errCut) || errors.Is(err, ErrIdentity) || errors.Is(err, net.ErrClosed) || time.Now().After(end) {
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
