//go:build !nopeers

package engine

import (
	"errors"
	"path/filepath"

	"github.com/tidwall/buntdb"
)

var buntEngine = Engine{
	Name:   "buntdb",
	What:   "Set of a new 8-byte key in a transaction, SyncPolicy Always",
	Module: "github.com/tidwall/buntdb",
	Note:   "It has no checksums.",
	Kind:   Serial,
	Logs:   []string{"bunt.db"},
	Open: func(dir string, _ Options) (DB, error) {
		db, err := buntdb.Open(filepath.Join(dir, "bunt.db"))
		if err != nil {
			return nil, err
		}
		if err := db.SetConfig(buntdb.Config{SyncPolicy: buntdb.Always, AutoShrinkPercentage: 100, AutoShrinkMinSize: 32 << 20}); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return buntDB{db}, nil
	},
}

type buntDB struct{ *buntdb.DB }

func (db buntDB) Write(update []byte) error { return db.WriteAll([][]byte{update}) }

func (db buntDB) WriteAll(updates [][]byte) error {
	return db.Update(func(tx *buntdb.Tx) error {
		for _, update := range updates {
			if _, _, err := tx.Set(string(update[:KeySize]), string(update), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (db buntDB) Read(each func(update []byte) error) error {
	var failed error
	err := db.View(func(tx *buntdb.Tx) error {
		return tx.Ascend("", func(key, update string) bool {
			failed = each(held([]byte(key), []byte(update)))
			return failed == nil
		})
	})
	return errors.Join(failed, err)
}
