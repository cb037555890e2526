package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// numbered returns an update that is like no other.
func numbered(n int) []byte {
	update := bytes.Repeat([]byte{byte(n)}, 100)
	binary.BigEndian.PutUint64(update, uint64(n))
	return update
}

// What was written by one call or by many is there when the engine is opened again, and
// again, each once; and more can be written then.
func TestEnginesCanBeOpenedAgain(t *testing.T) {
	for _, e := range Present(All()) {
		if e.Whole() {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			dir, n := t.TempDir(), 0
			for range 3 {
				db, err := e.Open(dir, Options{Goroutines: 1, Size: 100})
				if err != nil {
					t.Fatal(err)
				}
				err = db.Write(numbered(n))
				var some [][]byte
				for i := range 5 {
					some = append(some, numbered(n+1+i))
				}
				err = errors.Join(err, db.(Batcher).WriteAll(some))
				if err := errors.Join(err, db.Close()); err != nil {
					t.Fatal(err)
				}
				n += 6
				checkAll(t, e, dir, n)
			}
		})
	}
}

// checkAll checks that the updates from 0 to before n are there.
func checkAll(t *testing.T, e Engine, dir string, n int) {
	t.Helper()
	there := map[string]int{}
	opened, read, err := e.OpenAndRead(dir, Options{}, func(update []byte) error {
		there[string(update)]++
		return nil
	})
	if err != nil || opened <= 0 || read < opened {
		t.Fatalf("opened after %v, read after %v: %v", opened, read, err)
	}
	for i := range n {
		if there[string(numbered(i))] != 1 {
			t.Errorf("update %d of %d is there %d times", i, n, there[string(numbered(i))])
		}
	}
	if len(there) != n {
		t.Errorf("there are %d updates, not %d", len(there), n)
	}
}

// An error of whoever reads ends the reading, and is returned.
func TestReadingEndsWithAnError(t *testing.T) {
	enough := errors.New("enough")
	for _, e := range Present(All()) {
		if e.Whole() {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			dir := t.TempDir()
			db, err := e.Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Write(numbered(1)), db.Write(numbered(2)), db.Close()); err != nil {
				t.Fatal(err)
			}
			calls := 0
			_, _, err = e.OpenAndRead(dir, Options{}, func([]byte) error { calls++; return enough })
			if !errors.Is(err, enough) || calls != 1 {
				t.Errorf("%d calls: %v", calls, err)
			}
		})
	}
}

// A database whose key belongs to another update has not what was written.
func TestHeld(t *testing.T) {
	if update := numbered(7); !bytes.Equal(held(update[:KeySize], update), update) {
		t.Error("an update is not taken for itself")
	}
	if key := numbered(8)[:KeySize]; !bytes.Equal(held(key, numbered(7)), key) {
		t.Error("a wrong key is taken for the right one")
	}
}

// An engine that can't run here is left out.
func TestPresent(t *testing.T) {
	here := Present([]Engine{Store, {Name: "gone", Missing: func() string { return "not found" }}, {Name: "there", Missing: func() string { return "" }}})
	if len(here) != 2 || here[0].Name != "store" || here[1].Name != "there" {
		t.Errorf("%v", here)
	}
}

// What is written after opening is not handed to whoever asked for what was there.
func TestReplayEndsWithOpen(t *testing.T) {
	calls := 0
	o := Options{Replay: func([]byte) error { calls++; return nil }}
	dir := t.TempDir()
	for want := range 3 {
		calls = 0
		db, err := Store.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Write(numbered(want)), db.Close()); err != nil || calls != want {
			t.Errorf("%d updates were there, and %d handed out: %v", want, calls, err)
		}
	}
}
