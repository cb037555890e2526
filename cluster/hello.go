package cluster

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A connection begins with a hello, and the other side answers. Each says which node it
// is, and of which cluster, and each makes sure that the other one is who it should be.
//
//	hello  = "statecl3" | kind uint8 | hash [32]byte of the token | cluster [16]byte
//	         | founders [16]byte | from string | to string | run string
//	answer = code uint8 | cluster [16]byte | founders [16]byte | from string
//	string = size uint8 | bytes
//
// An empty "to" means whichever node is there. "run" says which process this is: see
// clone.go. A caller with another token is told the code and nothing else. A node that is
// of no cluster yet gets answers to what it asks, but is sent nothing except an
// invitation: a hello from the leader that is to add it, which makes it part of that
// cluster.
const (
	helloMagic = "statecl3"
	helloHead  = len(helloMagic) + 1 + sha256.Size + 2*idSize
	answerHead = 1 + 2*idSize

	connRaft   byte = 'R'
	connPeer   byte = 'P'
	connInvite byte = 'I' // ends with the answer

	helloOK      byte = 0
	helloToken   byte = 1 // the tokens differ
	helloNode    byte = 2 // this is another node
	helloCluster byte = 3 // this is a node of another cluster
	helloNotYet  byte = 4 // this node, or the other one, is of no cluster yet
	helloFailed  byte = 5 // an invitation could not be written down
	helloClone   byte = 6 // another process is that member

	helloTimeout = 5 * time.Second
)

// A greeting is what a hello says.
type greeting struct {
	kind     byte
	identity identity
	from, to string
	run      string
	claim    claim // that it is the node which it says it is
}

func (m *mux) encodeHello(c greeting) []byte {
	b := append([]byte(helloMagic), c.kind)
	b = append(b, m.token[:]...)
	b = appendIdentity(b, c.identity)
	return appendString(appendString(appendString(b, c.from), c.to), c.run)
}

func appendIdentity(b []byte, i identity) []byte {
	return append(append(b, i.cluster[:]...), i.founders[:]...)
}

func parseIdentity(b []byte) (i identity) {
	copy(i.cluster[:], b)
	copy(i.founders[:], b[idSize:])
	return i
}

func appendString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func readString(r io.Reader) (string, error) {
	var size [1]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	b := make([]byte, size[0])
	_, err := io.ReadFull(r, b)
	return string(b), err
}

// readHello reads a hello and answers it. The error says why it was refused.
func (m *mux) readHello(conn net.Conn) (c greeting, err error) {
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	var head [helloHead]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return c, err
	}
	rest, known := bytes.CutPrefix(head[:], []byte(helloMagic))
	if !known {
		return c, errMalformed
	}
	c.kind = rest[0]
	token, ids := rest[1:1+sha256.Size], rest[1+sha256.Size:]
	c.identity = parseIdentity(ids)
	if c.from, err = readString(conn); err == nil {
		c.to, err = readString(conn)
	}
	if err == nil {
		c.run, err = readString(conn)
	}
	if err == nil && c.kind != connRaft && c.kind != connPeer && c.kind != connInvite {
		err = errMalformed
	}
	if err != nil {
		return c, err
	}
	code, is, from := helloToken, identity{}, ""
	if subtle.ConstantTimeCompare(token, m.token[:]) == 1 {
		if code = m.receive(c); code == helloOK {
			if c.claim = m.claimNow(c); c.claim == refuted {
				code = helloClone
			}
		}
		is, from = m.self.identity(), m.self.id
	}
	_, err = conn.Write(appendString(appendIdentity([]byte{code}, is), from))
	_ = conn.SetDeadline(time.Time{})
	if code != helloOK {
		err = m.refuse(c, code)
	}
	return c, err
}

// refuse logs why a caller is refused, and returns it.
func (m *mux) refuse(c greeting, code byte) error {
	why := refusal(code, meeting{here: m.self.identity(), there: c.identity, node: c.from, wanted: c.to})
	return m.tell("from "+c.from, fmt.Errorf("refused node %q: %w", c.from, why))
}

// receive says what to answer to a caller that has the token.
func (m *mux) receive(c greeting) byte {
	is := m.self.identity()
	switch relation := is.relationTo(c.identity); {
	case relation == unrelated:
		return helloCluster
	case c.to != "" && c.to != m.self.id:
		return helloNode
	case relation == related && m.self.awaits(c.kind):
		return helloNotYet
	case relation == related && c.kind != connInvite, c.kind == connPeer && is.known(): // it may ask to join
		return helloOK
	case c.kind != connInvite || !c.identity.known():
		return helloNotYet
	}
	if err := m.self.learn(c.identity); err != nil {
		m.log.Error("cluster: can't write down to which cluster this node is added", "node", m.self.id, "error", err)
		return helloFailed
	}
	m.found(c.identity)
	return helloOK
}

// sayHello says hello, and makes sure of who answers, which it returns.
func (m *mux) sayHello(conn net.Conn, kind byte, addr, to string) (there identity, from string, err error) {
	is := m.self.identity()
	if _, err := conn.Write(m.encodeHello(greeting{kind: kind, identity: is, from: m.self.id, to: to, run: m.process})); err != nil {
		return there, "", err
	}
	var head [answerHead]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return there, "", err
	}
	from, err = readString(conn)
	if err != nil {
		return there, "", err
	}
	code := head[0]
	there = parseIdentity(head[1:])
	relation := is.relationTo(there)
	switch {
	case code != helloOK:
	case relation == unrelated:
		code = helloCluster
	case to != "" && to != from:
		code = helloNode
	case relation == related, is.blank() && there.known(): // this node may ask to join
		m.untell(addr)
		return there, from, nil
	default:
		code = helloNotYet
	}
	return there, from, m.tell(addr, refusal(code, meeting{is, there, from, to}))
}

// A meeting is that of two nodes that do not go together.
type meeting struct {
	here, there  identity
	node, wanted string // which one it is, and which one should be there
}

// errNotYet says that a node has nobody to ask yet.
var errNotYet = errors.New("cluster: it is no member of a cluster yet, or its cluster has not begun")

// refusal says why two nodes have nothing to say to each other, and what to do.
func refusal(code byte, m meeting) error {
	var why error
	switch code {
	case helloToken:
		why = fmt.Errorf("%w: it belongs to another cluster, or Options.Token differs", ErrIdentity)
	case helloNode:
		why = fmt.Errorf("%w: node %q was expected at this address, and another one answered: make sure that each node listens where the others expect it (Add tells them where), and no two at the same address", ErrIdentity, m.wanted)
	case helloCluster:
		why = fmt.Errorf("%w: node %q is of cluster %v, and this one of %v: if one of them is to join the other's cluster, remove its directory, and with it what it alone has, and open it with Join; otherwise stop it, or correct the address", ErrOtherCluster, m.node, m.there, m.here)
	case helloClone:
		why = fmt.Errorf("%w: another process is that member, at the address where the others know it, and the one that calls is a copy: close the copy, or, if it is to be the member, the other process; give each an ID and a directory of its own", ErrIdentity)
	case helloNotYet:
		return errNotYet
	default:
		why = errors.New("cluster: the other node refused the connection: see its log for the reason")
	}
	return &refusedError{why}
}

// A refusedError says that a node has answered, and wants nothing else.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// told is what has been logged of refusals, so that it is not logged at each call.
type told struct {
	mu   sync.Mutex
	last map[string]string
}

const mostTold = 1000

// tell logs why a connection was refused, unless that is what was logged of it last, and
// returns it. That a cluster has not begun is not worth a line.
func (m *mux) tell(about string, why error) error {
	m.told.mu.Lock()
	defer m.told.mu.Unlock()
	if m.told.last == nil || len(m.told.last) >= mostTold {
		m.told.last = map[string]string{}
	}
	if !errors.Is(why, errNotYet) && m.told.last[about] != why.Error() {
		m.told.last[about] = why.Error()
		m.log.Error("cluster: no connection", "node", m.self.id, "peer", about, "error", why)
	}
	return why
}

// untell has the next refusal logged again.
func (m *mux) untell(about string) {
	m.told.mu.Lock()
	defer m.told.mu.Unlock()
	delete(m.told.last, about)
}
