package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/stateio/stateio/store"
)

// All that makes the data survive is in this file: the state is a map, its
// changes have a type, and the store calls the four methods below.

// keys is the state: the value of each key. No value is ever changed in place.
type keys struct{ values map[string][]byte }

// A change is what the store logs.
type change struct {
	Op    string `json:"op"` // put or delete
	Key   string `json:"key"`
	Value []byte `json:"value,omitempty"`
}

// open opens the store in dir, and returns it with the state that is in it.
func open(dir string, opts *store.Options) (*store.Typed[change, bool], *keys, error) {
	k := &keys{values: map[string][]byte{}}
	s, err := store.OpenTyped(dir, k, nil, opts)
	return s, k, err
}

var errNoKey = errors.New("no such key")

// Apply makes a change and reports whether the key was there before. What it
// refuses changes nothing and is not logged.
func (k *keys) Apply(c change) (existed bool, err error) {
	_, existed = k.values[c.Key]
	switch {
	case c.Op == "put":
		k.values[c.Key] = c.Value
	case c.Op != "delete":
		return existed, fmt.Errorf("unknown operation %q", c.Op)
	case !existed:
		return existed, errNoKey
	default:
		delete(k.values, c.Key)
	}
	return existed, nil
}

// Snapshot captures the state: from here on, changes go to another map.
func (k *keys) Snapshot() (io.WriterTo, error) {
	return snapshot(maps.Clone(k.values)), nil
}

// Restore replaces the state by that of a snapshot.
func (k *keys) Restore(r io.Reader) error {
	clear(k.values)
	for d := json.NewDecoder(r); ; {
		var c change
		if err := d.Decode(&c); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := k.Apply(c); err != nil {
			return err
		}
	}
}

type snapshot map[string][]byte

// WriteTo writes a snapshot: one put for each key.
func (s snapshot) WriteTo(w io.Writer) (n int64, err error) {
	for _, key := range slices.Sorted(maps.Keys(s)) {
		line, err := json.Marshal(change{Op: "put", Key: key, Value: s[key]})
		if err != nil {
			return n, err
		}
		m, err := w.Write(line)
		if n += int64(m); err != nil {
			return n, err
		}
	}
	return n, nil
}
