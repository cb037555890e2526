//go:build !nopeers

package engine

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

var sqliteEngine = Engine{
	Name:   "sqlite",
	What:   "INSERT of a blob, WAL mode, synchronous=FULL, one connection",
	Module: "modernc.org/sqlite",
	Note:   "The first frame of its log whose checksum does not match is taken for its end. Pages of the database have checksums with the extension cksumvfs only.",
	Kind:   Serial,
	Logs:   []string{"sqlite.db-wal"},
	Open: func(dir string, _ Options) (DB, error) {
		// SQLite has one writer: more connections only wait for each other.
		pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sqlite.db")+"?"+pragmas.Encode())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		w := &sqliteDB{db: db}
		if _, err = db.Exec("CREATE TABLE IF NOT EXISTS updates (id INTEGER PRIMARY KEY, data BLOB)"); err == nil {
			w.insert, err = db.Prepare("INSERT INTO updates (id, data) VALUES (?, ?)")
		}
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return w, nil
	},
}

type sqliteDB struct {
	db     *sql.DB
	insert *sql.Stmt
}

// id returns the key of an update.
func id(update []byte) int64 { return int64(binary.BigEndian.Uint64(update)) }

func (w *sqliteDB) Write(update []byte) error {
	_, err := w.insert.Exec(id(update), update)
	return err
}

func (w *sqliteDB) WriteAll(updates [][]byte) error {
	tx, err := w.db.Begin()
	if err != nil {
		return err
	}
	insert := tx.Stmt(w.insert)
	for _, update := range updates {
		if _, err := insert.Exec(id(update), update); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func (w *sqliteDB) Read(each func(update []byte) error) error {
	rows, err := w.db.Query("SELECT id, data FROM updates ORDER BY id")
	if err != nil {
		return err
	}
	var number int64
	var update sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&number, &update); err != nil {
			return errors.Join(err, rows.Close())
		}
		key := binary.BigEndian.AppendUint64(nil, uint64(number))
		if err := each(held(key, update)); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (w *sqliteDB) Close() error { return errors.Join(w.insert.Close(), w.db.Close()) }
