//go:build !nopeers

package main

import (
	"encoding/binary"
	"path/filepath"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

var bboltEngine = engine{
	name:       "bbolt",
	what:       "Put of a new 8-byte key, by Update or, of many goroutines, Batch",
	concurrent: true,
	open: func(dir string, goroutines int) (writer, error) {
		db, err := bbolt.Open(filepath.Join(dir, "bbolt.db"), 0o600, nil)
		if err != nil {
			return nil, err
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket(bucket)
			return err
		})
		if err != nil {
			_ = db.Close() // the first error tells more
			return nil, err
		}
		w := &bboltWriter{DB: db, update: db.Update}
		if goroutines > 1 {
			db.MaxBatchSize = goroutines // a full batch does not wait for more
			w.update = db.Batch
		}
		return w, nil
	},
}

var bucket = []byte("updates")

type bboltWriter struct {
	*bbolt.DB
	update func(func(*bbolt.Tx) error) error
	key    atomic.Uint64
}

func (w *bboltWriter) Write(update []byte) error {
	key := binary.BigEndian.AppendUint64(nil, w.key.Add(1))
	return w.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, update) })
}
