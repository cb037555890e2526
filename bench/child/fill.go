package child

import (
	"errors"
	"fmt"
	"time"

	"github.com/stateio/stateio/bench/engine"
)

// Filled is what the job fill returns.
type Filled struct {
	Memory int64 // at most, in bytes
}

// batch is how many updates fill writes at a time.
const batch = 1000

// fill makes a log or database with that many updates, and closes it.
func (j Job) fill(e engine.Engine) (any, error) {
	db, err := e.Open(j.Dir, engine.Options{KeepLog: j.KeepLog, Size: j.Size})
	if err != nil {
		return nil, err
	}
	b, ok := db.(engine.Batcher)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s does not write many updates at a time", e.Name), db.Close())
	}
	updates := make([][]byte, batch)
	for i := range updates {
		updates[i] = make([]byte, j.Size)
	}
	for done := 0; done < j.Updates; done += len(updates) {
		updates = updates[:min(batch, j.Updates-done)]
		for i, update := range updates {
			fill(update, uint64(done+i))
		}
		if err := b.WriteAll(updates); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	memory, err := peakMemory(db)
	return Filled{Memory: memory}, errors.Join(err, db.Close())
}

// Opened is what the job open returns.
type Opened struct {
	Open, Read time.Duration // until it took updates, and until the last one was read
	Updates    int
	Memory     int64 // at most, in bytes
}

// open opens a log or database and reads all.
func (j Job) open(e engine.Engine) (any, error) {
	var o Opened
	var db engine.DB
	watched := e
	watched.Open = func(dir string, o engine.Options) (_ engine.DB, err error) {
		db, err = e.Open(dir, o)
		return db, err
	}
	var memory error
	var err error
	o.Open, o.Read, err = watched.OpenAndRead(j.Dir, engine.Options{KeepLog: j.KeepLog}, func([]byte) error {
		o.Updates++
		if o.Updates == j.Updates && db != nil { // a server ends when it is closed
			o.Memory, memory = peakMemory(db)
		}
		return nil
	})
	if err == nil && o.Memory == 0 {
		o.Memory, memory = peakMemory(nil)
	}
	return o, errors.Join(err, memory)
}
