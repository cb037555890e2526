package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/stateio/stateio/bench/report"
	"github.com/stateio/stateio/store"
)

// snapshots measures updates while a large snapshot is written, and opening the store with
// one.
func (a *comparison) snapshots(ctx context.Context, dir string) error {
	const writers = 16
	a.progress("a snapshot of %d MiB", a.size.snapshot>>20)
	s, err := newSnapshotTest(dir, a.size.snapshot, writers)
	if err != nil {
		return err
	}
	if err := errors.Join(s.round(ctx, 4*a.size.each), s.close()); err != nil {
		return err
	}
	var opened []float64
	for range a.size.rounds {
		start := time.Now()
		again, err := store.Open(s.path("store"), blob(a.size.snapshot), &store.Options{
			SnapshotBytes: -1, KeepSnapshots: 1, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		opened = append(opened, time.Since(start).Seconds())
		if err := again.Close(); err != nil {
			return err
		}
	}
	seconds := func(all []time.Duration) float64 { return median(all).Seconds() }
	a.report.Snapshot = &report.Snapshot{
		Size: a.size.snapshot, Open: spread(opened),
		QuietP50: seconds(s.storeQuiet.p50), QuietP99: seconds(s.storeQuiet.p99),
		BusyP50: seconds(s.storeBusy.p50), BusyP99: seconds(s.storeBusy.p99), Longest: seconds(s.storeBusy.max),
		PlainP99: seconds(s.plainQuiet.p99), CopyP99: seconds(s.plainBusy.p99),
		Took: seconds(s.snapshotTook), Memory: median(s.memory),
	}
	return nil
}
