package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/bench/engine"
)

// A race lets engines make updates in turn, round by round.
type race struct {
	goroutines, size int
	engines          []engine.Engine
	dbs              []engine.DB
	rates            [][]float64   // updates a second, of each engine, by round
	number           atomic.Uint64 // of the last update
}

// newRace opens those engines in dir that take updates of so many goroutines, of so many
// bytes each, and lets each run for the time warm.
func newRace(dir string, all []engine.Engine, goroutines, size int, warm time.Duration) (*race, error) {
	r := &race{goroutines: goroutines, size: size}
	for i, e := range all {
		if goroutines > 1 && e.Kind == engine.OneWriter {
			continue
		}
		own := filepath.Join(dir, strconv.Itoa(i))
		err := os.Mkdir(own, 0o700)
		var db engine.DB
		if err == nil {
			db, err = e.Open(own, engine.Options{Goroutines: goroutines, Size: size})
		}
		if err == nil {
			r.engines, r.dbs = append(r.engines, e), append(r.dbs, db)
			_, _, err = r.run(len(r.dbs)-1, warm)
		}
		if err != nil {
			return nil, errors.Join(&engineError{e.Name, err}, r.close())
		}
	}
	r.rates = make([][]float64, len(r.engines))
	return r, nil
}

// slice is how long an engine runs before the next one does.
const slice = 250 * time.Millisecond

// round lets each engine run for the given time in all, a slice at a time in
// turn, so that what else goes on in the machine hits all of them. The order
// is turned about each time: none has to bear all of what another one left to
// be done in the background.
func (r *race) round(ctx context.Context, each time.Duration) error {
	updates, took := make([]float64, len(r.engines)), make([]time.Duration, len(r.engines))
	order := make([]int, len(r.engines))
	for i := range order {
		order[i] = i
	}
	for left := each; left > 0; left -= slice {
		slices.Reverse(order)
		for _, i := range order {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, d, err := r.run(i, min(left, slice))
			if err != nil {
				return &engineError{r.engines[i].Name, err}
			}
			updates[i], took[i] = updates[i]+n, took[i]+d
		}
	}
	for i := range r.engines {
		r.rates[i] = append(r.rates[i], updates[i]/took[i].Seconds())
	}
	return nil
}

// run lets an engine make updates for the given time, and returns how many it
// made and how long that took until the last was durable.
func (r *race) run(i int, d time.Duration) (updates float64, took time.Duration, err error) {
	goroutines, perWrite := r.goroutines, 1
	if r.engines[i].Whole() {
		goroutines, perWrite = 1, r.goroutines
	}
	runtime.GC() // the garbage of others
	var wg sync.WaitGroup
	var writes atomic.Int64
	var failed error
	var once sync.Once
	var over atomic.Bool // costs an update less than looking at the clock
	defer time.AfterFunc(d, func() { over.Store(true) }).Stop()
	start := time.Now()
	for range goroutines {
		wg.Go(func() {
			update := make([]byte, r.size)
			n := 0
			for ; !over.Load(); n++ {
				binary.BigEndian.PutUint64(update, r.number.Add(1))
				if err := r.dbs[i].Write(update); err != nil {
					once.Do(func() { failed = err })
					break
				}
			}
			writes.Add(int64(n))
		})
	}
	wg.Wait()
	return float64(writes.Load() * int64(perWrite)), time.Since(start), failed
}

func (r *race) close() error {
	var errs []error
	for _, db := range r.dbs {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// ratio returns how much faster the first engine is than engine i: the median
// of the ratios of each round.
func (r *race) ratio(i int) float64 { return median(ratios(r.rates[0], r.rates[i])) }

func (r *race) table() string {
	t := newTable(fmt.Sprintf("goroutines: %d", r.goroutines), "updates/s", "store is", "one write")
	for i, e := range r.engines {
		t.line(e.Name, fmt.Sprintf("%.0f", median(r.rates[i])), fmt.Sprintf("%.2fx", r.ratio(i)), e.What)
	}
	return t.String()
}
