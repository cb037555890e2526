//go:build !nopeers

package engine

import (
	"errors"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

var badgerEngine = Engine{
	Name:   "badger",
	What:   "Set of a new 8-byte key in a transaction, SyncWrites",
	Module: "github.com/dgraph-io/badger/v4",
	Note:   "Checksums of tables and values are verified when they are read. The first record of a log that does not match is taken for its end.",
	Kind:   Serial, // it takes transactions together, and syncs the log of its memory table for each
	Logs:   []string{"*.mem", "*.vlog"},
	Open: func(dir string, _ Options) (DB, error) {
		o := badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).WithMetricsEnabled(false)
		o = o.WithVerifyValueChecksum(true).WithChecksumVerificationMode(options.OnTableAndBlockRead)
		db, err := badger.Open(o)
		if err != nil {
			return nil, err
		}
		return badgerDB{db}, nil
	},
}

type badgerDB struct{ *badger.DB }

func (db badgerDB) Write(update []byte) error {
	return db.Update(func(tx *badger.Txn) error { return tx.Set(update[:KeySize], update) })
}

func (db badgerDB) WriteAll(updates [][]byte) error {
	b := db.NewWriteBatch()
	defer b.Cancel()
	for _, update := range updates {
		if err := b.Set(update[:KeySize], update); err != nil {
			return err
		}
	}
	return b.Flush()
}

func (db badgerDB) Read(each func(update []byte) error) error {
	return db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		var err error
		for it.Rewind(); it.Valid() && err == nil; it.Next() {
			item := it.Item()
			err = errors.Join(err, item.Value(func(update []byte) error { return each(held(item.Key(), update)) }))
		}
		return err
	})
}
