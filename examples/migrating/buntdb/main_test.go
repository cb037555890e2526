package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidwall/buntdb"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/examples/migrating/internal/move/movetest"
)

// A key that ends while it is moved has an end where it is moved to, too.
func TestAKeyThatEndsMeanwhileDoesNotLiveForEver(t *testing.T) {
	m, err := durable.OpenMap(t.TempDir(), &durable.MapOptions[string, string]{Codec: durable.String{}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.PutTTL(t.Context(), "session", "1", time.Hour); err != nil {
		t.Fatal(err)
	}
	now := m.View()
	if _, err := m.Delete(t.Context(), "session"); err != nil { // as the map does when it ends
		t.Fatal(err)
	}
	db, err := buntdb.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *buntdb.Tx) error {
		if err := fillBack(tx, now); err != nil {
			return err
		}
		left, err := tx.TTL("session")
		if left < 59*time.Minute || left > time.Hour {
			t.Errorf("it ends in %v", left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestKeysMoveThereAndBackWithTheirEnds(t *testing.T) {
	from := filepath.Join(t.TempDir(), "app.db")
	db, err := buntdb.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *buntdb.Tx) error {
		for i := range 1500 { // more than a batch
			var opts *buntdb.SetOptions
			if i == 700 {
				opts = &buntdb.SetOptions{Expires: true, TTL: time.Hour}
			}
			if _, _, err := tx.Set(fmt.Sprintf("key:%04d", i), fmt.Sprint(i), opts); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	dir, returned := movetest.Run(t, from, "1500", there, back)
	m, err := open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	at, ends := m.Deadline("key:0700")
	if left := time.Until(at); !ends || left < 30*time.Minute || left > time.Hour {
		t.Errorf("it ends: %v, in %v", ends, left)
	}
	if _, ends := m.Deadline("key:0701"); ends {
		t.Error("a key without an end has one")
	}
	if v, ok := m.Get("key:1499"); !ok || v != "1499" {
		t.Errorf("the last one is %q, %v", v, ok)
	}

	db, err = buntdb.Open(returned)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *buntdb.Tx) error {
		n, err := tx.Len()
		if err != nil {
			return err
		}
		left, err := tx.TTL("key:0700")
		if n != 1500 || left < 30*time.Minute || left > time.Hour {
			t.Errorf("back: %d keys, one ends in %v", n, left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
