//go:build !nopeers

package main

import (
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

var raftEngine = engine{
	name: "raft-wal",
	what: "StoreLogs of one raft log",
	open: func(dir string, _ int) (writer, error) {
		w, err := wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()))
		if err != nil {
			return nil, err
		}
		return &raftWriter{wal: w}, nil
	},
}

type raftWriter struct {
	mu    sync.Mutex // raft numbers logs one by one
	wal   *wal.WAL
	index uint64
}

func (w *raftWriter) Write(update []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	return w.wal.StoreLogs([]*raft.Log{{Index: w.index, Term: 1, Data: update}})
}

func (w *raftWriter) Close() error { return w.wal.Close() }
