package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"
)

// writeTimeout is how long a node may take none of what is sent to it.
const writeTimeout = 5 * time.Second

var errGone = errors.New("cluster: the connection has ended")

// errSilent is errGone, of a link that was given up. TCP alone takes a quarter of an hour for that
// if the other side has lost the connection and nobody says so, as by a firewall that has forgotten it.
var errSilent = fmt.Errorf("%w: the other node did not answer on it for long", errGone)

// A link is one connection to another node, in one direction of asking. What is sent
// is written by a goroutine of its own, many frames at a time, so sending never
// waits.
type link struct {
	wake chan struct{} // has an element if there is something to write

	mu      sync.Mutex
	out     []byte // to be written
	pending map[uint64]request
	id      uint64
	conn    net.Conn
	heard   time.Time // when something was read last, or the link was connected
	err     error     // it has ended
}

// A request waits for its answer, also when whoever has sent it does not any more.
type request struct {
	kind byte
	size int
	sent time.Time
	done func([]byte, error)
}

func newLink() *link {
	return &link{wake: make(chan struct{}, 1), pending: map[uint64]request{}}
}

// send sends a frame. done, if it is not nil, is called once, with the answer or an
// error, in any goroutine; it must not wait.
func (l *link) send(kind byte, id uint64, payload []byte, done func([]byte, error)) {
	l.mu.Lock()
	if l.err != nil {
		err := l.err
		l.mu.Unlock()
		if done != nil {
			done(nil, err)
		}
		return
	}
	if done != nil {
		l.id++
		id = l.id
		l.pending[id] = request{kind, frameHead + len(payload), time.Now(), done}
	}
	l.out = appendFrame(l.out, kind, id, payload)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// end ends the link, with err for those that wait for answers.
func (l *link) end(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	pending, conn := l.pending, l.conn
	l.pending, l.out = nil, nil
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	if conn != nil {
		_ = conn.Close()
	}
	for _, r := range pending {
		r.done(nil, err)
	}
}

// isSilent reports whether nothing has come on the link for so long, though something would have,
// by now, from a node that runs. Requests of administration, and updates, may be answered late; a
// frameTerm is answered at once by whoever has read it. If none is on its way, ask says to send one.
func (l *link) isSilent(now time.Time, patience time.Duration) (silent, ask bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.err != nil || len(l.pending) == 0 {
		return false, false // there is a time for connecting
	}
	var first time.Time
	size := 0
	for _, r := range l.pending {
		size += r.size
		if r.kind == frameTerm && (first.IsZero() || r.sent.Before(first)) {
			first = r.sent
		}
	}
	if first.IsZero() {
		return false, now.Sub(l.heard) > patience/10
	}
	if first.Before(l.heard) {
		first = l.heard
	}
	return now.Sub(first) > patience+writeTime(size), false // it reads what is before that first
}

// start gives the link its connection, or reports that it has ended meanwhile.
func (l *link) start(conn net.Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.heard = conn, time.Now()
	return l.err
}

// write writes what is sent until the link ends.
func (l *link) write(conn net.Conn) {
	var buf []byte
	for range l.wake {
		l.mu.Lock()
		if l.err != nil {
			l.mu.Unlock()
			return
		}
		buf, l.out = l.out, buf[:0]
		l.mu.Unlock()
		if err := writeInPieces(conn, buf); err != nil {
			l.end(err)
			return
		}
		if cap(buf) > 4<<20 {
			buf = nil
		}
	}
}

// writeInPieces writes what may be large: each piece has its own time.
func writeInPieces(conn net.Conn, b []byte) error {
	for len(b) > 0 {
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := conn.Write(b[:min(len(b), 1<<20)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// readAnswers passes answers on to those that wait for them, until the link ends.
func (l *link) readAnswers(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		kind, id, payload, err := readFrame(r)
		if err != nil {
			l.end(errGone)
			return
		}
		l.mu.Lock()
		l.heard = time.Now()
		asked, known := l.pending[id]
		delete(l.pending, id)
		l.mu.Unlock()
		switch {
		case !known:
		case kind == frameAnswer:
			asked.done(payload, nil)
		default:
			asked.done(nil, decodeRefusal(payload))
		}
	}
}

// peers are the links to other nodes, by address. They are made when they are
// needed.
type peers struct {
	dial func(ctx context.Context, addr string) (net.Conn, error)
	ctx  context.Context // of the node
	wg   sync.WaitGroup

	mu     sync.Mutex
	links  map[string]*link
	failed map[string]failure // where nobody could be reached the last time
	closed bool
}

// A failure is why a node can't be reached, and since when.
type failure struct {
	err   error
	since time.Time
}

func newPeers(ctx context.Context, dial func(ctx context.Context, addr string) (net.Conn, error)) *peers {
	return &peers{dial: dial, ctx: ctx, links: map[string]*link{}, failed: map[string]failure{}}
}

// send sends a request to the node at addr; see link.send.
func (p *peers) send(addr string, kind byte, payload []byte, done func([]byte, error)) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		done(nil, errGone)
		return
	}
	l := p.links[addr]
	if l == nil {
		l = newLink()
		p.links[addr] = l
		p.wg.Go(func() { p.run(addr, l) })
	}
	p.mu.Unlock()
	l.send(kind, 0, payload, done)
}

// run connects a link, and serves it until it ends.
func (p *peers) run(addr string, l *link) {
	defer func() {
		p.mu.Lock()
		if p.links[addr] == l {
			delete(p.links, addr)
		}
		p.mu.Unlock()
	}()
	conn, err := p.dial(p.ctx, addr)
	p.note(addr, err)
	if err != nil {
		p.forget(addr, l)
		l.end(err)
		return
	}
	defer conn.Close()
	if l.start(conn) != nil {
		return
	}
	p.wg.Go(func() { l.write(conn) })
	l.readAnswers(conn)
}

// note is told what has become of a call; nil: somebody is there.
func (p *peers) note(addr string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, failed := p.failed[addr]
	switch {
	case err == nil:
		delete(p.failed, addr)
	case failed:
		p.failed[addr] = failure{err, was.since}
	default:
		p.failed[addr] = failure{err, time.Now()}
	}
}

// failure returns why nobody could be reached at addr the last time, if so.
func (p *peers) failure(addr string) (f failure, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, failed = p.failed[addr]
	return f, failed
}

// forget lets the next request make a new link.
func (p *peers) forget(addr string, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links[addr] == l {
		delete(p.links, addr)
	}
}

// drop ends the link to addr.
func (p *peers) drop(addr string) {
	p.mu.Lock()
	l := p.links[addr]
	delete(p.links, addr)
	p.mu.Unlock()
	if l != nil {
		l.end(errGone)
	}
}

// dropSilent ends the links on which nothing has come for longer than patience, so that the next
// request makes a new one. It is called now and then.
func (p *peers) dropSilent(now time.Time, patience time.Duration) {
	p.mu.Lock()
	all := maps.Clone(p.links)
	p.mu.Unlock()
	for addr, l := range all {
		switch silent, ask := l.isSilent(now, patience); {
		case silent:
			p.forget(addr, l)
			l.end(errSilent)
		case ask:
			l.send(frameTerm, 0, nil, func([]byte, error) {})
		}
	}
}

// call sends a request and waits for the answer.
func (p *peers) call(ctx context.Context, addr string, kind byte, payload []byte) ([]byte, error) {
	type answer struct {
		b   []byte
		err error
	}
	got := make(chan answer, 1)
	p.send(addr, kind, payload, func(b []byte, err error) { got <- answer{b, err} })
	select {
	case a := <-got:
		return a.b, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close ends all links.
func (p *peers) close() {
	p.mu.Lock()
	p.closed = true
	var all []*link
	for _, l := range p.links {
		all = append(all, l)
	}
	p.mu.Unlock()
	for _, l := range all {
		l.end(errGone)
	}
	p.wg.Wait()
}
