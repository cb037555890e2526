package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// slow takes a millisecond for each update, one after the other.
type slow struct{ turn chan struct{} }

func (s slow) Write([]byte) error {
	s.turn <- struct{}{}
	time.Sleep(time.Millisecond) // of the bubble
	<-s.turn
	return nil
}

func (slow) Close() error { return nil }

// An update waits from when it was due: of an engine that is half as fast as it must be,
// the last has waited for as long as all the others took too much.
func TestUpdatesWaitFromWhenTheyWereDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("slow", slow{make(chan struct{}, 1)})
		l.sleep = time.Sleep
		if err := l.run(2000, 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		r := l.result(2000, 0.5)
		// 100 updates are due until 49.5 ms, and durable until 100 ms.
		if r.Count != 100 || r.Max < 0.0504 || r.Max > 0.0506 || r.P50 < 0.025 || r.P50 > 0.0265 || r.Made < 999 || r.Made > 1001 {
			t.Errorf("%+v", r)
		}
		l.forget()
		if err := l.run(500, 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		// At half of what it can do, each takes its own time.
		if r := l.result(500, 0.5); r.Count != 25 || r.P50 < 0.000999 || r.Max > 0.00101 {
			t.Errorf("%+v", r)
		}
	})
}

// failing fails.
type failing struct{ idle }

var errFailing = errors.New("it fails")

func (failing) Write([]byte) error { return errFailing }

func TestALaneEndsWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("failing", failing{})
		l.sleep = time.Sleep
		if err := l.run(1000, 10*time.Millisecond); !errors.Is(err, errFailing) {
			t.Errorf("%v", err)
		}
	})
}

// The rate is that of the slowest peer that groups updates, of those with many goroutines.
func TestTheRateIsThatOfTheSlowest(t *testing.T) {
	a := &comparison{engines: []engine.Engine{engine.Store, engine.Bound, {Name: "fast"}, {Name: "slow"}, {Name: "serial", Kind: engine.Serial}}, report: &report.Report{}}
	add := func(name string, goroutines int, rate float64) {
		a.report.Closed = append(a.report.Closed, report.Closed{Engine: name, Size: updateSize, Goroutines: goroutines, Rate: report.Spread{Median: rate}})
	}
	add("store", 256, 300)
	if got := a.slowestGrouped(); got != 300 {
		t.Errorf("without peers it is %v, not that of the store", got)
	}
	add("bound", 256, 200)
	add("slow", 1, 150)
	add("slow", 256, 5000)
	add("slow", 1024, 160)
	add("fast", 256, 9000)
	add("serial", 16, 110)
	if got := a.slowestGrouped(); got != 5000 {
		t.Errorf("it is %v", got)
	}
}
