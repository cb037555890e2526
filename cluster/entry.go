package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stateio/stateio/store"
)

// A raft entry carries the updates of many callers. Integers are little endian.
//
//	entry   = version uint8 = 1 | time int64 | group ...
//	group   = 'S' | nonce [16]byte                                  a session begins
//	        | 'C' | cluster [16]byte | founders [16]byte            which cluster this is
//	        | 'U' | session uint64 | low uint64 | count uint32
//	              | bytes uint32 | update ...                       updates of one session
//	update  = seq uint64 | size<<1 + keyed uint32 | key [16]byte, if keyed | data
//
// time is the leader's clock, in nanoseconds since 1970. A node that applies an entry takes
// the latest time seen so far, if that is later, so that it never goes back. An
// entry without groups only moves the commit index. Of the groups that say which cluster
// this is, the first in the log counts; see identity.go.
//
// A session is a node from its start to its end. Each of its updates has a number
// of its own, seq, and keeps it when it is sent again; low is the lowest one that
// the node still waits for.
const (
	entryVersion    = 1
	entryHeaderSize = 1 + 8
	groupSession    = 'S'
	groupUpdates    = 'U'
	groupCluster    = 'C'
	nonceSize       = 16
	groupHeaderSize = 1 + 8 + 8 + 4 + 4
	updateHeadSize  = 8 + 4
	keySize         = 16
)

var errMalformed = errors.New("cluster: malformed entry")

// A group is what one node adds to an entry.
type group struct {
	nonce   *[nonceSize]byte // of a session that begins
	cluster *identity        // which cluster this is; if nonce is nil, too: these are updates
	session uint64
	low     uint64
	count   uint32
	updates []byte // encoded
}

// appendEntryHeader begins an entry.
func appendEntryHeader(dst []byte, time int64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, entryVersion), uint64(time))
}

// parseEntry returns the time of an entry, and its groups, encoded.
func parseEntry(b []byte) (time int64, groups []byte, err error) {
	if len(b) < entryHeaderSize {
		return 0, nil, errMalformed
	}
	if b[0] != entryVersion {
		return 0, nil, fmt.Errorf("cluster: an entry has version %d, and this program knows only %d: use the newer version of the program on this node, too: %w", b[0], entryVersion, store.ErrVersion)
	}
	return int64(binary.LittleEndian.Uint64(b[1:])), b[entryHeaderSize:], nil
}

// appendSession appends a group that begins a session.
func appendSession(dst []byte, nonce [nonceSize]byte) []byte {
	return append(append(dst, groupSession), nonce[:]...)
}

// appendCluster appends a group that says which cluster this is.
func appendCluster(dst []byte, is identity) []byte {
	return appendIdentity(append(dst, groupCluster), is)
}

// putGroupHeader fills in the header of a group of updates, which begins b.
func putGroupHeader(b []byte, session, low uint64, count int) {
	b[0] = groupUpdates
	binary.LittleEndian.PutUint64(b[1:], session)
	binary.LittleEndian.PutUint64(b[9:], low)
	binary.LittleEndian.PutUint32(b[17:], uint32(count))
	binary.LittleEndian.PutUint32(b[21:], uint32(len(b)-groupHeaderSize))
}

// nextGroup decodes the first of groups and returns the rest.
func nextGroup(groups []byte) (g group, rest []byte, err error) {
	switch {
	case groups[0] == groupSession && len(groups) >= 1+nonceSize:
		g.nonce = (*[nonceSize]byte)(groups[1:])
		return g, groups[1+nonceSize:], nil
	case groups[0] == groupCluster && len(groups) >= 1+2*idSize:
		is := parseIdentity(groups[1:])
		g.cluster = &is
		return g, groups[1+2*idSize:], nil
	case groups[0] != groupUpdates || len(groups) < groupHeaderSize:
		return g, nil, errMalformed
	}
	g.session = binary.LittleEndian.Uint64(groups[1:])
	g.low = binary.LittleEndian.Uint64(groups[9:])
	g.count = binary.LittleEndian.Uint32(groups[17:])
	n := binary.LittleEndian.Uint32(groups[21:])
	if groups = groups[groupHeaderSize:]; uint64(n) > uint64(len(groups)) {
		return g, nil, errMalformed
	}
	g.updates = groups[:n:n]
	return g, groups[n:], nil
}

// An encodedUpdate is one update in a group.
type encodedUpdate struct {
	seq  uint64
	key  *[keySize]byte // nil: it has none
	data []byte
}

// appendUpdate encodes u.
func appendUpdate(dst []byte, u encodedUpdate) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, u.seq)
	size := uint32(len(u.data)) << 1
	if u.key == nil {
		return append(binary.LittleEndian.AppendUint32(dst, size), u.data...)
	}
	dst = binary.LittleEndian.AppendUint32(dst, size|1)
	return append(append(dst, u.key[:]...), u.data...)
}

// nextUpdate decodes the first of a group's updates and returns the rest.
func nextUpdate(b []byte) (u encodedUpdate, rest []byte, err error) {
	if len(b) < updateHeadSize {
		return u, nil, errMalformed
	}
	u.seq = binary.LittleEndian.Uint64(b)
	size := binary.LittleEndian.Uint32(b[8:])
	b = b[updateHeadSize:]
	if size&1 != 0 {
		if len(b) < keySize {
			return u, nil, errMalformed
		}
		u.key = (*[keySize]byte)(b)
		b = b[keySize:]
	}
	n := size >> 1
	if uint64(n) > uint64(len(b)) {
		return u, nil, errMalformed
	}
	u.data = b[:n:n]
	return u, b[n:], nil
}

// checkGroups returns an error unless groups can be applied: what another node
// sends must not end this one.
func checkGroups(groups []byte) error {
	for len(groups) > 0 {
		g, rest, err := nextGroup(groups)
		if err != nil {
			return err
		}
		groups = rest
		if g.cluster != nil {
			return errMalformed // only the leader says that
		}
		n := uint32(0)
		for b := g.updates; len(b) > 0; n++ {
			var u encodedUpdate
			if u, b, err = nextUpdate(b); err != nil {
				return err
			}
			if u.seq < g.low || u.seq-g.low > maxWindow {
				return errMalformed
			}
		}
		if n != g.count {
			return errMalformed
		}
	}
	return nil
}

// hashKey returns what stands for a key of UpdateOnce.
func hashKey(key string) *[keySize]byte {
	sum := sha256.Sum256([]byte(key))
	return (*[keySize]byte)(sum[:keySize])
}
