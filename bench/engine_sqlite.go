//go:build !nopeers

package main

import (
	"database/sql"
	"errors"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

var sqliteEngine = engine{
	name:       "sqlite",
	what:       "INSERT of a blob, WAL mode, synchronous=FULL, one connection",
	concurrent: true,
	open: func(dir string, _ int) (writer, error) {
		// SQLite has one writer: more connections only wait for each other.
		pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sqlite.db")+"?"+pragmas.Encode())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		w := &sqliteWriter{db: db}
		if _, err = db.Exec("CREATE TABLE updates (id INTEGER PRIMARY KEY, data BLOB)"); err == nil {
			w.insert, err = db.Prepare("INSERT INTO updates (data) VALUES (?)")
		}
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return w, nil
	},
}

type sqliteWriter struct {
	db     *sql.DB
	insert *sql.Stmt
}

func (w *sqliteWriter) Write(update []byte) error {
	_, err := w.insert.Exec(update)
	return err
}

func (w *sqliteWriter) Close() error { return errors.Join(w.insert.Close(), w.db.Close()) }
