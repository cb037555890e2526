package durable_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// A trap is a codec that calls do when it decodes.
type trap struct {
	durable.String
	do *func()
}

func (c trap) Decode(b []byte) (string, error) {
	(*c.do)()
	return c.String.Decode(b)
}

// opening calls OpenMap in a goroutine of its own, and returns what it panics with, or its
// error.
func opening(dir string, opts *durable.MapOptions[int, string]) (threw any, err error) {
	done := make(chan struct{})
	err = errors.New("the goroutine has ended")
	go func() {
		defer close(done)
		defer func() { threw = recover() }()
		var m *durable.Map[int, string]
		if m, err = durable.OpenMap(dir, opts); err == nil {
			err = m.Close()
		}
	}()
	<-done
	return threw, err
}

// What a codec does wrong while a snapshot is read is done in the goroutine that opens the
// map: a panic goes on there, with its value and where it was, and Goexit is an error. The
// map can be opened afterwards.
func TestACodecThatPanicsWhileAMapIsOpened(t *testing.T) {
	do := func() {}
	opts := &durable.MapOptions[int, string]{Codec: trap{do: &do}, Store: quiet}
	dir := t.TempDir()
	m := openMap(t, dir, opts)
	for i := range 100 {
		put(t, m, i, strings.Repeat("v", 10<<10)) // several frames
	}
	if err := m.Store().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeIt(t, m)

	bad := errors.New("a broken codec")
	do = func() { panic(bad) }
	threw, err := opening(dir, opts)
	if e, ok := threw.(error); !ok || !errors.Is(e, bad) || !strings.Contains(e.Error(), "panic_test.go") {
		t.Errorf("a panic: OpenMap returned %v, and panicked with %v, want that error and where it was", err, threw)
	}
	do = func() { panic("text") }
	if threw, err = opening(dir, opts); threw == nil || !strings.Contains(fmt.Sprint(threw), "text") {
		t.Errorf("a panic: OpenMap returned %v, and panicked with %v", err, threw)
	}
	do = runtime.Goexit
	if threw, err = opening(dir, opts); threw != nil || err == nil || !strings.Contains(err.Error(), "runtime.Goexit") || strings.Contains(err.Error(), "keys") {
		t.Errorf("Goexit: OpenMap returned %v, and panicked with %v", err, threw)
	}
	do = func() {}
	expect(t, "keys afterwards", openMap(t, dir, opts).Len(), 100)
}

// A function of an index that panics when a key is deleted whose time has come fails the
// map, and not the process: nobody has called.
func TestAnIndexThatPanicsWhenAKeyIsDeletedInTime(t *testing.T) {
	for name, do := range map[string]func(){"panic": func() { panic("of the index") }, "Goexit": runtime.Goexit} {
		m, err := durable.OpenMap(t.TempDir(), &durable.MapOptions[string, int]{Store: quiet})
		if err != nil {
			t.Fatal(err)
		}
		seen := 0 // calls are never at the same time
		durable.NewIndex(m, func(string, int) []int {
			if seen++; seen > 1 {
				do()
			}
			return []int{1}
		})
		putTTL(t, m, "k", 1, time.Millisecond)
		select {
		case <-m.Store().Failed():
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the map does not fail", name)
		}
		if err := m.Put(t.Context(), "other", 1); !errors.Is(err, store.ErrFailed) {
			t.Errorf("%s: Put afterwards: %v", name, err)
		}
		if err := m.Close(); !errors.Is(err, store.ErrFailed) {
			t.Errorf("%s: Close: %v", name, err)
		}
	}
}
