//go:build !nopeers

package engine

import (
	"errors"
	"sync"

	"github.com/tidwall/wal"
)

var tidwall = Engine{
	Name:   "tidwall/wal",
	What:   "Write, NoSync off",
	Module: "github.com/tidwall/wal",
	Note:   "It has no checksums.",
	Kind:   OneWriter,
	Logs:   []string{"*"},
	Open: func(dir string, _ Options) (DB, error) {
		l, err := wal.Open(dir, nil)
		if err != nil {
			return nil, err
		}
		index, err := l.LastIndex()
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		return &tidwallDB{log: l, index: index}, nil
	},
}

type tidwallDB struct {
	mu    sync.Mutex // entries are numbered one by one
	log   *wal.Log
	index uint64
}

func (w *tidwallDB) Write(update []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	return w.log.Write(w.index, update)
}

func (w *tidwallDB) WriteAll(updates [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b wal.Batch
	for _, update := range updates {
		w.index++
		b.Write(w.index, update)
	}
	return w.log.WriteBatch(&b)
}

func (w *tidwallDB) Read(each func(update []byte) error) error {
	first, err := w.log.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	for i := first; i <= w.index; i++ {
		update, err := w.log.Read(i)
		if err != nil {
			return err
		}
		if err := each(update); err != nil {
			return err
		}
	}
	return nil
}

func (w *tidwallDB) Close() error { return w.log.Close() }
