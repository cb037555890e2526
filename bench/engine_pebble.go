//go:build !nopeers

package main

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

var pebbleEngine = engine{
	name:       "pebble",
	what:       "Set of a new 8-byte key with pebble.Sync",
	concurrent: true,
	open: func(dir string, _ int) (writer, error) {
		db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
		if err != nil {
			return nil, err
		}
		return &pebbleWriter{db: db}, nil
	},
}

type pebbleWriter struct {
	db  *pebble.DB
	key atomic.Uint64
}

func (w *pebbleWriter) Write(update []byte) error {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 8), w.key.Add(1))
	return w.db.Set(key, update, pebble.Sync)
}

func (w *pebbleWriter) Close() error { return w.db.Close() }

// quiet drops what pebble has to tell about its background work.
type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { pebble.DefaultLogger.Fatalf(f, args...) }
