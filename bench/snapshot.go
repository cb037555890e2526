package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/store"
)

func snapshotCommand(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	dir := flags.String("dir", ".", "directory for the files, on the disk to measure: three times -size")
	rounds := flags.Int("rounds", 3, "rounds; figures are medians over them")
	size := flags.Int64("size", 256, "size of the snapshot in MiB")
	writers := flags.Int("writers", 16, "goroutines that make updates")
	quiet := flags.Duration("time", 3*time.Second, "how long updates are made without a snapshot, in a round")
	if err := parse(flags, args, "rounds", "size", "writers", "time"); err != nil {
		return err
	}
	return inTempDir(*dir, func(dir string) error {
		s, err := newSnapshotTest(dir, *size<<20, *writers)
		if err != nil {
			return err
		}
		for range *rounds {
			if err := s.round(ctx, *quiet); err != nil {
				return errors.Join(err, s.close())
			}
		}
		_, err = io.WriteString(out, s.table())
		return errors.Join(err, s.close())
	})
}

// A snapshotTest takes the time of each update of a store while a snapshot is
// written and while none is; and, to tell what of that the disk does, the time
// of each write of a plain loop, which overwrites and syncs, while a file as
// large as the snapshot is copied and while none is.
type snapshotTest struct {
	dir     string
	size    int64
	writers int
	store   *store.Store
	plain   engine.DB

	storeQuiet, storeBusy, plainQuiet, plainBusy phase
	memory                                       []int64         // bytes that a snapshot took, by round
	snapshotTook, copyTook                       []time.Duration // by round
}

func newSnapshotTest(dir string, size int64, writers int) (*snapshotTest, error) {
	s := &snapshotTest{dir: dir, size: size, writers: writers}
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o700); err != nil {
		return nil, err
	}
	source, err := engine.CreateWritten(s.path("source"), size)
	if err != nil {
		return nil, err
	}
	if err := source.Close(); err != nil {
		return nil, err
	}
	if s.plain, err = engine.Bound.Open(dir, engine.Options{Size: updateSize}); err != nil {
		return nil, err
	}
	s.store, err = store.Open(s.path("store"), blob(size), &store.Options{
		SnapshotBytes: -1, KeepSnapshots: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, errors.Join(err, s.plain.Close())
	}
	return s, nil
}

func (s *snapshotTest) path(name string) string { return filepath.Join(s.dir, name) }

func (s *snapshotTest) close() error { return errors.Join(s.store.Close(), s.plain.Close()) }

// round runs the four phases. The files of the busy ones are gone before the
// next begins.
func (s *snapshotTest) round(ctx context.Context, quiet time.Duration) error {
	wait := func() error {
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	w := engine.OfStore(s.store)
	if err := s.storeQuiet.measure(w, s.writers, wait); err != nil {
		return err
	}
	err := s.storeBusy.measure(w, s.writers, func() error {
		start := time.Now()
		memory, err := peakMemory(func() error { return s.store.Snapshot(ctx) })
		s.snapshotTook = append(s.snapshotTook, time.Since(start))
		s.memory = append(s.memory, memory)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.plainQuiet.measure(s.plain, 1, wait); err != nil {
		return err
	}
	err = s.plainBusy.measure(s.plain, 1, func() error {
		start := time.Now()
		err := copyFile(s.path("copy"), s.path("source"))
		s.copyTook = append(s.copyTook, time.Since(start))
		return err
	})
	return errors.Join(err, os.Remove(s.path("copy")))
}

// copyFile copies a file, durably.
func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// A phase is how long writes took, quantiles by round.
type phase struct{ p50, p99, max []time.Duration }

// measure lets goroutines write while do runs. Each makes one update at least: on one
// processor, do may have ended before any of them came to run.
func (p *phase) measure(w engine.DB, goroutines int, do func() error) error {
	var stop atomic.Bool
	var wg sync.WaitGroup
	took := make([][]time.Duration, goroutines)
	errs := make([]error, goroutines)
	for g := range goroutines {
		took[g] = make([]time.Duration, 0, 1<<19/goroutines) // no growth meanwhile
		wg.Go(func() {
			update := make([]byte, updateSize)
			for more := true; more; more = !stop.Load() && errs[g] == nil {
				start := time.Now()
				errs[g] = w.Write(update)
				took[g] = append(took[g], time.Since(start))
			}
		})
	}
	err := do()
	stop.Store(true)
	wg.Wait()
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	p.p50 = append(p.p50, quantile(all, 0.5))
	p.p99 = append(p.p99, quantile(all, 0.99))
	p.max = append(p.max, quantile(all, 1))
	return errors.Join(append(errs, err)...)
}

func (s *snapshotTest) table() string {
	t := newTable(fmt.Sprintf("%d MiB, latency of a write", s.size>>20), "p50", "p99", "max", "p99 is", "took")
	line := func(name string, p, quiet *phase, took string) {
		us := func(d []time.Duration) string { return median(d).Round(time.Microsecond).String() }
		t.line(name, us(p.p50), us(p.p99), us(p.max), fmt.Sprintf("%.2fx", median(ratios(p.p99, quiet.p99))), took)
	}
	seconds := func(d []time.Duration) string { return fmt.Sprintf("%.2f s", median(d).Seconds()) }
	line(fmt.Sprintf("store, %d writers", s.writers), &s.storeQuiet, &s.storeQuiet, "")
	line("  and a snapshot", &s.storeBusy, &s.storeQuiet, seconds(s.snapshotTook))
	line("plain loop, 1 writer", &s.plainQuiet, &s.plainQuiet, "")
	line("  and a file copy", &s.plainBusy, &s.plainQuiet, seconds(s.copyTook))
	return t.String() + fmt.Sprintf("extra memory of a snapshot: %.1f MiB\n", float64(median(s.memory))/(1<<20))
}

// blob is a machine with a snapshot of that many bytes.
type blob int64

func (blob) Apply([]byte) (any, error)        { return nil, nil }
func (b blob) Snapshot() (io.WriterTo, error) { return b, nil }

func (b blob) Restore(snapshot io.Reader) error {
	n, err := io.Copy(io.Discard, snapshot)
	if err == nil && n != int64(b) {
		err = fmt.Errorf("a snapshot of %d bytes, not %d", n, b)
	}
	return err
}

// WriteTo writes zeros, in pieces of 64 KiB.
func (b blob) WriteTo(w io.Writer) (n int64, err error) {
	zeros := make([]byte, 64<<10)
	for n < int64(b) && err == nil {
		var k int
		k, err = w.Write(zeros[:min(int64(len(zeros)), int64(b)-n)])
		n += int64(k)
	}
	return n, err
}
