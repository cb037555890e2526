package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

func mapsCommand(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	dir := flags.String("dir", ".", "directory for the files, on the disk to measure")
	keys := flags.Int("keys", 1_000_000, "keys in the maps")
	rounds := flags.Int("rounds", 5, "rounds; figures are medians over them")
	if err := parse(flags, args, "rounds"); err != nil {
		return err
	}
	if *keys < 100 {
		return fmt.Errorf("-keys %d: it takes 100 and more", *keys)
	}
	return inTempDir(*dir, func(dir string) error {
		b := &mapBench{ctx: ctx, dir: dir, n: *keys, rounds: *rounds}
		err := b.run()
		if err == nil {
			_, err = io.WriteString(out, b.table())
		}
		return err
	})
}

// A mapBench compares maps.
type mapBench struct {
	ctx    context.Context
	dir    string
	n      int // keys
	rounds int

	empty   engine.DB                    // a store without a state
	records *durable.Map[string, record] // the same values, decoded
	updated atomic.Int64                 // makes values differ

	memory []int64 // bytes, by engine
	dbs    []mapDB // by engine, when they are open
	tests  []*mapTest
}

// A mapTest is one thing that is measured.
type mapTest struct {
	name string
	unit string
	one  func(db mapDB, dir string) (float64, error) // larger is better
	got  [][]float64                                 // by engine and round
}

func (b *mapBench) engineDir(i int) string { return filepath.Join(b.dir, mapEngines[i].name) }

func (b *mapBench) run() error {
	for i := range mapEngines {
		if err := b.fill(i); err != nil {
			return fmt.Errorf("%s: %w", mapEngines[i].name, err)
		}
	}
	open := &mapTest{name: "open", unit: "s"}
	b.tests = append(b.tests, open)
	for range b.rounds {
		err := b.round(open, func(i int) (float64, error) {
			start := time.Now()
			db, err := mapEngines[i].open(b.engineDir(i))
			if err == nil {
				_, err = db.Get(mapKey(0, b.n)) // SQLite opens no file before
			}
			took := time.Since(start)
			return took.Seconds(), errors.Join(err, db.Close())
		})
		if err != nil {
			return err
		}
	}
	if err := b.openAll(); err != nil {
		return err
	}
	err := b.openRecords()
	if err == nil {
		b.empty, err = engine.Store.Open(filepath.Join(b.dir, "empty"), engine.Options{})
	}
	if err != nil {
		return err
	}
	for _, t := range b.all() {
		b.tests = append(b.tests, t)
		for range b.rounds {
			if err := b.round(t, func(i int) (float64, error) { return t.one(b.dbs[i], b.engineDir(i)) }); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	errs := []error{b.records.Close(), b.empty.Close()}
	for _, db := range b.dbs {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// fill makes the map of engine i.
func (b *mapBench) fill(i int) error {
	if err := os.Mkdir(b.engineDir(i), 0o700); err != nil {
		return err
	}
	db, err := mapEngines[i].open(b.engineDir(i))
	if err != nil {
		return err
	}
	keys, values := make([]string, 0, 1000), make([]string, 0, 1000)
	for k := range b.n {
		keys, values = append(keys, mapKey(k, b.n)), append(values, recordText(k))
		if len(keys) == cap(keys) || k == b.n-1 {
			if err := errors.Join(b.ctx.Err(), db.Fill(keys, values)); err != nil {
				return errors.Join(err, db.Close())
			}
			keys, values = keys[:0], values[:0]
		}
	}
	return db.Close()
}

// openAll opens all maps, and notes how much memory each takes.
func (b *mapBench) openAll() error {
	for i, e := range mapEngines {
		before, err := anonymous()
		if err != nil {
			return err
		}
		db, err := e.open(b.engineDir(i))
		if err != nil {
			return err
		}
		b.dbs = append(b.dbs, db)
		if err := db.Range("", func(string, string) bool { return true }); err != nil {
			return err
		}
		after, err := anonymous()
		if err != nil {
			return err
		}
		b.memory = append(b.memory, after-before)
	}
	return nil
}

// round measures each engine once. The order is turned about each time.
func (b *mapBench) round(t *mapTest, one func(i int) (float64, error)) error {
	if t.got == nil {
		t.got = make([][]float64, len(mapEngines))
	}
	order := []int{0, 1, 2, 3}
	if len(t.got[0])%2 == 1 {
		slices.Reverse(order)
	}
	for _, i := range order {
		runtime.GC()
		v, err := one(i)
		if err := errors.Join(err, b.ctx.Err()); err != nil {
			return fmt.Errorf("%s: %w", mapEngines[i].name, err)
		}
		t.got[i] = append(t.got[i], v)
	}
	return nil
}

// all returns what is measured of open maps, as nanoseconds each or as a rate.
func (b *mapBench) all() []*mapTest {
	random := func() string { return mapKey(rand.IntN(b.n), b.n) }
	put := func(db mapDB) error { return db.Put(random(), recordText(int(b.updated.Add(1)))) }
	swap := func(db mapDB) error { return db.Swap(random(), random()) }
	return []*mapTest{
		{name: "Get", unit: "ns", one: b.gets},
		{name: "Get of a struct", unit: "ns", one: b.structs},
		{name: "Range of all", unit: "ns a key", one: b.scans},
		{name: "Range of all structs", unit: "ns a key", one: b.structScans},
		{name: "Range of 100", unit: "ns a key", one: b.ranges},
		{name: "Put, 1 goroutine", unit: "/s", one: rate(1, put)},
		{name: "  of package store", unit: "/s", one: b.bare(1)},
		{name: "Put, 64 goroutines", unit: "/s", one: rate(64, put)},
		{name: "  of package store", unit: "/s", one: b.bare(64)},
		{name: "Txn, 1 goroutine", unit: "/s", one: rate(1, swap)},
		{name: "Txn, 64 goroutines", unit: "/s", one: rate(64, swap)},
	}
}

// A record is what the values are, as JSON.
type record struct {
	Name  string
	Age   int
	Email string
	Tags  []string
}

// recordText returns a value of about 100 bytes.
func recordText(i int) string {
	return fmt.Sprintf(`{"Name":"Name %08d","Age":%d,"Email":"name%08d@example.com","Tags":["red","blue"]}`, i, i%100, i)
}

// openRecords makes a map of all the values, decoded, in memory as durable keeps it.
func (b *mapBench) openRecords() (err error) {
	b.records, err = durable.OpenMap(filepath.Join(b.dir, "records"), &durable.MapOptions[string, record]{
		Store: store.Options{Logger: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		return err
	}
	for from := 0; from < b.n && err == nil; from += 1000 {
		err = b.records.Txn(b.ctx, func(tx *durable.Tx[string, record]) error {
			for i := from; i < min(from+1000, b.n); i++ {
				var r record
				if err := json.Unmarshal([]byte(recordText(i)), &r); err != nil {
					return err
				}
				tx.Put(mapKey(i, b.n), r)
			}
			return nil
		})
	}
	return err
}

// each returns how long do takes for each of n random keys.
func (b *mapBench) each(n int, do func(key string) error) (float64, error) {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = mapKey(rand.IntN(b.n), b.n)
	}
	elapsed := stopwatch()
	for _, key := range keys {
		if err := do(key); err != nil {
			return 0, err
		}
	}
	return float64(elapsed().Nanoseconds()) / float64(n), nil
}

func (b *mapBench) gets(db mapDB, _ string) (float64, error) {
	return b.each(50_000, func(key string) error {
		_, err := db.Get(key)
		return err
	})
}

// structs gets Go values: package durable has them, the others decode.
func (b *mapBench) structs(db mapDB, _ string) (float64, error) {
	_, own := db.(durableMap)
	return b.each(50_000, func(key string) error {
		var r record
		if own {
			if r, own = b.records.Get(key); !own {
				return errNoKey
			}
			return nil
		}
		value, err := db.Get(key)
		if err == nil {
			err = json.Unmarshal([]byte(value), &r)
		}
		return err
	})
}

// scans returns the time for each key of a range that has all.
func (b *mapBench) scans(db mapDB, _ string) (float64, error) {
	elapsed := stopwatch()
	err := b.scan(db, "", b.n)
	return float64(elapsed().Nanoseconds()) / float64(b.n), err
}

// scan looks at n keys from from on, and at their values.
func (b *mapBench) scan(db mapDB, from string, n int) error {
	seen, sum := 0, 0
	err := db.Range(from, func(key, value string) bool {
		seen++
		sum += len(key) + int(value[len(value)-1])
		return seen < n
	})
	if err == nil && (seen != n || sum < n) {
		err = fmt.Errorf("a range of %d keys from %q on has %d", n, from, seen)
	}
	return err
}

// structScans is scans for Go values.
func (b *mapBench) structScans(db mapDB, _ string) (float64, error) {
	n, ages := 0, 0
	elapsed := stopwatch()
	var err error
	if _, own := db.(durableMap); own {
		for _, r := range b.records.All() {
			n++
			ages += r.Age
		}
	} else {
		n, ages, err = b.decodeAll(db)
	}
	if err == nil && (n == 0 || ages == 0) {
		err = fmt.Errorf("a range of all has %d keys, with ages of %d in all", n, ages)
	}
	return float64(elapsed().Nanoseconds()) / float64(n), err
}

// decodeAll decodes the first 100,000 values.
func (b *mapBench) decodeAll(db mapDB) (n, ages int, err error) {
	rerr := db.Range("", func(_, value string) bool {
		var r record
		err = json.Unmarshal([]byte(value), &r)
		n++
		ages += r.Age
		return err == nil && n < 100_000
	})
	return n, ages, errors.Join(err, rerr)
}

// ranges returns the time for each key of ranges of 100.
func (b *mapBench) ranges(db mapDB, _ string) (float64, error) {
	each, err := b.each(2000, func(key string) error {
		return b.scan(db, min(key, fmt.Sprintf("user:%010d", b.n-100)), 100)
	})
	return each / 100, err
}

// bare returns the rate of updates of a store without a state, as large as those of Put;
// it is what Put is to be compared with.
func (b *mapBench) bare(goroutines int) func(mapDB, string) (float64, error) {
	return func(db mapDB, _ string) (float64, error) {
		if _, own := db.(durableMap); !own {
			return math.NaN(), nil
		}
		return rate(goroutines, func(mapDB) error {
			return b.empty.Write([]byte(recordText(int(b.updated.Add(1)))))
		})(db, "")
	}
}

// rate returns a function that returns how often do is done in a second by so many
// goroutines.
func rate(goroutines int, do func(mapDB) error) func(mapDB, string) (float64, error) {
	return func(db mapDB, _ string) (float64, error) {
		if p, ok := db.(interface{ parallel(goroutines int) }); ok {
			p.parallel(goroutines)
		}
		var wg sync.WaitGroup
		counts, errs := make([]int, goroutines), make([]error, goroutines)
		start := time.Now()
		for g := range goroutines {
			wg.Go(func() {
				for time.Since(start) < time.Second && errs[g] == nil {
					errs[g] = do(db)
					counts[g]++
				}
			})
		}
		wg.Wait()
		sum := 0
		for _, n := range counts {
			sum += n
		}
		return float64(sum) / time.Since(start).Seconds(), errors.Join(errs...)
	}
}

// table returns the figures, with how many times as good the first engine is.
func (b *mapBench) table() string {
	names := []string{}
	for i, e := range mapEngines {
		names = append(names, e.name)
		if i > 0 {
			names = append(names, "")
		}
	}
	t := newTable(fmt.Sprintf("%d keys, values of %d bytes", b.n, len(recordText(0))), names...)
	for _, test := range b.tests {
		var cells []string
		for i, got := range test.got {
			if math.IsNaN(got[0]) {
				cells = append(cells, "", "")
				continue
			}
			cells = append(cells, fmt.Sprintf("%.3g %s", median(got), test.unit))
			if i > 0 {
				r := ratios(test.got[0], got)
				if test.unit != "/s" {
					r = ratios(got, test.got[0])
				}
				cells = append(cells, fmt.Sprintf("%.2fx", median(r)))
			}
		}
		t.line(test.name, cells...)
	}
	var cells []string
	for i, m := range b.memory {
		cells = append(cells, fmt.Sprintf("%.0f MiB", float64(m)/(1<<20)))
		if i > 0 {
			cells = append(cells, fmt.Sprintf("%.2fx", float64(m)/float64(b.memory[0])))
		}
	}
	t.line("memory", cells...)
	return t.String()
}

// unsafeString returns b as a string, valid as long as b is not changed.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
