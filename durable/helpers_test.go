package durable_test

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// quiet are options of a store that does not log.
var quiet = store.Options{Logger: slog.New(slog.DiscardHandler)}

// openMap opens the map in dir until the test ends, with opts if they are not nil.
func openMap[K cmp.Ordered, V any](t testing.TB, dir string, opts *durable.MapOptions[K, V]) *durable.Map[K, V] {
	t.Helper()
	var o durable.MapOptions[K, V]
	if opts != nil {
		o = *opts
	}
	o.Store = quiet
	m, err := durable.OpenMap(dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, m) })
	return m
}

func closeIt(t testing.TB, m interface{ Close() error }) {
	t.Helper()
	if err := m.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}

// put sets a value.
func put[K cmp.Ordered, V any](t testing.TB, m *durable.Map[K, V], key K, value V) {
	t.Helper()
	if err := m.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

// pairs returns what seq returns, as text.
func pairs[K, V any](seq iter.Seq2[K, V]) []string {
	all := []string{}
	for k, v := range seq {
		all = append(all, fmt.Sprint(k, "=", v))
	}
	return all
}

// expect compares got with want.
func expect[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}
