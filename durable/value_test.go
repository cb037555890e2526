package durable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// openValue opens the value in dir until the test ends.
func openValue[T any](t testing.TB, dir string, initial T) *durable.Value[T] {
	t.Helper()
	v, err := durable.OpenValue(dir, initial, &durable.ValueOptions[T]{Store: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, v) })
	return v
}

func TestAValueIsThereAfterReopening(t *testing.T) {
	dir := t.TempDir()
	v := openValue(t, dir, user{Name: "first"})
	expect(t, "initially", v.Get().Name, "first")
	closeIt(t, v)
	v = openValue(t, dir, user{Name: "second"}) // the first was not kept
	expect(t, "initially, again", v.Get().Name, "second")
	if err := v.Update(t.Context(), func(u *user) error { u.Tags = []string{"x"}; return nil }); err != nil {
		t.Fatal(err)
	}
	closeIt(t, v)
	v = openValue(t, dir, user{Name: "third"})
	expect(t, "after an update", v.Get(), user{Name: "second", Tags: []string{"x"}})
	if err := v.Store().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeIt(t, v)
	v = openValue(t, dir, user{})
	expect(t, "from a snapshot", v.Get(), user{Name: "second", Tags: []string{"x"}})
}

// A snapshot, a backup or a copy that is made before the first update does not keep the
// initial value: that of a later version of the program counts. After it, one does.
func TestAnInitialValueIsKeptByNothing(t *testing.T) {
	dir, imported := t.TempDir(), filepath.Join(t.TempDir(), "imported")
	v := openValue(t, dir, 80)
	snapshot := func() {
		t.Helper()
		if err := v.Store().Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	snapshot()
	var backup bytes.Buffer
	if _, err := v.Store().Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	closeIt(t, v)
	v = openValue(t, dir, 8080)
	expect(t, "after a snapshot", v.Get(), 8080)
	if err := v.Update(t.Context(), func(*int) error { return nil }); err != nil { // which keeps it
		t.Fatal(err)
	}
	snapshot()
	closeIt(t, v)
	v = openValue(t, dir, 1)
	expect(t, "after an update", v.Get(), 8080)
	if err := store.Import(imported, bytes.NewReader(backup.Bytes()), int64(backup.Len())); err != nil {
		t.Fatal(err)
	}
	v = openValue(t, imported, 443)
	expect(t, "of the backup", v.Get(), 443)
	if _, err := v.Store().Replace(t.Context(), strings.NewReader("dval\x015")); err != nil {
		t.Fatal(err)
	}
	closeIt(t, v)
	v = openValue(t, imported, 1)
	expect(t, "of a state that was installed", v.Get(), 5)
}

func TestUpdatesOfAValueSeeEachOther(t *testing.T) {
	dir, stall := stallable(t)
	v := openValue(t, dir, 0)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 25 {
				if err := v.Update(t.Context(), func(n *int) error { *n++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	expect(t, "counted", v.Get(), 400)
	shareCommits(t, v.Store(), stall, 16, func() error {
		return v.Update(t.Context(), func(n *int) error { *n++; return nil })
	})
}

func TestAnUpdateOfAValueThatFails(t *testing.T) {
	v := openValue(t, t.TempDir(), user{Name: "a", Tags: []string{"x"}})
	wrong := errors.New("wrong")
	if err := v.Update(t.Context(), func(u *user) error { u.Tags[0] = "y"; u.Name = "b"; return wrong }); err != wrong {
		t.Errorf("Update: %v", err)
	}
	func() {
		defer func() { expect(t, "panic", recover(), any("loud")) }()
		_ = v.Update(t.Context(), func(u *user) error { u.Tags[0] = "y"; panic("loud") })
	}()
	expect(t, "the value", v.Get(), user{Name: "a", Tags: []string{"x"}})
	if err := v.Update(t.Context(), func(u *user) error { u.Name = "\xff"; return nil }); err == nil {
		t.Error("an Update that can't be encoded: no error")
	}
	if err := v.Update(t.Context(), func(u *user) error { u.Name = "c"; return nil }); err != nil {
		t.Errorf("an Update after all those: %v", err)
	}
	expect(t, "updates", v.Store().Index(), 1)
}

func TestAnUpdateThatChangesNothingIsNotLogged(t *testing.T) {
	v := openValue(t, t.TempDir(), 1)
	for range 3 {
		if err := v.Update(t.Context(), func(n *int) error { *n = 2; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "updates", v.Store().Index(), 1)
}

func TestAnUpdateOfAValueHeedsItsContext(t *testing.T) {
	v := openValue(t, t.TempDir(), 1)
	ctx, cancel := context.WithCancel(t.Context())
	err := v.Update(t.Context(), func(*int) error {
		waits := make(chan error)
		go func() { waits <- v.Update(ctx, func(*int) error { return nil }) }()
		cancel()
		return <-waits
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an Update during another: %v", err)
	}
	closeIt(t, v)
	if err := v.Update(t.Context(), func(n *int) error { *n = 3; return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("an Update of a closed value: %v", err)
	}
	expect(t, "the value", v.Get(), 1)
}

func TestAValueThatCanNotBeEncodedIsRefusedAtOnce(t *testing.T) {
	_, err := durable.OpenValue(t.TempDir(), fmt.Errorf, nil)
	if err == nil {
		t.Error("a function: no error")
	}
}

// Updates of a value on replicas that lag follow one another, and what one has only seen was
// the latest.
func TestAValueOnReplicas(t *testing.T) {
	cast := newCast()
	join := func() (v *durable.Value[[]int], r *replica) {
		v, err := durable.OpenValueOn([]int{0}, nil, func(m store.Machine) (store.Keeper, error) {
			r = cast.join(m)
			return r, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeIt(t, v) })
		return v, r
	}
	a, ra := join()
	b, rb := join()
	const each = 50
	var wg sync.WaitGroup
	for _, v := range []*durable.Value[[]int]{a, b, a, b} {
		wg.Go(func() {
			for range each {
				if err := v.Update(t.Context(), func(l *[]int) error { *l = append(*l, len(*l)); return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	alike(t, ra, rb)
	for i, n := range a.Get() {
		if i != n {
			t.Fatalf("the value is %v", a.Get())
		}
	}
	expect(t, "its length", len(a.Get()), 4*each+1)

	if err := b.Update(t.Context(), func(l *[]int) error { *l = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	refusal, calls := errors.New("too long"), 0
	err := a.Update(t.Context(), func(l *[]int) error {
		if calls++; len(*l) > 0 {
			return refusal
		}
		return nil
	})
	if err != nil || calls != 2 {
		t.Errorf("after %d calls it was refused for what is not so any more: %v", calls, err)
	}
	c, rc := join()
	rc.install(t, ra)
	if err := c.Update(t.Context(), func(l *[]int) error { *l = []int{7}; return nil }); err != nil {
		t.Fatal(err)
	}
	alike(t, ra, rb, rc)
	expect(t, "entries after that of the second call", a.Get(), []int{7})
	ctx, cancel := context.WithCancel(t.Context())
	err = a.Update(ctx, func(l *[]int) error {
		if err := b.Update(t.Context(), func(o *[]int) error { *o = append(*o, 1); return nil }); err != nil {
			t.Error(err)
		}
		if len(*l) > 5 {
			cancel()
		}
		*l = nil
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("one that others are always faster than: %v", err)
	}
}
