//go:build !nopeers

package main

import (
	"database/sql"
	"errors"
	"net/url"
	"path/filepath"

	"github.com/tidwall/buntdb"
	"go.etcd.io/bbolt"
)

// mapPeers are the maps of others.
var mapPeers = []mapEngine{
	{"bbolt", openBboltMap},
	{"buntdb", openBuntMap},
	{"sqlite", openSQLiteMap},
}

// bucket is the bucket of bbolt that has the map.
var bucket = []byte("records")

type bboltMap struct {
	*bbolt.DB
	update func(func(*bbolt.Tx) error) error
}

// parallel has Batch collect the changes of so many goroutines.
func (db *bboltMap) parallel(goroutines int) {
	db.update = db.Update
	if goroutines > 1 {
		db.MaxBatchSize = goroutines // a full batch does not wait for more
		db.update = db.Batch
	}
}

func openBboltMap(dir string) (mapDB, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bbolt.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	return &bboltMap{db, db.Update}, err
}

func (db *bboltMap) Get(key string) (value string, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucket).Get([]byte(key))
		if v == nil {
			return errNoKey
		}
		value = string(v) // which is not valid any more after the transaction
		return nil
	})
	return value, err
}

// Range does not copy what it finds.
func (db *bboltMap) Range(from string, do func(key, value string) bool) error {
	return db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		k, v := c.Seek([]byte(from))
		for k != nil && do(unsafeString(k), unsafeString(v)) {
			k, v = c.Next()
		}
		return nil
	})
}

func (db *bboltMap) Put(key, value string) error {
	return db.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte(key), []byte(value)) })
}

func (db *bboltMap) Swap(a, b string) error {
	return db.update(func(tx *bbolt.Tx) error {
		bk := tx.Bucket(bucket)
		va, vb := string(bk.Get([]byte(a))), string(bk.Get([]byte(b)))
		return errors.Join(bk.Put([]byte(a), []byte(vb)), bk.Put([]byte(b), []byte(va)))
	})
}

func (db *bboltMap) Fill(keys, values []string) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for i, key := range keys {
			if err := tx.Bucket(bucket).Put([]byte(key), []byte(values[i])); err != nil {
				return err
			}
		}
		return nil
	})
}

type buntMap struct{ *buntdb.DB }

func openBuntMap(dir string) (mapDB, error) {
	db, err := buntdb.Open(filepath.Join(dir, "bunt.db"))
	if err != nil {
		return nil, err
	}
	var c buntdb.Config
	if err := db.ReadConfig(&c); err != nil {
		return nil, err
	}
	c.SyncPolicy = buntdb.Always
	return buntMap{db}, db.SetConfig(c)
}

func (db buntMap) Get(key string) (value string, err error) {
	err = db.View(func(tx *buntdb.Tx) error {
		value, err = tx.Get(key)
		return err
	})
	return value, err
}

func (db buntMap) Range(from string, do func(key, value string) bool) error {
	return db.View(func(tx *buntdb.Tx) error { return tx.AscendGreaterOrEqual("", from, do) })
}

func (db buntMap) Put(key, value string) error {
	return db.Update(func(tx *buntdb.Tx) error {
		_, _, err := tx.Set(key, value, nil)
		return err
	})
}

func (db buntMap) Swap(a, b string) error {
	return db.Update(func(tx *buntdb.Tx) error {
		va, errA := tx.Get(a)
		vb, errB := tx.Get(b)
		_, _, errSetA := tx.Set(a, vb, nil)
		_, _, errSetB := tx.Set(b, va, nil)
		return errors.Join(errA, errB, errSetA, errSetB)
	})
}

func (db buntMap) Fill(keys, values []string) error {
	return db.Update(func(tx *buntdb.Tx) error {
		for i, key := range keys {
			if _, _, err := tx.Set(key, values[i], nil); err != nil {
				return err
			}
		}
		return nil
	})
}

type sqliteMap struct {
	db             *sql.DB
	get, scan, set *sql.Stmt
}

func openSQLiteMap(dir string) (mapDB, error) {
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "mmap_size(1073741824)"}}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sqlite.db")+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	m := &sqliteMap{db: db}
	_, err = db.Exec("CREATE TABLE IF NOT EXISTS pairs (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
	for stmt, query := range map[**sql.Stmt]string{
		&m.get:  "SELECT value FROM pairs WHERE key = ?",
		&m.scan: "SELECT key, value FROM pairs WHERE key >= ? ORDER BY key",
		&m.set:  "INSERT INTO pairs VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
	} {
		if err == nil {
			*stmt, err = db.Prepare(query)
		}
	}
	return m, err
}

func (m *sqliteMap) Get(key string) (value string, err error) {
	err = m.get.QueryRow(key).Scan(&value)
	return value, err
}

func (m *sqliteMap) Range(from string, do func(key, value string) bool) error {
	rows, err := m.scan.Query(from)
	if err != nil {
		return err
	}
	defer rows.Close()
	var key, value sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		if !do(unsafeString(key), unsafeString(value)) {
			break
		}
	}
	return rows.Err()
}

func (m *sqliteMap) Put(key, value string) error {
	_, err := m.set.Exec(key, value)
	return err
}

func (m *sqliteMap) Swap(a, b string) error {
	return m.tx(func(tx *sql.Tx) error {
		var va, vb string
		errA := tx.Stmt(m.get).QueryRow(a).Scan(&va)
		errB := tx.Stmt(m.get).QueryRow(b).Scan(&vb)
		_, errSetA := tx.Stmt(m.set).Exec(a, vb)
		_, errSetB := tx.Stmt(m.set).Exec(b, va)
		return errors.Join(errA, errB, errSetA, errSetB)
	})
}

func (m *sqliteMap) Fill(keys, values []string) error {
	return m.tx(func(tx *sql.Tx) error {
		set := tx.Stmt(m.set)
		for i, key := range keys {
			if _, err := set.Exec(key, values[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *sqliteMap) tx(do func(tx *sql.Tx) error) error {
	tx, err := m.db.Begin()
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (m *sqliteMap) Close() error {
	return errors.Join(m.get.Close(), m.scan.Close(), m.set.Close(), m.db.Close())
}
