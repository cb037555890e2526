package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"net"
	"strconv"
	"sync"
)

// serve answers another node until the connection ends.
func (n *Node) serve(conn net.Conn) {
	select {
	case <-n.ready:
	case <-n.ctx.Done():
		return
	}
	l := newLink()
	_ = l.start(conn)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { l.write(conn) })
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		kind, id, payload, err := readFrame(r)
		if err != nil {
			l.end(err)
			return
		}
		answer := func(b []byte, err error) {
			if err != nil {
				l.send(frameRefusal, id, encodeRefusal(err), nil)
			} else {
				l.send(frameAnswer, id, b, nil)
			}
		}
		switch kind {
		case frameTerm:
			answer(n.pulse().encode(), nil)
		case frameForward:
			n.takeForward(payload, answer)
		case frameReadIndex:
			wg.Go(func() { n.answerReadIndex(payload, answer) })
		case frameAsk:
			wg.Go(func() { answer(n.answerAsk(ctx, payload)) })
		default:
			answer(nil, errMalformed)
		}
	}
}

// pulse tells of this node.
func (n *Node) pulse() pulse {
	_, leads := n.leads()
	return pulse{
		Term: n.promised(), Applied: n.fsm.applied.Load(), Commit: n.raft.CommitIndex(),
		Leads: leads, Stalled: n.diskFails(),
	}
}

// takeForward puts another node's updates into the log.
func (n *Node) takeForward(groups []byte, answer func([]byte, error)) {
	if err := checkGroups(groups); err != nil {
		answer(nil, err)
		return
	}
	if _, ok := n.leads(); !ok {
		answer(nil, errNotLeader)
		return
	}
	n.counts.forwarded.Add(1)
	n.prop.add(groups, func(err error) {
		answer(nil, err)
		if err == nil {
			n.prop.nudge() // the other node waits until it has applied them
		}
	})
}

// answerReadIndex finds a read index for another node.
func (n *Node) answerReadIndex(req []byte, answer func([]byte, error)) {
	if len(req) != 8 {
		answer(nil, errMalformed)
		return
	}
	index, err := n.lead.index()
	if err != nil {
		answer(nil, err)
		return
	}
	answer(binary.LittleEndian.AppendUint64(nil, index), nil)
	if binary.LittleEndian.Uint64(req) < index {
		n.prop.nudge()
	}
}

// answerAsk does what another node asks for.
func (n *Node) answerAsk(ctx context.Context, payload []byte) ([]byte, error) {
	var a ask
	if err := json.Unmarshal(payload, &a); err != nil {
		return nil, errMalformed
	}
	switch a.Op {
	case askStatus:
		return json.Marshal(n.describe())
	case askRun:
		return []byte(n.run), nil
	case askEmpty:
		if a.Addr != "" { // this node is about to be known there
			if _, err := n.noteWhere(a.Addr); err != nil {
				return nil, err
			}
		}
		return strconv.AppendBool(nil, n.isEmpty()), nil
	case askAdmit:
		return nil, n.admitted(a)
	case askMember:
		return nil, n.answerMember(ctx, a)
	}
	if a.Relay {
		a.Relay = false
		return nil, n.relay(ctx, a)
	}
	return nil, n.doAsLeader(ctx, a)
}
