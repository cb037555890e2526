package child

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/stateio/stateio/bench/engine"
)

// write makes as many updates as the parent tells it to, numbered from 0, and tells the
// number of each when it is durable. It ends when it is killed, or the parent is no more.
func (j Job) write(e engine.Engine) (any, error) {
	o := engine.Options{Goroutines: j.Goroutines, Size: j.Size}
	// What was just made is not yet as it will be: the first log of Pebble has a format
	// that is older than what it was told to use.
	db, err := e.Open(j.Dir, o)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		db, err = e.Open(j.Dir, o)
	}
	if err != nil {
		return nil, err
	}
	var next atomic.Uint64
	for {
		var updates int
		if _, err := fmt.Scan(&updates); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the parent is no more")
			}
			return nil, errors.Join(err, db.Close())
		}
		end := next.Load() + uint64(updates)
		if updates == 0 {
			end = 1 << 63
		}
		if err := j.writeUntil(db, &next, end); err != nil {
			return nil, err
		}
		next.Store(end)
	}
}

// writeUntil makes the updates from next to end, which is not one of them.
func (j Job) writeUntil(db engine.DB, next *atomic.Uint64, end uint64) error {
	errs := make([]error, j.Goroutines)
	var wg sync.WaitGroup
	for g := range j.Goroutines {
		wg.Go(func() {
			update := make([]byte, j.Size)
			for errs[g] == nil {
				number := next.Add(1) - 1
				if number >= end {
					return
				}
				fill(update, number)
				if errs[g] = db.Write(update); errs[g] == nil {
					// So short a write to a pipe is whole.
					_, errs[g] = os.Stdout.Write(binary.BigEndian.AppendUint64(nil, number))
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
