package cluster

import "github.com/hashicorp/raft"

// Raft's messages are in msgpack, whose decoder takes memory for data in steps of 256 KiB,
// and copies what it has at each step: 132 MiB of copies for an entry of 8 MiB, during
// which heartbeats are late and the leader is voted out. So a large entry is sent in parts,
// which are joined before raft sees it. Parts are entries with the same index: raft never
// sends two of those in one call.
const partBytes = 256 << 10

// maxCallBytes is how much one call to a follower carries, if it has more than one entry: a
// call must be through within the timeout of the transport.
const maxCallBytes = 8 << 20

// upToBytes returns the first of the entries, as many as one call carries.
func upToBytes(entries []*raft.Log, most int) []*raft.Log {
	size := 0
	for i, l := range entries {
		if size += len(l.Data); i > 0 && size > most {
			return entries[:i]
		}
	}
	return entries
}

// inParts returns entries of which none has much data, for joined. They share it.
func inParts(entries []*raft.Log) []*raft.Log {
	parts := len(entries)
	for _, l := range entries {
		parts += len(l.Data) / partBytes
	}
	if parts == len(entries) {
		return entries
	}
	list := make([]*raft.Log, 0, parts)
	for _, l := range entries {
		part, data := *l, l.Data
		for len(data) > partBytes {
			first := part
			first.Data, data = data[:partBytes:partBytes], data[partBytes:]
			list = append(list, &first)
			part = raft.Log{Index: l.Index, Term: l.Term, Type: l.Type}
		}
		part.Data = data
		list = append(list, &part)
	}
	return list
}

// joined undoes inParts.
func joined(list []*raft.Log) (entries []*raft.Log) {
	for from := 0; from < len(list); {
		to, size := from, 0
		for ; to < len(list) && list[to].Index == list[from].Index; to++ {
			size += len(list[to].Data)
		}
		l := list[from]
		if to > from+1 {
			data := make([]byte, 0, size)
			for _, part := range list[from:to] {
				data = append(data, part.Data...)
			}
			l.Data = data
		}
		entries = append(entries, l)
		from = to
	}
	return entries
}
