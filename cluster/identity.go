package cluster

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// A cluster has an identity, so that nodes which began separately can't be mixed: each
// would take the other's log for its own, and what one of them had acknowledged would be
// gone. Every connection begins with it; see hello.go.
//
// There are three ways to get one, and each node has it on its disk, in the file NODE,
// before anything is acknowledged that rests on it:
//
//   - A node that begins alone, or by Import, draws it, and writes it before its log.
//     After a crash between the two, there is no cluster, and another one is drawn.
//   - Nodes that begin by a list begin without one: they have only what they make of the
//     list, which is enough to know each other by (founders). The leader puts one into
//     every entry until one is applied, before the updates in it, so no update is
//     acknowledged without one. The first in the log counts, for all of them, as the log
//     is agreed on. Snapshots have it, too. A node that has seen it talks to no node with
//     another one any more, whatever list that was begun with.
//   - A node that joins gets it from the leader that is to add it, which calls it for that,
//     whether it has asked or Add was called. It writes it down before it is a member: until
//     then it takes nothing from any log. Whom it has asked before does not matter: that may
//     have been a node of another cluster, which could not let it in.
type identity struct {
	cluster  [idSize]byte // zeros: not known yet
	founders [idSize]byte // of the list that the cluster was begun with; zeros: not known, or none
}

const idSize = 16

func (i identity) known() bool { return i.cluster != [idSize]byte{} }
func (i identity) blank() bool { return i == identity{} }

func (i identity) String() string {
	switch {
	case i.known():
		return hex.EncodeToString(i.cluster[:])
	case i.blank():
		return "none yet"
	}
	return "none yet, begun with the list " + hex.EncodeToString(i.founders[:])
}

// A relation is what two identities say about two nodes.
type relation int

const (
	related   relation = iota // they are of the same cluster
	unrelated                 // they are of two
	undecided                 // one of them does not know yet
)

// relationTo compares the identities of two nodes; the order does not matter.
func (i identity) relationTo(o identity) relation {
	switch {
	case i.blank() || o.blank():
		return undecided
	case i.known() && o.known() && i.cluster == o.cluster:
		return related
	case i.known() && o.known() || i.founders != o.founders:
		return unrelated
	}
	return related // one of the founders does not know the rest yet
}

// newCluster draws the identity of a cluster that one node begins.
func newCluster() (i identity) {
	_, _ = rand.Read(i.cluster[:]) // never fails
	return i
}

// foundersOf is what nodes that begin with the same list know each other by.
func foundersOf(members []Member) (i identity) {
	list := slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	text := []byte("stateio cluster members\n")
	for _, m := range list {
		text = fmt.Appendf(text, "%q %q\n", m.ID, m.Addr)
	}
	sum := sha256.Sum256(text)
	copy(i.founders[:], sum[:])
	return i
}

// A self is which node this is, of which cluster. It is the content of the file NODE.
type self struct {
	id   string
	path string       // of the file; empty: it is not written
	held func() error // that it is still in the directory of this node; nil: nobody has taken that yet

	write sync.Mutex // held by whoever changes what follows

	mu     sync.Mutex
	is     identity
	joined bool // it has got its identity from others: it does not begin a cluster
	guest  guest
	at     []string // where the others may know it; see where.go
}

// nodeFile has the ID of the node, and of its cluster.
const nodeFile = "NODE"

func (s *self) identity() identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is
}

// become sets the identity, and writes it down first. Whoever is to join is to be let in.
func (s *self) become(i identity, joined bool) error {
	s.write.Lock()
	defer s.write.Unlock()
	g := noGuest
	if joined {
		g = strange
	}
	return s.writeLocked(i, joined, g, nil)
}

// becomeLocked is become, with write held, for a node that is where it was.
func (s *self) becomeLocked(i identity, joined bool, g guest) error {
	return s.writeLocked(i, joined, g, s.at)
}

// writeLocked writes down all that this node is, with write held, and then it is so.
func (s *self) writeLocked(i identity, joined bool, g guest, at []string) error {
	if s.path != "" {
		if err := s.mine(); err != nil {
			return err
		}
		if err := writeDurably(s.path, encodeSelf(s.id, i, joined, g, at)); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is, s.joined, s.guest, s.at = i, joined, g, at
	return nil
}

// mine returns an error unless the file is that of this node, as far as that can be told.
func (s *self) mine() error {
	if s.held == nil {
		return nil
	}
	return s.held()
}

// learn takes the identity of the cluster that this node joins from the leader that invites
// it. It is durable when learn returns nil. There may be one already: then it must be the same.
func (s *self) learn(i identity) error {
	s.write.Lock()
	defer s.write.Unlock()
	switch is := s.identity(); {
	case is.relationTo(i) == related && s.guest != strange:
		return nil
	case is.relationTo(i) == related:
		return s.becomeLocked(is, s.joined, invited)
	case !is.blank():
		return ErrOtherCluster
	}
	return s.becomeLocked(i, true, invited)
}

// found takes the identity that is the first in the log, also if it can't be written down.
func (s *self) found(i identity) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.identity().known() {
		return nil
	}
	err := s.becomeLocked(i, s.joined, s.guest)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is = i
	return err
}

func encodeSelf(id string, i identity, joined bool, g guest, at []string) []byte {
	b := fmt.Appendf(nil, "%s\n", id)
	if i.known() {
		b = fmt.Appendf(b, "cluster %x\n", i.cluster)
	}
	if i.founders != [idSize]byte{} {
		b = fmt.Appendf(b, "founders %x\n", i.founders)
	}
	if joined {
		b = append(b, "joined\n"...)
	}
	for _, addr := range at {
		b = fmt.Appendf(b, "at %s\n", addr)
	}
	return append(b, guestLines[g]...)
}

// readSelf reads the file NODE at path. Without one, it returns what a new node is.
func readSelf(path, id string) (*self, error) {
	s := &self{id: id, path: path}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if isCutShort(string(b), id) {
		return nil, damagedErr(fmt.Errorf("cluster: %s is cut short, after %d bytes: %.100q", path, len(b), b))
	}
	if lines[0] != id {
		return nil, fmt.Errorf("%w: the directory is that of node %q, as %s says, and Options.ID is %q: open it with its ID, or give this node a directory of its own", ErrIdentity, lines[0], path, id)
	}
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "cluster":
			err = decodeID(&s.is.cluster, value)
		case "founders":
			err = decodeID(&s.is.founders, value)
		case "joined":
			s.joined = true
		case "at":
			s.at = append(s.at, value)
		case "guest":
			s.guest, err = parseGuest(line)
		default:
			err = errMalformed
		}
		if err != nil {
			return nil, damagedErr(fmt.Errorf("cluster: %s has a line that is not understood: %q", path, line))
		}
	}
	return s, nil
}

// isCutShort reports whether a text is what is left of the file NODE of this node, as a file system
// may leave it, or may be.
func isCutShort(text, id string) bool {
	first, _, ended := strings.Cut(text, "\n")
	switch {
	case strings.Trim(first, "\x00") == "":
		return true
	case ended:
		return first == id && !strings.HasSuffix(text, "\n")
	}
	return strings.HasPrefix(id, first)
}

func decodeID(to *[idSize]byte, text string) error {
	b, err := hex.DecodeString(text)
	if err == nil && len(b) != idSize {
		err = errMalformed
	}
	if err == nil {
		copy(to[:], b)
	}
	return err
}
