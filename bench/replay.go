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
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/store"
)

func replayCommand(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	dir := flags.String("dir", ".", "directory for the files, on the disk to measure")
	rounds := flags.Int("rounds", 5, "rounds; figures are medians over them")
	updates := flags.Int("updates", 2_000_000, "updates in the log")
	size := flags.Int("size", updateSize, "size of an update in bytes")
	if err := parse(flags, args, "rounds", "updates", "size"); err != nil {
		return err
	}
	return inTempDir(*dir, func(dir string) error {
		r := &replay{dir: dir, updates: uint64(*updates)}
		if err := r.fill(*size); err != nil {
			return err
		}
		if err := r.measureMemory(); err != nil {
			return err
		}
		for i := range *rounds {
			if err := r.round(ctx, i); err != nil {
				return err
			}
		}
		return r.print(out, *size)
	})
}

// A replay opens a store again and again, in turn with a loop that reads the
// store's log and hashes it, on one core, and does nothing else.
//
// From the disk means that the pages of the log are dropped before, as after a
// reboot: Open drops them itself, since what the page cache shows need not be
// what the disk holds. RestoreAt does not, so it is compared with the loop over
// cached pages.
type replay struct {
	dir     string
	updates uint64
	bytes   int64 // size of the log

	open, read             []time.Duration // from the disk, by round
	restore, readCached    []time.Duration // from the page cache
	openMemory, restMemory int64           // bytes, in a round of its own
}

func (r *replay) options() *store.Options {
	return &store.Options{SnapshotBytes: -1, PreallocateBytes: 64 << 20, Logger: slog.New(slog.DiscardHandler)}
}

func (r *replay) log() string { return filepath.Join(r.dir, fmt.Sprintf("%020d.log", 0)) }

// fill makes the store.
func (r *replay) fill(size int) error {
	s, err := store.Open(r.dir, &engine.Stateless{}, r.options())
	if err != nil {
		return err
	}
	update := make([]byte, size)
	for range r.updates {
		if _, err := s.Submit(update); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	info, err := os.Stat(r.log())
	if err == nil {
		r.bytes = info.Size()
	}
	return err
}

// round times all once. A different engine reads the disk first each time: it takes a
// few percent longer, as the host of a virtual disk has caches too.
func (r *replay) round(ctx context.Context, i int) error {
	steps := []func() error{r.timeRead, r.timeOpen, r.timeReadCached, r.timeRestore}
	slices.Reverse(steps[:1+i%2])
	for _, step := range steps {
		if err := errors.Join(ctx.Err(), step()); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) timeOpen() error {
	err := r.drop()
	start := time.Now()
	s, openErr := store.Open(r.dir, &engine.Stateless{}, r.options())
	if err := errors.Join(err, openErr); err != nil {
		return err
	}
	r.open = append(r.open, time.Since(start))
	return errors.Join(r.complete(s), s.Close())
}

// complete returns an error if s does not have all updates.
func (r *replay) complete(s *store.Store) error {
	if s.Index() != r.updates {
		return fmt.Errorf("the store has %d updates, not %d", s.Index(), r.updates)
	}
	return nil
}

func (r *replay) timeRestore() error {
	start := time.Now()
	err := r.restoreAll()
	r.restore = append(r.restore, time.Since(start))
	return err
}

func (r *replay) restoreAll() error {
	return store.RestoreAt(context.Background(), r.dir, &engine.Stateless{}, r.updates, nil)
}

// measureMemory does all once before it is timed: to look at the memory takes
// time, and what is used again later is not seen.
func (r *replay) measureMemory() error {
	err := r.drop()
	var s *store.Store
	var openErr, restoreErr error
	r.openMemory, openErr = peakMemory(func() (err error) {
		s, err = store.Open(r.dir, &engine.Stateless{}, r.options())
		return err
	})
	if err := errors.Join(err, openErr); err != nil {
		return err
	}
	err = errors.Join(r.complete(s), s.Close())
	r.restMemory, restoreErr = peakMemory(r.restoreAll)
	return errors.Join(err, restoreErr)
}

func (r *replay) timeRead() error {
	err := r.drop()
	start := time.Now()
	err = errors.Join(err, r.readLog())
	r.read = append(r.read, time.Since(start))
	return err
}

func (r *replay) timeReadCached() error {
	err := r.readLog() // into the cache
	start := time.Now()
	err = errors.Join(err, r.readLog())
	r.readCached = append(r.readCached, time.Since(start))
	return err
}

// readLog reads the log and hashes it.
func (r *replay) readLog() error {
	f, err := os.Open(r.log())
	if err != nil {
		return err
	}
	defer f.Close()
	h := xxhash.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 256<<10))
	if err == nil && n != r.bytes {
		err = fmt.Errorf("%s has %d bytes, not %d", r.log(), n, r.bytes)
	}
	return err
}

// drop makes the kernel forget the log.
func (r *replay) drop() error {
	f, err := os.Open(r.log())
	if err != nil {
		return err
	}
	defer f.Close()
	return engine.DropCache(f)
}

func (r *replay) print(out io.Writer, size int) error {
	t := newTable(fmt.Sprintf("%d updates of %d bytes, a log of %d MB", r.updates, size, r.bytes/1e6), "MB/s", "of the loop", "extra memory")
	line := func(name string, took, loop []time.Duration, memory string) {
		t.line(name, fmt.Sprintf("%.0f", float64(r.bytes)/1e6/median(took).Seconds()),
			fmt.Sprintf("%.2fx", median(ratios(loop, took))), memory)
	}
	line("read + XXH64, from the disk", r.read, r.read, "")
	line("Open, from the disk", r.open, r.read, mebibytes(r.openMemory))
	line("read + XXH64, cached", r.readCached, r.readCached, "")
	line("RestoreAt, cached", r.restore, r.readCached, mebibytes(r.restMemory))
	_, err := io.WriteString(out, t.String())
	return err
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
