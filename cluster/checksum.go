package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// Each entry has a checksum on the disk, which is looked at whenever the entry is
// read: raft-wal checks only what it recovers after a crash. It is the CRC-32C of
// index, term, type, data and extensions, and stands at the end of the extensions.
// (A codec of raft-wal would be the place for it; but version 0.4.1 does not open
// logs again that were written with another codec than its own.)

var errDamaged = errors.New("cluster: the log is damaged: the checksum of an entry does not match")

const logSumSize = 4

// logSum returns the checksum of an entry.
func logSum(l *raft.Log, extensions []byte) uint32 {
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], l.Index)
	binary.LittleEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, l.Data)
	return crc32.Update(sum, castagnoli, extensions)
}

// withSums returns copies of logs that have checksums. Their data is shared.
func withSums(logs []*raft.Log) []*raft.Log {
	copies, list := make([]raft.Log, len(logs)), make([]*raft.Log, len(logs))
	for i, l := range logs {
		copies[i] = *l
		copies[i].Extensions = binary.LittleEndian.AppendUint32(l.Extensions[:len(l.Extensions):len(l.Extensions)], logSum(l, l.Extensions))
		list[i] = &copies[i]
	}
	return list
}

// checkSum makes sure that l, as it was read, is entry index, and takes the checksum
// away.
func checkSum(index uint64, l *raft.Log) error {
	n := len(l.Extensions) - logSumSize
	if n < 0 || logSum(l, l.Extensions[:n]) != binary.LittleEndian.Uint32(l.Extensions[n:]) {
		return errDamaged
	}
	if l.Index != index {
		return fmt.Errorf("%w: where entry %d should be is entry %d", errDamaged, index, l.Index)
	}
	if l.Extensions = l.Extensions[:n]; n == 0 {
		l.Extensions = nil
	}
	return nil
}

// check reads the whole log, so that damage is found before the node takes part.
func (s *logStore) check() error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil || first == 0 {
		return err
	}
	var l raft.Log
	for i := first; i <= last; i++ {
		if err := s.GetLog(i, &l); err != nil {
			return damagedErr(fmt.Errorf("entry %d of the log: %w", i, err))
		}
	}
	return nil
}
