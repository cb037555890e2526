package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/bench/engine"
)

// BenchmarkCommit is the comparison that the command commit makes, short: one
// op is one round. Metrics are the store's speed, and how often as fast as each
// other engine it is.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint("goroutines=", n), func(b *testing.B) {
			r, err := newRace(b.TempDir(), engine.Present(engine.All()), n, updateSize, slice)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := r.round(context.Background(), 100*time.Millisecond); err != nil {
					b.Error(err)
					break
				}
			}
			b.ReportMetric(0, "ns/op") // means nothing here
			b.ReportMetric(median(r.rates[0]), "updates/s")
			for i, e := range r.engines[1:] {
				b.ReportMetric(r.ratio(i+1), "x-"+strings.ReplaceAll(e.Name, " ", "-"))
			}
			if err := r.close(); err != nil {
				b.Error(err)
			}
		})
	}
}

// Every engine takes updates of many goroutines, and has them when it is opened again: the
// bound, which is not, in its file.
func TestEngines(t *testing.T) {
	for _, e := range engine.Present(engine.All()) {
		t.Run(e.Name, func(t *testing.T) {
			dir, goroutines := t.TempDir(), 8
			w, err := e.Open(dir, engine.Options{Goroutines: goroutines, Size: updateSize})
			if err != nil {
				t.Fatal(err)
			}
			if e.Whole() {
				goroutines = 1
			}
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					for i := range 3 {
						if err := w.Write(numbered(g, i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			var there []byte
			if e.Whole() {
				there = readAll(t, dir)
			} else if _, _, err := e.OpenAndRead(dir, engine.Options{}, func(update []byte) error {
				there = append(there, update...)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for g := range goroutines {
				for i := range 3 {
					if !bytes.Contains(there, numbered(g, i)) {
						t.Errorf("update %d of goroutine %d is not there", i, g)
					}
				}
			}
		})
	}
}

// numbered returns an update that is like no other.
func numbered(g, i int) []byte {
	return fmt.Appendf(nil, "%08d update %0*d", g*1000+i, updateSize-len("00000000 update "), g*1000+i)
}

// readAll returns what is in all files below dir.
func readAll(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A commandTest is a command, and the names in the lines of its table.
type commandTest struct {
	args string
	want []string
}

// Each command prints a table with a line for all that it compares.
func TestCommands(t *testing.T) {
	testCommands(t, []commandTest{
		{"commit -rounds 1 -time 10ms -goroutines 2 -only bound", []string{"store", "bound"}},
		{"replay -rounds 2 -updates 1000", []string{"read + XXH64, from the disk", "Open, from the disk", "read + XXH64, cached", "RestoreAt, cached"}},
		{"snapshot -rounds 2 -size 2 -time 20ms", []string{"store, 16 writers", "  and a snapshot", "plain loop, 1 writer", "  and a file copy"}},
	})
}

func testCommands(t *testing.T, tests []commandTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var out strings.Builder
			if err := run(t.Context(), strings.Fields(tt.args), &out); err != nil {
				t.Fatal(err)
			}
			table, _, _ := strings.Cut(out.String(), "\n\n")
			lines := strings.Split(table, "\n")[1:]
			if len(lines) != len(tt.want) {
				t.Fatalf("there should be %d lines:\n%s", len(tt.want), out.String())
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, tt.want[i]+"  ") || !strings.Contains(line, "x") {
					t.Errorf("line %d should be about %s:\n%s", i, tt.want[i], out.String())
				}
			}
		})
	}
}

func TestWrongCommands(t *testing.T) {
	for _, args := range []string{
		"race", "commit -goroutines 0", "commit -goroutines x", "commit -only nothing", "commit -dir /nowhere/at/all",
		"commit -rounds 0", "commit -time -1s", "replay -rounds 0", "replay -size -1", "snapshot -writers 0", "snapshot -time 0", "maps -keys 99",
		"commit pebble", "all commit", "maps x", "replay x", "snapshot x",
	} {
		if err := run(t.Context(), strings.Fields(args), &strings.Builder{}); err == nil {
			t.Errorf("bench %s was done", args)
		}
	}
}

// Writers that come to run when all is over make an update nevertheless: there is something
// to take the quantiles of.
func TestAPhaseIsNeverEmpty(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var p phase
	if err := p.measure(idle{}, 2, func() error { return nil }); err != nil || len(p.p50) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if err := p.measure(failing{}, 2, func() error { return nil }); !errors.Is(err, errFailing) {
		t.Errorf("%v", err)
	}
}

func TestQuantile(t *testing.T) {
	for _, tt := range []struct {
		values []int
		q      float64
		want   int
	}{
		{[]int{5}, 0, 5},
		{[]int{5}, 1, 5},
		{[]int{3, 1, 2}, 0, 1},
		{[]int{3, 1, 2}, 0.5, 2},
		{[]int{3, 1, 2}, 1, 3},
		{[]int{4, 3, 1, 2}, 0.99, 4},
	} {
		if got := quantile(tt.values, tt.q); got != tt.want {
			t.Errorf("quantile(%v, %v) = %d, want %d", tt.values, tt.q, got, tt.want)
		}
	}
}
