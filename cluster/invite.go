package cluster

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// invite makes sure, before anything is changed, that the node which is to be a member is
// at its address, can be reached there, and has not begun as one of another cluster. One
// that is of no cluster learns that it is to be one of this.
func (n *Node) invite(ctx context.Context, a ask) error { return n.meet(ctx, connInvite, a) }

// mustHaveBegun is invite, for a member that has a vote: it has acknowledged entries, so a node
// that is of no cluster, or has no entry, is not what it was. It is told nothing, since that would
// let it vote.
func (n *Node) mustHaveBegun(ctx context.Context, s raft.Server, a ask) error {
	err := n.meet(ctx, connPeer, a)
	if errors.Is(err, errNotYet) {
		return errEmptied(s, a)
	}
	if err != nil || a.Op == askJoin { // which has said that it has a log
		return err
	}
	empty, err := n.askEmpty(ctx, a)
	if err == nil && empty {
		err = errEmptied(s, a)
	}
	return err
}

// askEmpty asks a node that is about to be known at an address, which it notes, whether it has a log.
func (n *Node) askEmpty(ctx context.Context, a ask) (bool, error) {
	b, err := n.askAt(ctx, a.Addr, a.ID, ask{Op: askEmpty, ID: a.ID, Addr: a.Addr})
	if err != nil {
		return false, fmt.Errorf("%w: asking %s, at %s, whether it has a log: %w", ErrMember, a.ID, a.Addr, err)
	}
	return string(b) != "false", nil
}

// errEmptied says what to do about a member that has lost what it had.
func errEmptied(s raft.Server, a ask) error {
	err := fmt.Errorf("%w: %s is a member already, at %s, and comes with an empty directory; what it had acknowledged is lost there: call Rejoin for its directory, or Remove it, and it can join", ErrMember, s.ID, s.Address)
	if string(s.Address) != a.Addr {
		err = fmt.Errorf("%w; if this is another node, at %s, give it an ID of its own instead", err, a.Addr)
	}
	return err
}

// meet connects to a node that is to be a member, or to move.
func (n *Node) meet(ctx context.Context, kind byte, a ask) error {
	end := time.Now().Add(askBound(n.opts.Heartbeat))
	for {
		conn, err := n.mux.dialTo(ctx, kind, a.Addr, a.ID)
		if err == nil {
			return conn.Close()
		}
		switch {
		case errors.Is(err, ErrOtherCluster), kind == connPeer && errors.Is(err, errNotYet):
			return err
		case errors.As(err, new(*refusedError)):
			return fmt.Errorf("%w: %w", ErrMember, err)
		case ctx.Err() != nil || n.ctx.Err() != nil:
			return fmt.Errorf("cluster: inviting %s, at %s: %w", a.ID, a.Addr, err)
		case a.Op == askJoin || time.Now().After(end): // one that joins asks again
			return fmt.Errorf("%w: the leader, %s, can't reach %s at %s, which others must be able to (see Options.Advertise; the certificate must be good for its host): %w", ErrMember, n.opts.ID, a.ID, a.Addr, err)
		}
		select {
		case <-time.After(n.opts.Heartbeat / 5):
		case <-ctx.Done():
		case <-n.ctx.Done():
		}
	}
}

// inviteAgain invites a node that was invited, and was opened again before it had anything
// of the log.
func (n *Node) inviteAgain(ctx context.Context, addr string) {
	if conn, err := n.mux.dialTo(ctx, connInvite, addr, n.memberAt(addr)); err == nil {
		_ = conn.Close()
	}
}

// A presence is what there is at the address of a member.
type presence int

const (
	absent      presence = iota // nobody, another node, or another program
	runs                        // the member
	silent                      // somebody who has taken the connection, and does not answer: it may be the member, paused
	unreachable                 // nothing that answers: the computer, or the network to it, is down
	unasked                     // not known: this node could not even try
)

// presenceOf finds out whether a member is at its address.
func (n *Node) presenceOf(ctx context.Context, s raft.Server) (presence, error) {
	if string(s.ID) == n.opts.ID {
		return runs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, max(2*n.opts.Heartbeat, time.Second))
	defer cancel()
	conn, err := n.mux.dialTo(ctx, connPeer, string(s.Address), string(s.ID))
	if err == nil {
		return runs, conn.Close()
	}
	return presenceBy(err), err
}

// presenceBy says what an error of a connection to a member means. Nobody is there if the computer
// says so, or the name does not exist. Whatever else keeps this node from connecting, as a router
// or a firewall, says nothing of the member; see isOwnLack.
func presenceBy(err error) presence {
	if errors.Is(err, errNotYet) || errors.As(err, new(*refusedError)) {
		return absent
	}
	var dial *net.OpError
	if errors.As(err, new(*greetingError)) || !errors.As(err, &dial) || dial.Op != "dial" {
		return presenceAfter(err)
	}
	var name *net.DNSError
	if errors.As(err, &name) && name.IsNotFound || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, refusedOnWindows) {
		return absent
	}
	if isOwnLack(dial) {
		return unasked
	}
	return unreachable
}

// isOwnLack reports whether nothing was sent to the member, for want of what this node needs for that:
// descriptors, ports, memory, leave to connect, or an answer of the server of names. It may be there the
// next moment.
func isOwnLack(dial *net.OpError) bool {
	for _, lack := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM, syscall.EACCES, syscall.EPERM,
	} {
		if errors.Is(dial, lack) {
			return true
		}
	}
	return errors.As(dial, new(*net.DNSError))
}

// refusedOnWindows is WSAECONNREFUSED, which syscall.ECONNREFUSED is not there, and which is no
// error elsewhere.
const refusedOnWindows = syscall.Errno(10061)

// presenceAfter is presenceBy for a connection that was made. A process that is paused neither
// hangs up, nor does it send anything. A member whose certificate has expired may run, and so may
// one that says by TLS what it does not like, as that this node's has, or that hangs up after it
// has shown a certificate which is good.
func presenceAfter(err error) presence {
	var greeting *greetingError
	var timeout net.Error
	var alert *net.OpError
	var cert x509.CertificateInvalidError
	switch {
	case !errors.As(err, &greeting): // this node has not asked
	case greeting.certified:
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled): // this node hung up
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
	case errors.As(err, &alert) && alert.Op == "remote error":
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
	default:
		return absent
	}
	return silent
}

// mustBeGone makes sure that a member which asks to be removed, since its directory is to
// be rebuilt, is not running elsewhere: that would be another one, of the same ID. One that
// can't be reached may be, and may have been paused.
func (n *Node) mustBeGone(ctx context.Context, s raft.Server, a ask) error {
	if !a.Gone {
		return nil
	}
	switch is, err := n.presenceOf(ctx, s); {
	case ctx.Err() != nil:
		return ctx.Err()
	case is == runs:
		return fmt.Errorf("%w: member %s runs, at %s, and was not removed: see that Options.ID is that of the node whose directory it is, or close the member first", ErrIdentity, a.ID, s.Address)
	case is != absent:
		return fmt.Errorf("%w: member %s does not answer at %s, and was not removed: it may be paused, or cut off: end it, or, if it or its computer is gone, have another member Remove it first: %w", ErrIdentity, a.ID, s.Address, err)
	case a.isAnother(s):
		return n.refuseElsewhere(ctx, a)
	}
	return nil
}

// mayMove makes sure that a member which comes with another address has left the one that the
// others know: another process of the same ID, as that of a copy of its computer, would take
// its place, and not have what the member has acknowledged. One process may have both
// addresses. A member whose computer is down can't be told from one that has moved with it.
func (n *Node) mayMove(ctx context.Context, s raft.Server, a ask) error {
	is, err := n.presenceOf(ctx, s)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case is == absent, is == unreachable:
		return nil
	case is == unasked: // else a copy would need no more than that, once, while the member runs
		return fmt.Errorf("%w: %s can't move to %s: the leader, %s, can't find out whether it runs at %s, where the others know it: %w", ErrMember, a.ID, a.Addr, n.opts.ID, s.Address, err)
	case is == silent:
		return fmt.Errorf("%w: %w: %s can't move to %s: a process at %s, where the others know it, takes connections and does not answer. It may be paused: end it, or, if it is not %s, have another member Remove that first: %w", ErrMember, ErrIdentity, a.ID, a.Addr, s.Address, a.ID, err)
	}
	here, herr := n.run, error(nil) // of the leader, whose own address has changed
	if a.ID != n.opts.ID {
		here, herr = n.runAt(ctx, string(s.Address), a.ID)
	}
	there, terr := n.runAt(ctx, a.Addr, a.ID)
	if herr == nil && terr == nil && here == there && (a.Op != askJoin || a.Run == here) {
		return nil // it has both addresses
	}
	return fmt.Errorf("%w: %w: member %s runs at %s, and this is another process with its ID, at %s: close the member first, if it is to move there; or give this node an ID of its own, and an empty directory", ErrMember, ErrIdentity, a.ID, s.Address, a.Addr)
}

// runAt asks the node with an ID, at an address, which process it is.
func (n *Node) runAt(ctx context.Context, addr, id string) (run string, err error) {
	if id == n.opts.ID && addr == n.opts.Advertise {
		return n.run, nil
	}
	b, err := n.askAt(ctx, addr, id, ask{Op: askRun})
	return string(b), err
}

// askAt asks the node with an ID at an address, which the others may know by another one. An
// empty ID is that of whoever is there.
func (n *Node) askAt(ctx context.Context, addr, id string, a ask) ([]byte, error) {
	payload, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	return n.callAt(ctx, addr, id, payload)
}

// callAnyone asks the node of this cluster at an address, whichever that is: the member that this
// node knows to be there may have been replaced, which only the others can tell it.
func (n *Node) callAnyone(ctx context.Context, addr string, payload []byte) ([]byte, error) {
	b, err := n.peers.call(ctx, addr, frameAsk, payload)
	if err != nil && n.memberAt(addr) == "" {
		n.peers.drop(addr) // it may lead to another node the next time, as that of several does
	}
	if !errors.As(err, new(*refusedError)) || errors.Is(err, ErrOtherCluster) {
		return b, err
	}
	return n.callAt(ctx, addr, "", payload)
}

// callAt is askAt, with what is to be sent.
func (n *Node) callAt(ctx context.Context, addr, id string, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askBound(n.opts.Heartbeat))
	defer cancel()
	p := newPeers(ctx, func(ctx context.Context, addr string) (net.Conn, error) {
		return n.mux.dialTo(ctx, connPeer, addr, id)
	})
	defer p.close()
	return p.call(ctx, addr, frameAsk, payload)
}
