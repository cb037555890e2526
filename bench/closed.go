package main

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// mostAtOnce is how many bytes the updates of all goroutines have together, at most.
const mostAtOnce = 64 << 20

// mostSerial is how many goroutines engines get that sync for each update: with more of
// them the rate is the same, and each waits longer.
const mostSerial = 16

// closedLoop measures updates made one after the other by each goroutine.
func (a *comparison) closedLoop(ctx context.Context, dir string) error {
	for _, size := range a.size.sizes {
		for _, goroutines := range a.size.goroutines {
			if size*goroutines > mostAtOnce {
				continue
			}
			a.progress("updates of %d bytes by %d goroutines", size, goroutines)
			err := inTempDir(dir, func(dir string) error { return a.closedCell(ctx, dir, goroutines, size) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// closedCell measures one size and number of goroutines. An engine that fails is left out
// of all of the rounds.
func (a *comparison) closedCell(ctx context.Context, dir string, goroutines, size int) error {
	contenders := slices.DeleteFunc(slices.Clone(a.engines), func(e engine.Engine) bool {
		return e.Kind == engine.Serial && goroutines > mostSerial
	})
	for {
		var r *race
		err := inTempDir(dir, func(dir string) (err error) {
			r, err = newRace(dir, contenders, goroutines, size, min(slice, a.size.each))
			if err != nil {
				return err
			}
			for i := 0; i < a.size.rounds && err == nil; i++ {
				err = r.round(ctx, a.size.each)
			}
			return errors.Join(err, r.close())
		})
		var failed *engineError
		if errors.As(err, &failed) && failed.name != contenders[0].Name {
			a.failed(strconv.Itoa(size)+" bytes by "+strconv.Itoa(goroutines)+" goroutines", failed.name, failed.err)
			contenders = slices.DeleteFunc(contenders, func(e engine.Engine) bool { return e.Name == failed.name })
			continue
		}
		if err != nil {
			return err
		}
		for i, e := range r.engines {
			a.report.Closed = append(a.report.Closed, report.Closed{
				Engine: e.Name, Size: size, Goroutines: goroutines, Rate: spread(r.rates[i]), Ratio: r.ratio(i),
			})
		}
		return nil
	}
}

// spread sums up the values of rounds.
func spread(values []float64) report.Spread {
	return report.Spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// An engineError is one of an engine, without which the others can go on.
type engineError struct {
	name string
	err  error
}

func (e *engineError) Error() string { return e.name + ": " + e.err.Error() }
func (e *engineError) Unwrap() error { return e.err }
