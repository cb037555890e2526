//go:build !nopeers

package engine

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

var pebbleEngine = Engine{
	Name:   "pebble",
	What:   "Set of a new 8-byte key with pebble.Sync",
	Module: "github.com/cockroachdb/pebble/v2",
	Note:   "FormatNewest: of the newest log, what follows damage is dropped unless a later block of 32 KiB shows that it was durable.",
	Logs:   []string{"*.log"},
	Open: func(dir string, _ Options) (DB, error) {
		db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
		if err != nil {
			return nil, err
		}
		return pebbleDB{db}, nil
	},
}

type pebbleDB struct{ *pebble.DB }

func (db pebbleDB) Write(update []byte) error {
	return db.Set(update[:KeySize], update, pebble.Sync)
}

func (db pebbleDB) WriteAll(updates [][]byte) error {
	b := db.NewBatch()
	for _, update := range updates {
		if err := b.Set(update[:KeySize], update, nil); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return errors.Join(b.Commit(pebble.Sync), b.Close())
}

func (db pebbleDB) Read(each func(update []byte) error) error {
	it, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var update []byte
		if update, err = it.ValueAndErr(); err == nil {
			err = each(held(it.Key(), update))
		}
	}
	return errors.Join(err, it.Close())
}

// quiet drops what pebble has to tell about its background work.
type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { pebble.DefaultLogger.Fatalf(f, args...) }
