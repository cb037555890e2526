package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// openRounds is in how many turns an engine gets the updates of one rate.
const openRounds = 3

// openLoop measures how long updates take that are due at a fixed rate: of the engines
// that group them, which can bear it, and of a writer that does nothing.
func (a *comparison) openLoop(ctx context.Context, dir string) error {
	contenders := slices.DeleteFunc(slices.Clone(a.engines), func(e engine.Engine) bool {
		return e.Kind != engine.Grouped || e.Whole()
	})
	lanes := a.lanes(dir, append(contenders, schedule))
	defer func() {
		for _, l := range lanes {
			if err := l.db.Close(); err != nil && !l.failed {
				a.failed("at a fixed rate", l.name, fmt.Errorf("closing: %w", err))
			}
		}
	}()
	most := a.slowestGrouped()
	for _, part := range []float64{0.25, 0.5, 0.75} {
		a.progress("%.0f updates a second", most*part)
		if err := a.openRate(ctx, lanes, most*part); err != nil {
			return err
		}
		for _, l := range lanes {
			if l.failed {
				continue
			}
			a.report.Open = append(a.report.Open, l.result(most*part, part))
		}
	}
	return nil
}

// openRate lets all lanes have updates at one rate, in turn.
func (a *comparison) openRate(ctx context.Context, lanes []*lane, rate float64) error {
	order := slices.Clone(lanes)
	each := a.size.due / openRounds
	for round := range openRounds {
		for _, l := range order {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if l.failed {
				continue
			}
			var err error
			if round == 0 {
				err = l.run(rate, each/4) // to warm up
				l.forget()
			}
			if err = errors.Join(err, l.run(rate, each)); err != nil {
				l.failed = true
				a.failed(fmt.Sprintf("%.0f updates a second", rate), l.name, err)
			}
		}
		slices.Reverse(order)
	}
	return nil
}

// slowestGrouped returns how many updates a second the slowest of the peers makes that
// group them, with many goroutines: of the store if there is none.
func (a *comparison) slowestGrouped() float64 {
	rate := 0.0
	for _, e := range a.engines[1:] {
		own := a.rateOf(e.Name)
		if e.Kind == engine.Grouped && !e.Whole() && own > 0 && (rate == 0 || own < rate) {
			rate = own
		}
	}
	if rate == 0 {
		rate = a.rateOf(a.engines[0].Name)
	}
	return max(rate, 100) // a rate has to be one
}

// rateOf returns how fast an engine was with many goroutines, but not more than 256.
func (a *comparison) rateOf(name string) float64 {
	rate, goroutines := 0.0, 0
	for _, c := range a.report.Closed {
		if c.Engine == name && c.Size == updateSize && c.Goroutines >= goroutines && c.Goroutines <= 256 {
			rate, goroutines = c.Rate.Median, c.Goroutines
		}
	}
	return rate
}

// lanes opens engines in dir, those that can be.
func (a *comparison) lanes(dir string, all []engine.Engine) []*lane {
	var lanes []*lane
	for i, e := range all {
		own := filepath.Join(dir, strconv.Itoa(i))
		err := os.Mkdir(own, 0o700)
		var db engine.DB
		if err == nil {
			db, err = e.Open(own, engine.Options{Goroutines: laneWriters, Size: updateSize})
		}
		if err != nil {
			a.failed("at a fixed rate", e.Name, err)
			continue
		}
		lanes = append(lanes, newLane(e.Name, db))
	}
	return lanes
}

// schedule makes nothing durable: what an update takes with it is what the clock and the
// scheduler add.
var schedule = engine.Engine{
	Name: "schedule",
	Open: func(string, engine.Options) (engine.DB, error) { return idle{}, nil },
}

type idle struct{}

func (idle) Write([]byte) error { return nil }
func (idle) Close() error       { return nil }

// result is what a lane has measured since the last forget.
func (l *lane) result(rate, part float64) report.Open {
	seconds := func(percent float64) float64 {
		return time.Duration(l.waits.ValueAtPercentile(percent)).Seconds()
	}
	return report.Open{
		Engine: l.name, Rate: rate, Part: part, Size: updateSize,
		Count: l.waits.TotalCount(), Made: float64(l.waits.TotalCount()) / l.took.Seconds(),
		P50: seconds(50), P99: seconds(99), P999: seconds(99.9), Max: seconds(100),
	}
}
