package damage

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/stateio/stateio/bench/engine"
)

// A fake is an engine with an append-only file: what it does wrong is what the tests have
// to find.
type fake struct {
	late     bool // writes an update when many more were acknowledged
	checked  bool // has a checksum for each update
	tolerant bool // takes the first update that is not whole for the end
	panics   bool // in the place of an error
}

func (f fake) engine(name string) engine.Engine {
	return engine.Engine{Name: name, Logs: []string{"log"}, Open: f.open}
}

var (
	honest    = fake{checked: true}.engine("honest") // refuses whatever is not whole, a torn end too
	mild      = fake{tolerant: true}.engine("mild")  // opens with a torn end; has no checksums
	forgetful = fake{late: true, checked: true}.engine("forgetful")
	silent    = fake{checked: true, tolerant: true}.engine("silent") // drops all after damage
	shaky     = fake{checked: true, panics: true}.engine("shaky")
	broken    = engine.Engine{Name: "broken", Open: func(string, engine.Options) (engine.DB, error) {
		return nil, errors.New("broken: it does not open")
	}}
)

// held is how many updates a fake that is late holds back: more than are made at once.
const held = 32

// recordSize is the size of a checksum and an update. No record of a fake spans two pages:
// a kill may cut a write that does between them, and a fake that isn't tolerant would then
// refuse what it acknowledged.
const recordSize = 4 + updateSize

// padding returns how many zeros come before a record at this offset: all to the end of a
// page with no room for it.
func padding(at int64) int {
	if room := pageSize - int(at%pageSize); room < recordSize {
		return room
	}
	return 0
}

const pageSize = 4096

type fakeDB struct {
	fake
	mu      sync.Mutex
	file    *os.File
	at      int64 // the end of the file
	pending [][]byte
}

func (f fake) open(dir string, _ engine.Options) (engine.DB, error) {
	file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &fakeDB{fake: f, file: file, at: info.Size()}, nil
}

func (db *fakeDB) Write(update []byte) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	record := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(update))
	record = append(record, update...)
	if db.late {
		db.pending = append(db.pending, record)
		if record = nil; len(db.pending) > held {
			record, db.pending = db.pending[0], db.pending[1:]
		}
	}
	if len(record) == 0 {
		return nil
	}
	if err := db.append(make([]byte, padding(db.at))); err != nil {
		return err
	}
	return db.append(record)
}

func (db *fakeDB) append(b []byte) error {
	n, err := db.file.Write(b)
	db.at += int64(n)
	return err
}

func (db *fakeDB) Read(each func(update []byte) error) error {
	in := bufio.NewReader(db.file)
	record := make([]byte, recordSize)
	for at := int64(0); ; at += recordSize {
		skipped, _ := in.Discard(padding(at)) // an error comes again from what follows
		at += int64(skipped)
		_, err := io.ReadFull(in, record)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && db.checked && binary.BigEndian.Uint32(record) != crc32.ChecksumIEEE(record[4:]) {
			err = errors.New("fake: a checksum does not match")
		}
		if err != nil && db.panics {
			panic(fmt.Sprint("fake: ", err))
		}
		if err != nil && db.tolerant {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(record[4:]); err != nil {
			return err
		}
	}
}

func (db *fakeDB) Close() error { return db.file.Close() }
