package main

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/stateio/stateio/bench/engine"
)

// laneWriters is how many updates an engine has at once, at most. What is due meanwhile
// waits for one of them, and that counts.
const laneWriters = 1024

// A lane is an engine that gets updates at a fixed rate.
type lane struct {
	name  string
	db    engine.DB
	made  uint64              // updates
	sleep func(time.Duration) // for a short time, exactly
	took  time.Duration       // in all runs

	failed bool // and gets no more updates

	mu    sync.Mutex
	waits *hdrhistogram.Histogram // from when an update was due until it was durable, in ns
}

func newLane(name string, db engine.DB) *lane {
	l := &lane{name: name, db: db, sleep: pause}
	l.forget()
	return l
}

// forget drops what was measured.
func (l *lane) forget() {
	// 1 µs to 10 minutes, exact to three digits.
	l.waits, l.took = hdrhistogram.New(int64(time.Microsecond), int64(10*time.Minute), 3), 0
}

// run makes updates for the time d: update i is due at i/rate, and is made as soon as one
// of the writers is free, never sooner. It returns when the last is durable.
func (l *lane) run(rate float64, d time.Duration) error {
	runtime.GC() // the garbage of others
	// The clock sleeps in a system call and keeps its processor from others: it gets one more.
	procs := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(procs + 1)
	defer runtime.GOMAXPROCS(procs)
	count := max(1, int(rate*d.Seconds()))
	at := func(i int) time.Duration { return time.Duration(float64(i) / rate * float64(time.Second)) }
	due := make(chan int, count) // the clock waits for nobody
	errs := make([]error, laneWriters)
	start := time.Now()
	var wg sync.WaitGroup
	for w := range laneWriters {
		wg.Go(func() {
			update := make([]byte, updateSize)
			for i := range due {
				binary.BigEndian.PutUint64(update, l.made+uint64(i)+1)
				if errs[w] = l.db.Write(update); errs[w] != nil {
					return
				}
				if errs[w] = l.record(time.Since(start) - at(i)); errs[w] != nil {
					return
				}
			}
		})
	}
	for i := range count {
		for early := at(i) - time.Since(start); early > 0; early = at(i) - time.Since(start) {
			l.sleep(early)
		}
		due <- i
	}
	close(due)
	wg.Wait()
	l.made += uint64(count)
	l.took += time.Since(start)
	return errors.Join(errs...)
}

func (l *lane) record(wait time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waits.RecordValue(int64(wait))
}
