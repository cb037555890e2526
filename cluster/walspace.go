package cluster

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Raft-wal sets the space of a whole file aside when it begins one, and it begins one each time
// that entries at the end of the log are replaced, as they are on a node that led, was killed, and
// comes back. So a log with little in it can take much of the disk, and it takes as much longer to
// read when the node is opened. That is why a node counts the files of its log, too.

// filesFor returns how many files a log with that many bytes may have: twice those that the bytes
// need, for not every byte is that of an update, and a few that are not full.
func (n *Node) filesFor(size int64) int64 {
	segment := int64(n.opts.SegmentBytes)
	return 2*(size/segment) + 2*(size%segment)/segment + 4 // 2*size may be too large
}

// logBases returns the index of the first entry in each file of the log, in order.
func (n *Node) logBases() (bases []uint64, err error) {
	dir := filepath.Join(n.dir, "wal")
	defer n.under.begin("reading " + dir)()
	paths, err := walFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if base, _, ok := parseWALName(filepath.Base(path)); ok {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// countLogFiles returns how many files the log has; before, if that can't be seen now.
func (n *Node) countLogFiles(before int) int {
	bases, err := n.logBases()
	if err != nil {
		return before
	}
	return len(bases)
}

// parseWALName returns what the name of a file of raft-wal's log says: the index of its first
// entry, and the number of the file.
func parseWALName(name string) (base, id uint64, ok bool) {
	n, err := fmt.Sscanf(name, "%d-%x.wal", &base, &id)
	return base, id, err == nil && n == 2
}
