//go:build !nopeers

package main

import (
	"sync"

	"github.com/tidwall/wal"
)

var tidwallEngine = engine{
	name: "tidwall/wal",
	what: "Write, NoSync off",
	open: func(dir string, _ int) (writer, error) {
		l, err := wal.Open(dir, nil)
		if err != nil {
			return nil, err
		}
		return &tidwallWriter{log: l}, nil
	},
}

type tidwallWriter struct {
	mu    sync.Mutex // entries are numbered one by one
	log   *wal.Log
	index uint64
}

func (w *tidwallWriter) Write(update []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	return w.log.Write(w.index, update)
}

func (w *tidwallWriter) Close() error { return w.log.Close() }
