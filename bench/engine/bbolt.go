//go:build !nopeers

package engine

import (
	"errors"
	"path/filepath"

	"go.etcd.io/bbolt"
)

var bboltEngine = Engine{
	Name:   "bbolt",
	What:   "Put of a new 8-byte key, by Update or, of many goroutines, Batch",
	Module: "go.etcd.io/bbolt",
	Note:   "Its meta pages have checksums, its data has none; bbolt check finds damage to its structure. A commit ends with a meta page: that is the write that is torn.",
	Logs:   []string{"bbolt.db"},
	// A commit writes pages anywhere in the file and syncs, and then one of the two meta
	// pages at its start, which makes it valid.
	LastWrite: 2 * 4096,
	Open: func(dir string, o Options) (DB, error) {
		db, err := bbolt.Open(filepath.Join(dir, "bbolt.db"), 0o600, nil)
		if err != nil {
			return nil, err
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(bucket)
			return err
		})
		if err != nil {
			_ = db.Close() // the first error tells more
			return nil, err
		}
		w := &bboltDB{DB: db, update: db.Update}
		if o.Goroutines > 1 {
			db.MaxBatchSize = o.Goroutines // a full batch does not wait for more
			w.update = db.Batch
		}
		return w, nil
	},
}

var bucket = []byte("updates")

type bboltDB struct {
	*bbolt.DB
	update func(func(*bbolt.Tx) error) error
}

func (db *bboltDB) Write(update []byte) error {
	return db.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(update[:KeySize], update) })
}

func (db *bboltDB) WriteAll(updates [][]byte) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, update := range updates {
			if err := tx.Bucket(bucket).Put(update[:KeySize], update); err != nil {
				return err
			}
		}
		return nil
	})
}

func (db *bboltDB) Read(each func(update []byte) error) error {
	return db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return errors.New("the bucket is gone")
		}
		return b.ForEach(func(key, update []byte) error { return each(held(key, update)) })
	})
}
