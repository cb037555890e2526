package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stateio/stateio/bench/child"
	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// recovery measures how long it takes to open what has many updates, and what these need.
func (a *comparison) recovery(ctx context.Context, dir string) error {
	const part = "opening"
	var all []*filled
	for i, e := range a.engines {
		if e.Whole() {
			continue
		}
		a.progress("%d updates: %s", a.size.updates, e.Name)
		f, err := fill(ctx, e, filepath.Join(dir, strconv.Itoa(i)), a.size.updates, true)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.failed(part, e.Name, err)
			continue
		}
		all = append(all, f)
	}
	for round := range a.size.rounds {
		a.progress("opening them, %d of %d", round+1, a.size.rounds)
		for _, f := range all {
			if f.failed != nil {
				continue
			}
			if f.failed = f.open(ctx); f.failed != nil {
				a.failed(part, f.job.Engine, f.failed)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, f := range all {
		if f.failed == nil {
			a.report.Recovery = append(a.report.Recovery, f.result())
		}
	}
	return nil
}

// growth measures how long it takes to open the store after more and more updates.
func (a *comparison) growth(ctx context.Context, dir string) error {
	for _, snapshots := range []bool{false, true} {
		updates := 10_000
		for range a.size.growth - 3 {
			a.progress("the store with %d updates, snapshots: %t", updates, snapshots)
			own := filepath.Join(dir, "store")
			f, err := fill(ctx, a.engines[0], own, updates, !snapshots)
			for i := 0; i < a.size.rounds && err == nil; i++ {
				err = f.open(ctx)
			}
			if err := errors.Join(err, os.RemoveAll(own)); err != nil {
				return err
			}
			a.report.Growth = append(a.report.Growth, report.Growth{
				Updates: updates, Snapshots: snapshots, Open: median(f.opened), Disk: f.disk,
			})
			updates *= 10
		}
	}
	return nil
}

// filled is a log or database with many updates, which is closed.
type filled struct {
	job          child.Job
	all          bool  // it hands out all of the updates
	disk         int64 // bytes
	memory       int64 // to write it
	opened, read []float64
	memoryToOpen int64
	failed       error
}

// fill has a process make a log or database in dir, which is made.
func fill(ctx context.Context, e engine.Engine, dir string, updates int, keepLog bool) (*filled, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	f := &filled{
		job: child.Job{Do: "fill", Engine: e.Name, Dir: dir, Size: updateSize, Updates: updates, KeepLog: keepLog},
		all: keepLog,
	}
	var done child.Filled
	err := f.job.Run(ctx, &done)
	if err != nil {
		return nil, fmt.Errorf("writing %d updates: %w", updates, err)
	}
	f.memory = done.Memory
	f.disk, err = diskUse(dir)
	return f, err
}

// open has a process open it and read all, from the disk.
func (f *filled) open(ctx context.Context) error {
	if err := dropCaches(f.job.Dir); err != nil {
		return err
	}
	j := f.job
	j.Do = "open"
	var o child.Opened
	if err := j.Run(ctx, &o); err != nil {
		return fmt.Errorf("opening %d updates: %w", j.Updates, err)
	}
	if f.all && o.Updates != j.Updates {
		return fmt.Errorf("%d updates were written, and %d read", j.Updates, o.Updates)
	}
	f.opened, f.read = append(f.opened, o.Open.Seconds()), append(f.read, o.Read.Seconds())
	f.memoryToOpen = max(f.memoryToOpen, o.Memory)
	return nil
}

func (f *filled) result() report.Recover {
	return report.Recover{
		Engine: f.job.Engine, Updates: f.job.Updates, Size: f.job.Size,
		Open: spread(f.opened), Read: spread(f.read),
		Disk: f.disk, PerByte: float64(f.disk) / float64(f.job.Updates*f.job.Size),
		FillMemory: f.memory, OpenMemory: f.memoryToOpen,
	}
}
