//go:build !nopeers

package engine

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

var etcd = Engine{
	Name:   "etcd wal",
	What:   "Save of one raft entry, with its sync",
	Module: "go.etcd.io/etcd/server/v3",
	Note:   "It takes a record for torn if whole sectors of 512 bytes of it are zeros. A log that seems to end inside a record is cut off before it, as etcd itself does when it starts.",
	Kind:   OneWriter,
	Logs:   []string{"wal/*.wal"},
	Open: func(dir string, _ Options) (DB, error) {
		dir = filepath.Join(dir, "wal")
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			return openEtcd(dir)
		}
		w, err := wal.Create(zap.NewNop(), dir, nil)
		if err != nil {
			return nil, err
		}
		return &etcdDB{wal: w, term: 1}, nil
	},
}

// openEtcd opens a log as etcd itself does: of one that ends in the middle of a record it
// takes that away, once.
func openEtcd(dir string) (DB, error) {
	for repaired := false; ; repaired = true {
		w, err := wal.Open(zap.NewNop(), dir, &walpb.Snapshot{})
		if err != nil {
			return nil, err
		}
		_, _, entries, err := w.ReadAll()
		if err == nil {
			return &etcdDB{wal: w, term: 1, index: uint64(len(entries)), entries: entries}, nil
		}
		err = errors.Join(err, w.Close())
		if repaired || !errors.Is(err, io.ErrUnexpectedEOF) || !wal.Repair(zap.NewNop(), dir) {
			return nil, err
		}
	}
}

type etcdDB struct {
	mu      sync.Mutex // raft numbers entries one by one
	wal     *wal.WAL
	term    uint64
	index   uint64
	entries []*raftpb.Entry // that were there
}

func (w *etcdDB) Write(update []byte) error { return w.WriteAll([][]byte{update}) }

func (w *etcdDB) WriteAll(updates [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	entries := make([]*raftpb.Entry, len(updates))
	for i, update := range updates {
		w.index++
		index := w.index
		entries[i] = &raftpb.Entry{Term: &w.term, Index: &index, Data: update}
	}
	return w.wal.Save(nil, entries)
}

func (w *etcdDB) Read(each func(update []byte) error) error {
	for _, entry := range w.entries {
		if err := each(entry.GetData()); err != nil {
			return err
		}
	}
	return nil
}

func (w *etcdDB) Close() error { return w.wal.Close() }
