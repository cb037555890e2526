package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// visits is what a program of package main may have as its state.
type visits struct {
	Site  string
	count int
}

// A type with fields that JSON would leave out is refused before anything is made, by a map and
// by a value, on whatever keeps it; and it is not by a codec that says that it may be.
func TestATypeThatJSONWouldLoseFieldsOfIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	keep := func(m store.Machine) (store.Keeper, error) { return store.Open(dir, m, &quiet) }
	for name, open := range map[string]func() (any, error){
		"OpenMap":     func() (any, error) { return durable.OpenMap[string, visits](dir, nil) },
		"OpenValue":   func() (any, error) { return durable.OpenValue(dir, visits{}, nil) },
		"OpenMapOn":   func() (any, error) { return durable.OpenMapOn[string, []visits](nil, keep) },
		"OpenValueOn": func() (any, error) { return durable.OpenValueOn(map[string]*visits{}, nil, keep) },
		"a version": func() (any, error) {
			return durable.OpenMap(dir, &durable.MapOptions[string, visits]{Codec: store.Versions[visits]{Current: 1}})
		},
	} {
		_, err := open()
		if err == nil || !strings.HasPrefix(err.Error(), "durable: ") || !strings.Contains(err.Error(), "field count of durable_test.visits is not exported") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s has made the directory: %v", name, err)
		}
	}
	m := openMap(t, dir, &durable.MapOptions[string, visits]{Codec: store.JSON[visits]{AllowUnexportedFields: true}})
	put(t, m, "a", visits{"x", 1})
	if v, _ := m.Get("a"); v != (visits{Site: "x"}) {
		t.Errorf("got %+v", v)
	}
}
