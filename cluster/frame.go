package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Nodes talk to each other in frames, besides raft's own messages.
//
//	frame = size uint32 of what follows | kind uint8 | id uint64 | payload
//
// Requests have an id of the sender's choice, which the answer repeats.
const (
	frameForward   = 1 // groups for the log; the answer is empty
	frameReadIndex = 2 // applied uint64; the answer is a read index
	frameTerm      = 3 // the answer is a pulse
	frameAsk       = 4 // a request of administration, in JSON; the answer is JSON
	frameAnswer    = 0x80
	frameRefusal   = 0x81 // code uint8 and text

	frameHead = 4 + 1 + 8
	// maxFrame is the most that a frame may have, so that a wild size is refused
	// before memory is taken for it.
	maxFrame = maxMaxUpdate + 2<<20
)

// appendFrame appends a frame.
func appendFrame(dst []byte, kind byte, id uint64, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(frameHead-4+len(payload)))
	dst = binary.LittleEndian.AppendUint64(append(dst, kind), id)
	return append(dst, payload...)
}

// readFrame reads a frame. The payload is the caller's.
func readFrame(r *bufio.Reader) (kind byte, id uint64, payload []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size < frameHead-4 || size > maxFrame {
		return 0, 0, nil, fmt.Errorf("cluster: a frame says that it has %d bytes: this is not a node of this version", size)
	}
	if n := size - (frameHead - 4); n > 0 {
		payload = make([]byte, n)
		_, err = io.ReadFull(r, payload)
	}
	return head[4], binary.LittleEndian.Uint64(head[5:]), payload, err
}

// refusals are the errors that travel as such. One that is another one, too, comes
// after it.
var refusals = []error{nil, errNotLeader, ErrMember, ErrNoQuorum, ErrStalled, ErrIdentity, errAbsent, ErrOtherCluster, ErrRemoved}

// A refusal says what an error is, in one or more ways, by numbers of refusals:
//
//	refusal = the last of them uint8 | text [ | 0 | the others, uint8 each ]
//
// What is in brackets is not there if there are no others, and no 0 in the text.

// encodeRefusal encodes an error for another node.
func encodeRefusal(err error) []byte {
	var codes []byte
	for i, e := range refusals {
		if e != nil && errors.Is(err, e) {
			codes = append(codes, byte(i))
		}
	}
	text, last := err.Error(), byte(0)
	if n := len(codes); n > 0 {
		codes, last = codes[:n-1], codes[n-1]
	}
	b := append([]byte{last}, text...)
	if len(codes) > 0 || strings.Contains(text, "\x00") {
		b = append(append(b, 0), codes...)
	}
	return b
}

// A remoteError is what another node has answered.
type remoteError struct {
	kinds []error // of refusals
	text  string
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.kinds }

func decodeRefusal(b []byte) error {
	if len(b) == 0 {
		return &remoteError{text: "cluster: another node has refused"}
	}
	text, codes := b[1:], b[:1:1]
	if i := bytes.LastIndexByte(text, 0); i >= 0 {
		text, codes = text[:i], append(codes, text[i+1:]...)
	}
	e := &remoteError{text: string(text)}
	for _, c := range codes {
		if c > 0 && int(c) < len(refusals) {
			e.kinds = append(e.kinds, refusals[c])
		}
	}
	return e
}

// A pulse is what a node tells of itself.
type pulse struct {
	Term    uint64 // it has promised no later one
	Applied uint64 // raft index
	Commit  uint64 // raft index, as far as it knows
	Leads   bool
	Stalled bool
}

func (p pulse) encode() []byte {
	b := make([]byte, 0, 26)
	for _, v := range []uint64{p.Term, p.Applied, p.Commit} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return append(b, byte(bit(p.Leads)), byte(bit(p.Stalled)))
}

func parsePulse(b []byte) (p pulse, err error) {
	if len(b) != 26 {
		return p, errMalformed
	}
	for i, v := range []*uint64{&p.Term, &p.Applied, &p.Commit} {
		*v = binary.LittleEndian.Uint64(b[8*i:])
	}
	p.Leads, p.Stalled = b[24] != 0, b[25] != 0
	return p, nil
}
