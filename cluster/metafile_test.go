package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"

	"github.com/stateio/stateio/store"
)

// lone makes a node with some updates, closes it, and returns its options, its directory, and
// the database of its log.
func lone(t *testing.T) (o *Options, dir string, meta []byte) {
	t.Helper()
	o = &Options{ID: "a", Listen: freeAddrs(t, 1)[0], Logger: quiet(t)}
	dir = filepath.Join(t.TempDir(), "whole")
	n, err := Open(dir, newLedger(), o)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		update(t, n, "add x")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if meta, err = os.ReadFile(filepath.Join(dir, "wal", metadb.FileName)); err != nil {
		t.Fatal(err)
	}
	return o, dir, meta
}

// harmed returns what may become of a database, by name.
func harmed(meta []byte) map[string][]byte {
	page := os.Getpagesize() // which is bbolt's
	hurt := map[string][]byte{"whole": meta, "no bytes": nil, "5 bytes": meta[:5], "all but a byte": meta[:len(meta)-1]}
	for at := page; at < len(meta); at += page {
		hurt[fmt.Sprintf("cut at %d", at)] = meta[:at]
		hurt[fmt.Sprintf("cut at %d", at+100)] = meta[:at+100]
	}
	part := func(name string, from, to int, change func(b []byte)) {
		b := bytes.Clone(meta)
		change(b[from:to])
		hurt[fmt.Sprintf("%s from %d to %d", name, from, to)] = b
	}
	zero := func(b []byte) { clear(b) }
	part("zeros", 0, 2*page, zero)
	part("zeros", 2*page, len(meta), zero)
	for at := 0; at < len(meta); at += page {
		part("zeros", at, at+page, zero)
		part("other bits", at, at+page, func(b []byte) {
			for i := range b {
				b[i] ^= 0xff
			}
		})
		part("another page", at, at+page, func(b []byte) { copy(b, meta[(at+page)%len(meta):]) })
	}
	return hurt
}

// TestADamagedDatabaseOfTheLogIsRefused cuts the database of the log at each page, and damages
// each page. The node says so, and what to do, or opens with all that it had.
func TestADamagedDatabaseOfTheLogIsRefused(t *testing.T) {
	concurrently(t)
	o, whole, meta := lone(t)
	refused, share := 0, 1
	if testing.Short() {
		share = 4 // the map is in another order each time
	}
	all := harmed(meta)
	left := len(all) / share
	for name, b := range all {
		if left--; left < 0 {
			break
		}
		dir := filepath.Join(t.TempDir(), "hurt")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "wal", metadb.FileName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		m := newLedger()
		n, err := Open(dir, m, o)
		if err == nil {
			if got := update(t, n, "add x"); got != 6 {
				t.Errorf("%s: the node has opened, and the sum is %v", name, got)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		refused++
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), metadb.FileName) || !strings.Contains(err.Error(), "Rejoin") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if name == "whole" {
			t.Errorf("a database that is whole is refused: %v", err)
		}
		lock, err := lockFile(filepath.Join(dir, "LOCK"))
		if err != nil {
			t.Fatalf("%s: the directory stays locked: %v", name, err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d were refused", refused)
	if pages := len(meta) / os.Getpagesize(); refused < 2*pages/share-2 {
		t.Errorf("only %d were refused, and the database has %d pages", refused, pages)
	}
}

// TestAByteOfTheDatabaseIsChanged changes one byte after the other. What the check lets
// through, raft-wal's database must be able to read.
func TestAByteOfTheDatabaseIsChanged(t *testing.T) {
	concurrently(t)
	_, _, meta := lone(t)
	step := 1
	if testing.Short() {
		step = 97
	}
	dir, refused := t.TempDir(), 0
	for i := 0; i < len(meta); i += step {
		b := bytes.Clone(meta)
		b[i] ^= 0x41
		if checkBolt(b, metadb.MetaBucket, metadb.StableBucket) != nil {
			refused++
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, metadb.FileName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		var db metadb.BoltMetaDB
		_, err := db.Load(dir)
		if err != nil && !errors.Is(err, types.ErrCorrupt) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, err := db.GetStable([]byte("CurrentTerm")); err != nil {
			t.Errorf("byte %d: %v", i, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if refused < 100/step {
		t.Errorf("only %d changes were refused", refused)
	}
}

// TestDatabasesOfBboltPassTheCheck makes databases that have several levels, values larger
// than a page, deleted keys, and a long list of free pages.
func TestDatabasesOfBboltPassTheCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.NoSync = true
	for round := range 8 {
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("b"))
			if err != nil {
				return err
			}
			if _, err := tx.CreateBucketIfNotExists([]byte("inline")); err != nil {
				return err
			}
			for i := range 4000 {
				key := []byte(fmt.Sprint(i * (round + 7) % 5003))
				if i%3 == round%3 {
					err = b.Delete(key)
				} else {
					err = b.Put(key, make([]byte, i%97))
				}
				if err != nil {
					return err
				}
			}
			return b.Put([]byte("large"), make([]byte, round*7000))
		})
		if err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkBolt(image, "b", "inline"); err != nil {
			t.Errorf("round %d: a database that is whole is refused: %v", round, err)
		}
		if err := checkBolt(image, "b", "none"); err == nil {
			t.Error("a bucket that is not there is not missed")
		}
	}
}
