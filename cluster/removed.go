package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// errRemovedHere says what to do about a node that was removed.
var errRemovedHere = fmt.Errorf("%w from its cluster: close it, and use another one; to have it back, call Rejoin for its directory, or remove that, and open it with Join", ErrRemoved)

// removedFile is there once the node knows that it was removed: it does not come back by
// itself, when a program opens it as always.
const removedFile = "REMOVED"

// checkNotRemoved refuses the directory of a node that was removed, with what the node was told.
func checkNotRemoved(dir string) error {
	path := filepath.Join(dir, removedFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	what, told := strings.CutPrefix(strings.TrimSpace(string(text)), ErrRemoved.Error())
	if !told {
		return fmt.Errorf("%w (%s says so)", errRemovedHere, path)
	}
	return fmt.Errorf("%w%s (%s says so)", ErrRemoved, what, path)
}

// removedErr returns what this node was told when it heard that it was removed.
func (n *Node) removedErr() error {
	if told := n.told.Load(); told != nil {
		return *told
	}
	return errRemovedHere
}

// noteRemoved notes that this node was removed, by what the others have answered, unless a leader
// counts it as a member.
func (n *Node) noteRemoved(answer error) {
	if !errors.Is(answer, ErrRemoved) { // there is no such member
		answer = errRemovedHere
	}
	n.removal.Lock()
	was := n.leader.Load() != nil || n.removed.Load()
	if !was {
		n.told.Store(&answer)
		n.removed.Store(true)
	}
	n.removal.Unlock()
	if was {
		return
	}
	n.reads.moved()
	n.log.Error("cluster: no member any more", "node", n.opts.ID, "error", answer)
	n.wakeNotes()
}

// noteLed notes that a leader counts this node as a member. It may have been added again.
func (n *Node) noteLed() {
	n.removal.Lock()
	was := n.removed.Swap(false)
	n.removal.Unlock()
	if was {
		n.wakeNotes()
	}
}

func (n *Node) wakeNotes() {
	select {
	case n.noting <- struct{}{}:
	default:
	}
}

// keepNotes has the file REMOVED say what is known, until the node is closed, and then once
// more. The disk may hang, which nobody else waits for. What fails is tried again.
func (n *Node) keepNotes() {
	tick := time.NewTicker(n.opts.Heartbeat)
	defer tick.Stop()
	var said reminder
	noted, sure := false, true
	for open := true; open; {
		select {
		case <-n.noting:
		case <-tick.C:
		case <-n.ctx.Done():
			open = false
		}
		want := n.removed.Load()
		if sure && noted == want {
			continue
		}
		err := n.writeNote(want)
		if n.failedErr() != nil {
			return // the directory may be another node's by now
		}
		if noted, sure = want, err == nil; err != nil && said.due(time.Now(), err.Error()) {
			n.log.Error("cluster: could not note whether this node was removed, and tries again", "node", n.opts.ID, "removed", want, "error", err)
		}
	}
}

// writeNote makes the file REMOVED, or removes it.
func (n *Node) writeNote(removed bool) error {
	defer n.under.begin("writing " + filepath.Join(n.dir, removedFile))()
	if f := n.opts.hooks.noting; f != nil {
		if err := f(removed); err != nil {
			return err
		}
	}
	if removed {
		return n.writeFile(removedFile, n.removedErr().Error()+"\n")
	}
	return n.removeFile(removedFile)
}

// watchRemoval finds out, while no leader is known, whether that is because this node was
// removed: raft does not tell it.
func (n *Node) watchRemoval() {
	for n.pause(2 * n.opts.Heartbeat) {
		if n.self.isGuest() { // no member yet: it asks to be one
			continue
		}
		if n.leader.Load() != nil || n.removed.Load() {
			continue
		}
		if err := n.askAboutSelf(n.self.addresses()); isAbsent(err) {
			n.noteRemoved(err)
		}
	}
}

// isAbsent reports whether a leader has answered to askAboutSelf that the node is no member, or that
// another one has its ID by now.
func isAbsent(err error) bool { return errors.Is(err, errAbsent) || errors.Is(err, ErrRemoved) }

// isKnownHere asks the same, and reports whether the leader says that this node is a member where it is.
func (n *Node) isKnownHere() bool { return n.askAboutSelf([]string{}) == nil }

// askAboutSelf asks the others, until a leader has answered, whether this node is a member, at the
// address that it has or at others. An error may also be that there was no answer.
func (n *Node) askAboutSelf(at []string) error {
	a := ask{Op: askMember, ID: n.opts.ID, Relay: true, Addr: n.opts.Advertise, At: at}
	patience := max(4*n.opts.Heartbeat, time.Second)
	if to := n.leader.Load(); to != nil && to.self { // it may be the only one
		ctx, cancel := context.WithTimeout(n.ctx, patience)
		defer cancel()
		return n.answerMember(ctx, a)
	}
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	err = errNotLeader
	for _, addr := range n.whomToAsk() {
		ctx, cancel := context.WithTimeout(n.ctx, patience)
		_, err = n.callAnyone(ctx, addr, payload)
		cancel()
		if err == nil || isAbsent(err) {
			break
		}
	}
	return err
}

// answerMember says whether there is a member. Only a leader knows, and only while it
// leads: the call is passed on to it.
func (n *Node) answerMember(ctx context.Context, a ask) error {
	switch to := n.leader.Load(); {
	case to == nil || !to.self && !a.Relay:
		return errNotLeader
	case !to.self:
		a.Relay = false
		payload, err := json.Marshal(a)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, max(4*n.opts.Heartbeat, time.Second))
		defer cancel()
		if _, err = n.peers.call(ctx, to.addr, frameAsk, payload); errors.As(err, new(*greetingError)) {
			err = leaderUnreached(to, err)
		}
		return err
	}
	if err := n.checkMember(ctx, a.ID); err != nil {
		return err
	}
	settled, _ := n.fsm.members.get()
	latest, err := n.members()
	if err == nil && (a.isAnotherIn(settled) || a.isAnotherIn(latest)) { // the latter may yet be committed
		err = n.refuseReplaced(ctx, a)
	}
	return err
}
