//go:build !nopeers

package main

import (
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

var etcdEngine = engine{
	name: "etcd wal",
	what: "Save of one raft entry, with its sync",
	open: func(dir string, _ int) (writer, error) {
		w, err := wal.Create(zap.NewNop(), filepath.Join(dir, "wal"), nil)
		if err != nil {
			return nil, err
		}
		return &etcdWriter{wal: w, term: 1}, nil
	},
}

type etcdWriter struct {
	mu    sync.Mutex // raft numbers entries one by one
	wal   *wal.WAL
	term  uint64
	index uint64
}

func (w *etcdWriter) Write(update []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	index := w.index
	return w.wal.Save(nil, []*raftpb.Entry{{Term: &w.term, Index: &index, Data: update}})
}

func (w *etcdWriter) Close() error { return w.wal.Close() }
