package main

import (
	"fmt"
	"io"
	"time"
)

// A report is the outcome of a job.
type report struct {
	*options
	pkg  string
	out  io.Writer
	took time.Duration

	killed, harmless, survived, unreached int
}

// all returns the number of mutants so far.
func (r *report) all() int { return r.killed + r.harmless + r.survived + r.unreached }

// percent returns how many of the mutants that can do harm were caught.
func (r *report) percent() float64 {
	if r.all() == r.harmless {
		return 100
	}
	return 100 * float64(r.killed) / float64(r.all()-r.harmless)
}

// note counts the fate of a mutant, and prints it if it is of interest.
func (r *report) note(f fate) {
	switch {
	case f.killer != "":
		r.killed++
		if r.verbose {
			r.line(f, "caught by "+f.killer)
		}
	case f.reached:
		r.survived++
		r.line(f, "SURVIVED")
	default:
		r.unreached++
		r.line(f, "NOT REACHED")
	}
}

// spare counts a mutant that is listed as harmless.
func (r *report) spare(m *mutant) {
	r.harmless++
	if r.verbose {
		r.line(fate{mutant: m}, "harmless: "+r.list.reasons[m.key(r.root)])
	}
}

func (r *report) line(f fate, what string) {
	_, _ = fmt.Fprintf(r.out, "%s: %s: %s\n\t- %s\n\t+ %s\n", f.place(r.root), f.fn, what, f.before(), f.after())
}

// sum prints the figures.
func (r *report) sum() {
	_, _ = fmt.Fprintf(r.out, "%-17s %5d mutants: %4d caught, %3d harmless as listed, %3d survived, %3d not reached; caught: %.1f%% of those that do harm, %.1f%% of all; %.0f s\n",
		r.pkg, r.all(), r.killed, r.harmless, r.survived, r.unreached, r.percent(),
		100*float64(r.killed)/float64(max(r.all(), 1)), r.took.Seconds())
}
