package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/stateio/stateio/examples/migrating/internal/move/movetest"
)

// file makes a file of bbolt.
func file(t *testing.T, fill func(tx *bolt.Tx) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(fill); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBucketsMoveThereAndBack(t *testing.T) {
	from := file(t, func(tx *bolt.Tx) error {
		for _, name := range []string{"users", "mail"} {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for i := range 1500 { // more than a batch
				if err := b.Put(fmt.Appendf(nil, "%04d/\xff", i), fmt.Appendf(nil, "%s %d", name, i)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	dir, returned := movetest.Run(t, from, "3000", there, back)
	m, err := open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	next := 0
	for key, value := range m.Range("users/", "users0") {
		if key != fmt.Sprintf("users/%04d/\xff", next) || string(value) != fmt.Sprint("users ", next) {
			t.Fatalf("key %d is %q with %q", next, key, value)
		}
		next++
	}
	if next != 1500 {
		t.Errorf("%d users", next)
	}
	db, err := bolt.Open(returned, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	check := func(tx *bolt.Tx) error {
		if v := tx.Bucket([]byte("mail")).Get([]byte("1499/\xff")); string(v) != "mail 1499" {
			return fmt.Errorf("the last mail is %q", v)
		}
		return nil
	}
	if err := db.View(check); err != nil {
		t.Error(err)
	}
}

func TestABucketInABucketIsRefused(t *testing.T) {
	from := file(t, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("users"))
		if err == nil {
			_, err = b.CreateBucket([]byte("ann"))
		}
		return err
	})
	if err := movetest.Refused(t, from, there); !strings.Contains(err.Error(), `a bucket "ann" in it`) {
		t.Error(err)
	}
}

func TestABucketWithASlashIsRefused(t *testing.T) {
	from := file(t, func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("users/old"))
		return err
	})
	if err := movetest.Refused(t, from, there); !strings.Contains(err.Error(), `"users/old"`) {
		t.Error(err)
	}
}
