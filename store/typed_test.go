package store_test

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

type deposit struct {
	Account string
	Cents   int64
}

// bank is a typed machine.
type bank struct{ balance map[string]int64 }

var errOverdrawn = errors.New("overdrawn")

func (b *bank) Apply(d deposit) (int64, error) {
	if b.balance[d.Account]+d.Cents < 0 {
		return 0, errOverdrawn
	}
	b.balance[d.Account] += d.Cents
	return b.balance[d.Account], nil
}

func (b *bank) Snapshot() (io.WriterTo, error) { return balances(maps.Clone(b.balance)), nil }

func (b *bank) Restore(r io.Reader) error {
	b.balance = nil
	return gob.NewDecoder(r).Decode(&b.balance)
}

type balances map[string]int64

func (s balances) WriteTo(w io.Writer) (int64, error) {
	return 0, gob.NewEncoder(w).Encode(map[string]int64(s))
}

// plain is a codec without JSON.
type plain struct{}

func (plain) Append(dst []byte, d deposit) ([]byte, error) {
	if strings.Contains(d.Account, " ") {
		return nil, errRefused
	}
	return fmt.Appendf(dst, "%s %d", d.Account, d.Cents), nil
}

func (plain) Decode(b []byte) (d deposit, err error) {
	_, err = fmt.Sscanf(string(b), "%s %d", &d.Account, &d.Cents)
	return d, err
}

func TestTyped(t *testing.T) {
	for name, codec := range map[string]store.Codec[deposit]{"json": nil, "plain": plain{}} {
		dir := "/typed" + name
		memory(t, dir)
		var want int64
		for range 3 {
			b := &bank{balance: map[string]int64{}}
			s, err := store.OpenTyped(dir, b, codec, quiet(nil))
			if err != nil {
				t.Fatal(err)
			}
			if b.balance["ann"] != want {
				t.Errorf("%s: balance %d, want %d", name, b.balance["ann"], want)
			}
			for range 3 {
				want += 500
				if got, err := s.Update(t.Context(), deposit{"ann", 500}); got != want || err != nil {
					t.Errorf("%s: Update = %d, %v; want %d", name, got, err, want)
				}
			}
			if _, err := s.Update(t.Context(), deposit{"bob", -1}); err != errOverdrawn {
				t.Errorf("%s: %v, want the error of Apply as it is", name, err)
			}
			ticket, err := s.Submit(deposit{"ann", 1})
			if err != nil {
				t.Fatal(err)
			}
			if want++; ticket.Result() != want {
				t.Errorf("%s: result %v, want %d", name, ticket.Result(), want)
			}
			if err := s.Snapshot(t.Context()); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		b := &bank{balance: map[string]int64{}}
		if err := store.RestoreAt(t.Context(), dir, store.Untyped(b, codec), 12, nil); err != nil || b.balance["ann"] != want {
			t.Errorf("%s: RestoreAt: %v, balance %d", name, err, b.balance["ann"])
		}
	}
	memory(t, "/typed")
	s, err := store.OpenTyped("/typed", &bank{balance: map[string]int64{}}, store.Codec[deposit](plain{}), quiet(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Update(t.Context(), deposit{"a b", 1})
	wantIs(t, err, errRefused)
	_, err = s.Submit(deposit{"a b", 1})
	wantIs(t, err, errRefused)
	_, err = s.Change(t.Context(), func(tx *store.TypedTx[deposit]) error { return tx.Append(deposit{"a b", 1}) })
	wantIs(t, err, errRefused)
	_, err = s.Store.Update(t.Context(), []byte("garbage"))
	if err == nil || s.Index() != 0 {
		t.Errorf("an update that can't be decoded: %v", err)
	}
	s.Close()
}

// A change of typed updates is there after a restart as a whole, and Updates decodes it.
func TestTypedChangesAndUpdates(t *testing.T) {
	const dir = "/typed"
	memory(t, dir)
	b := &bank{balance: map[string]int64{}}
	s, err := store.OpenTyped(dir, b, nil, quiet(nil))
	check(t, err)
	move := func(tx *store.TypedTx[deposit]) error {
		for _, d := range []deposit{{"ann", 5}, {"bob", 7}} {
			if err := tx.Append(d); err != nil {
				return err
			}
			b.balance[d.Account] += d.Cents
		}
		return nil
	}
	index, err := s.Change(t.Context(), move)
	check(t, err)
	ticket, err := s.SubmitChange(move)
	check(t, err)
	check(t, ticket.Wait(t.Context()))
	if index != 2 || ticket.Index() != 4 {
		t.Errorf("indexes %d and %d", index, ticket.Index())
	}
	_, err = s.Store.Change(t.Context(), func(tx *store.Tx) error { return tx.Append([]byte("garbage")) })
	check(t, err)
	_, err = s.Change(t.Context(), nil)
	if err == nil {
		t.Error("a change that is nil was made")
	}
	var got []string
	for u, err := range s.Updates(t.Context(), 2) {
		if err != nil {
			got = append(got, "an error")
			continue
		}
		if u.Time.IsZero() {
			t.Error("an update has no time")
		}
		got = append(got, fmt.Sprint(u.Index, u.Value))
	}
	if want := []string{"2 {bob 7}", "3 {ann 5}", "4 {bob 7}", "an error"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	check(t, s.Close())
}

// loose is an update that JSON encodes and can't decode as it was.
type loose struct{ V any }

type looseCount struct{ store.JSONState[int] }

func (c *looseCount) Apply(loose) (int, error) {
	c.State++
	return c.State, nil
}

// What the codec can't decode is not logged by a change either.
func TestATypedChangeThatCanNotBeDecodedIsRefused(t *testing.T) {
	const dir = "/typed"
	memory(t, dir)
	s, err := store.OpenTyped(dir, &looseCount{}, nil, quiet(nil))
	check(t, err)
	_, err = s.Change(t.Context(), func(tx *store.TypedTx[loose]) error { return tx.Append(loose{int64(1)<<60 + 1}) })
	if err == nil || s.Index() != 0 {
		t.Errorf("%v, at index %d", err, s.Index())
	}
	check(t, s.Close())
	s, err = store.OpenTyped(dir, &looseCount{}, nil, quiet(nil))
	check(t, err)
	check(t, s.Close())
}
