package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// A mapEngine is an ordered map from text to text on the disk.
type mapEngine struct {
	name string
	open func(dir string) (mapDB, error)
}

// A mapDB is a map that is open. Several goroutines call its methods at once.
type mapDB interface {
	Get(key string) (value string, err error)
	// Range calls do for the keys from from on, as long as it returns true.
	Range(from string, do func(key, value string) bool) error
	// Put returns when the value is on the disk.
	Put(key, value string) error
	// Swap exchanges two values in a transaction.
	Swap(a, b string) error
	// Fill sets many in a transaction.
	Fill(keys, values []string) error
	Close() error
}

var errNoKey = errors.New("there is no such key")

// mapEngines are what is compared. The first is what the others are compared with.
var mapEngines = append([]mapEngine{
	{"durable", func(dir string) (mapDB, error) {
		m, err := durable.OpenMap(dir, &durable.MapOptions[string, string]{
			Codec: durable.String{}, Store: store.Options{Logger: slog.New(slog.DiscardHandler)},
		})
		return durableMap{m}, err
	}},
}, mapPeers...)

type durableMap struct {
	*durable.Map[string, string]
}

func (m durableMap) Get(key string) (string, error) {
	value, ok := m.Map.Get(key)
	if !ok {
		return "", errNoKey
	}
	return value, nil
}

func (m durableMap) Range(from string, do func(key, value string) bool) error {
	m.From(from)(do)
	return nil
}

func (m durableMap) Put(key, value string) error { return m.Map.Put(context.Background(), key, value) }

func (m durableMap) Swap(a, b string) error {
	return m.Txn(context.Background(), func(tx *durable.Tx[string, string]) error {
		va, okA := tx.Get(a)
		vb, okB := tx.Get(b)
		if !okA || !okB {
			return errNoKey
		}
		tx.Put(a, vb)
		tx.Put(b, va)
		return nil
	})
}

func (m durableMap) Fill(keys, values []string) error {
	return m.Txn(context.Background(), func(tx *durable.Tx[string, string]) error {
		for i, key := range keys {
			tx.Put(key, values[i])
		}
		return nil
	})
}

// mapKey returns key i of n, in an order that is not that of the keys.
func mapKey(i, n int) string { return fmt.Sprintf("user:%010d", uint64(i)*2654435761%uint64(n)) }
