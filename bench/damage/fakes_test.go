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

type fakeDB struct {
	fake
	mu      sync.Mutex
	file    *os.File
	pending [][]byte
}

func (f fake) open(dir string, _ engine.Options) (engine.DB, error) {
	file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	return &fakeDB{fake: f, file: file}, err
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
	_, err := db.file.Write(record)
	return err
}

func (db *fakeDB) Read(each func(update []byte) error) error {
	in := bufio.NewReader(db.file)
	record := make([]byte, 4+updateSize)
	for {
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
