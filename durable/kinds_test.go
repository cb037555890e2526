package durable_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// holding makes a directory with a map or a value, whose state is also in a snapshot if that
// is wanted, and returns it.
func holding(t *testing.T, what string, snapshot bool) string {
	t.Helper()
	dir := t.TempDir()
	var s *store.Store
	switch what {
	case "map":
		m := openMap(t, dir, &durable.MapOptions[string, string]{Codec: durable.String{}})
		for _, key := range []string{"", "a", "user with a longer name"} {
			put(t, m, key, strings.Repeat("v", 200))
		}
		s = m.Store()
	case "numbers":
		m := openMap(t, dir, &durable.MapOptions[uint64, string]{Codec: durable.String{}})
		put(t, m, 7, "a value")
		s = m.Store()
	case "value":
		v := openText(t, dir)
		// Text whose first byte, as the length of a key, fits the rest.
		for _, text := range []string{"a note" + strings.Repeat(" and more", 20), "", "\x01k\x01v"} {
			if err := v.Update(t.Context(), func(s *string) error { *s = text; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		s = v.Store()
	}
	if snapshot {
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closeIt(t, s)
	return dir
}

func openText(t testing.TB, dir string) *durable.Value[string] {
	t.Helper()
	v, err := durable.OpenValue(dir, "initial", &durable.ValueOptions[string]{Codec: durable.String{}, Store: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, v) })
	return v
}

// A map and a value each refuse what the other one has made, whatever the codecs would read,
// change nothing, and say what the directory is to be opened with.
func TestAMapAndAValueRefuseEachOther(t *testing.T) {
	onStore := func(dir string) func(store.Machine) (store.Keeper, error) {
		return func(m store.Machine) (store.Keeper, error) { return store.Open(dir, m, &quiet) }
	}
	mapOpts := &durable.MapOptions[string, []byte]{Codec: durable.Bytes{}, Store: quiet}
	numberOpts := &durable.MapOptions[uint64, []byte]{Codec: durable.Bytes{}, Store: quiet}
	valueOpts := &durable.ValueOptions[string]{Codec: durable.String{}, Store: quiet}
	asMap := map[string]func(dir string) error{
		"OpenMap":            func(dir string) error { _, err := durable.OpenMap(dir, mapOpts); return err },
		"OpenMap of numbers": func(dir string) error { _, err := durable.OpenMap(dir, numberOpts); return err },
		"OpenMapOn":          func(dir string) error { _, err := durable.OpenMapOn(mapOpts, onStore(dir)); return err },
		"MapAt":              func(dir string) error { _, err := durable.MapAt(t.Context(), dir, 1, mapOpts); return err },
		"NewMachine": func(dir string) error {
			_, err := store.Load(context.Background(), dir, durable.NewMachine(mapOpts))
			return err
		},
	}
	asValue := map[string]func(dir string) error{
		"OpenValue":   func(dir string) error { _, err := durable.OpenValue(dir, "", valueOpts); return err },
		"OpenValueOn": func(dir string) error { _, err := durable.OpenValueOn("", valueOpts, onStore(dir)); return err },
		"NewValueMachine": func(dir string) error {
			_, err := store.Load(context.Background(), dir, durable.NewValueMachine("", valueOpts))
			return err
		},
	}
	for _, c := range []struct {
		what, says string
		by         map[string]func(string) error
	}{
		{"value", "the directory holds a value, not a map: open it with OpenValue", asMap},
		{"map", "the directory holds a map, not a value: open it with OpenMap", asValue},
		{"numbers", "the directory holds a map, not a value: open it with OpenMap", asValue},
	} {
		for _, snapshot := range []bool{false, true} {
			dir := holding(t, c.what, snapshot)
			for by, open := range c.by {
				if by == "MapAt" && snapshot {
					continue // it restores an earlier state, from the log
				}
				if err := open(dir); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("a %s opened by %s, in a snapshot: %v: %v, want %q", c.what, by, snapshot, err, c.says)
				}
			}
			if c.what == "value" {
				expect(t, "the value afterwards", openText(t, dir).Get(), "\x01k\x01v")
			}
			if c.what == "map" {
				m := openMap(t, dir, &durable.MapOptions[string, string]{Codec: durable.String{}})
				expect(t, "updates afterwards", m.Store().Index(), 3)
			}
		}
	}
}

// What is opened with other types than it was made with says so first, without a word about
// machines, and then where; errors.As finds the error of the store.
func TestOpeningWithOtherTypesSaysWhatIsWrongFirst(t *testing.T) {
	type count struct{ Count int }
	type renamed struct{ Total int }
	dir := t.TempDir()
	m := openMap[string, count](t, dir, nil)
	put(t, m, "a", count{1})
	closeIt(t, m)
	for says, open := range map[string]func() error{
		"durable: the directory holds a map":       func() error { _, err := durable.OpenValue(dir, 0, nil); return err },
		"durable: the map has keys that":           func() error { _, err := durable.OpenMap[int, count](dir, nil); return err },
		`durable: decoding the value of key "a": `: func() error { _, err := durable.OpenMap[string, int](dir, nil); return err },
		"durable: decoding the value of key":       func() error { _, err := durable.OpenMap[string, renamed](dir, nil); return err },
		"durable: decoding the value of":           func() error { _, err := durable.MapAt[string, int](t.Context(), dir, 1, nil); return err },
	} {
		err := open()
		var replay *store.ReplayError
		if !errors.As(err, &replay) || replay.Index != 1 {
			t.Fatalf("%s: %v", says, err)
		}
		text := err.Error()
		if !strings.HasPrefix(text, says) || strings.Contains(text, "machine") || !strings.Contains(text, replay.Path) {
			t.Errorf("got %q, want %q", text, says)
		}
	}
}

// A backup is refused like the directory that it is of.
func TestSnapshotsOfTheOtherKindAreRefused(t *testing.T) {
	opts := &durable.MapOptions[string, string]{Codec: durable.String{}}
	v := openText(t, t.TempDir()) // without an update, the shortest snapshot that there is
	m := openMap(t, t.TempDir(), opts)
	for _, c := range []struct {
		from *store.Store
		to   store.Machine
		says string
	}{
		{v.Store(), durable.NewMachine(opts), "holds a value, not a map"},
		{m.Store(), durable.NewValueMachine("", &durable.ValueOptions[string]{Codec: durable.String{}}), "holds a map, not a value"},
	} {
		var b bytes.Buffer
		if _, err := c.from.Backup(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := store.Import(dir, bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(t.Context(), dir, c.to); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got error %v, want %q", err, c.says)
		}
	}
}
