//go:build !nopeers

package engine

import (
	"errors"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

var raftWAL = Engine{
	Name:   "raft-wal",
	What:   "StoreLogs of one raft log",
	Module: "github.com/hashicorp/raft-wal",
	Note:   "The checksum of the last commit is looked at when it opens, those of others never. The module has a verifier that compares ranges of logs between nodes.",
	Kind:   OneWriter,
	Logs:   []string{"*.wal"},
	Open: func(dir string, _ Options) (DB, error) {
		w, err := wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()))
		if err != nil {
			return nil, err
		}
		index, err := w.LastIndex()
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		return &raftDB{wal: w, index: index}, nil
	},
}

type raftDB struct {
	mu    sync.Mutex // raft numbers logs one by one
	wal   *wal.WAL
	index uint64
}

func (w *raftDB) Write(update []byte) error { return w.WriteAll([][]byte{update}) }

func (w *raftDB) WriteAll(updates [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	logs := make([]*raft.Log, len(updates))
	for i, update := range updates {
		w.index++
		logs[i] = &raft.Log{Index: w.index, Term: 1, Data: update}
	}
	return w.wal.StoreLogs(logs)
}

func (w *raftDB) Read(each func(update []byte) error) error {
	first, err := w.wal.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	var log raft.Log
	for i := first; i <= w.index; i++ {
		if err := w.wal.GetLog(i, &log); err != nil {
			return err
		}
		if err := each(log.Data); err != nil {
			return err
		}
	}
	return nil
}

func (w *raftDB) Close() error { return w.wal.Close() }
