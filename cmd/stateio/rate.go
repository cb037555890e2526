package main

import (
	"strings"
	"time"
)

// rateSteps is the most steps of time that a rate has.
const rateSteps = 60

// A rate counts updates over time, in steps that grow as time passes: memory is bounded,
// and the times need not be known before.
type rate struct {
	begin  time.Time // of the first step
	step   time.Duration
	counts []uint64
	until  time.Time // of the last update
	total  uint64
}

// add counts an update of that time, which is not before the one of the last.
func (r *rate) add(at time.Time) {
	if r.total++; r.total == 1 {
		r.begin, r.step = at, time.Millisecond
	}
	r.until = at
	i := int64(at.Sub(r.begin) / r.step)
	for ; i >= rateSteps; i /= 2 {
		r.double()
	}
	for int64(len(r.counts)) <= i {
		r.counts = append(r.counts, 0)
	}
	r.counts[max(i, 0)]++
}

// double makes each step twice as long.
func (r *rate) double() {
	r.step *= 2
	half := make([]uint64, (len(r.counts)+1)/2)
	for i, n := range r.counts {
		half[i/2] += n
	}
	r.counts = half
}

// A jsonRate is what is told of a rate.
type jsonRate struct {
	Mean   float64  `json:"per_second"`
	Most   float64  `json:"most_per_second"` // in one step
	Step   float64  `json:"step_seconds"`
	Counts []uint64 `json:"counts"` // of each step, from the first update on
}

// told returns what is told of r: nothing, if it has no two updates at different times.
func (r *rate) told() *jsonRate {
	span := r.until.Sub(r.begin)
	if r.total < 2 || span <= 0 {
		return nil
	}
	out := &jsonRate{Mean: float64(r.total-1) / span.Seconds(), Step: r.step.Seconds(), Counts: r.counts}
	for i, n := range r.counts {
		step := r.step
		if rest := span - time.Duration(i)*r.step; i > 0 && rest < step {
			continue // the last one is not over, and says little
		}
		out.Most = max(out.Most, float64(n)/step.Seconds())
	}
	out.Most = max(out.Most, out.Mean)
	return out
}

// curve returns a line of small bars, one for each step.
func (r *jsonRate) curve() string {
	const bars = "▁▂▃▄▅▆▇█"
	heights := []rune(bars)
	most := uint64(1)
	for _, n := range r.Counts {
		most = max(most, n)
	}
	var b strings.Builder
	for _, n := range r.Counts {
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(heights[(n*uint64(len(heights))-1)/most])
	}
	return b.String()
}
