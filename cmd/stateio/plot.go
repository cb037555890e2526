package main

import (
	"fmt"
	"math"
	"strings"
)

// A plot is a chart of lines: its values are on a logarithmic scale. Positions are in
// units of its picture, which is 640 wide and 300 high.
type plot struct {
	Title, About, XName string
	Legend              bool
	XTicks, YTicks      []tick
	Lines               []plotLine

	names []string // of the places on the x axis
}

// A tick is a place on an axis that has a name.
type tick struct {
	At   float64
	Text string
}

// A plotLine is a series as it is drawn.
type plotLine struct {
	Class, Points string
	Dots          []dot
}

// A dot is a value as it is drawn.
type dot struct {
	X, Y         float64
	Title, Label string
	Below        int // distance of the label
}

// A series is values, each with a text, and maybe a label that is drawn.
type series struct {
	class          string
	values         []float64
	titles, labels []string
}

// Where values are drawn.
const (
	plotLeft, plotRight = 64.0, 624.0
	plotTop, plotBottom = 16.0, 248.0
)

// draw draws the series of values, which are positive; name names those at the ticks.
func (p *plot) draw(name func(float64) string, all ...series) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range all {
		for _, v := range s.values {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if math.IsInf(low, 1) {
		return
	}
	ticks := logTicks(low, high)
	low, high = ticks[0], ticks[len(ticks)-1]
	y := func(v float64) float64 {
		return plotBottom - (plotBottom-plotTop)*math.Log(max(v, low)/low)/math.Log(high/low)
	}
	step := (plotRight - plotLeft) / float64(max(1, len(p.names)))
	x := func(i int) float64 { return plotLeft + (float64(i)+0.5)*step }
	for _, v := range ticks {
		p.YTicks = append(p.YTicks, tick{y(v), name(v)})
	}
	for i, text := range p.names {
		p.XTicks = append(p.XTicks, tick{x(i), text})
	}
	for _, s := range all {
		p.Lines = append(p.Lines, s.line(x, y))
	}
}

// line returns s as it is drawn, with positions by x and y.
func (s series) line(x func(int) float64, y func(float64) float64) plotLine {
	l := plotLine{Class: s.class}
	var points strings.Builder
	for i, v := range s.values {
		d := dot{X: x(i), Y: y(v), Title: s.titles[i], Below: 24}
		if d.Y > plotBottom-26 {
			d.Below = -12
		}
		if i < len(s.labels) {
			d.Label = s.labels[i]
		}
		fmt.Fprintf(&points, "%.1f,%.1f ", d.X, d.Y)
		l.Dots = append(l.Dots, d)
	}
	l.Points = strings.TrimSpace(points.String())
	return l
}

// logTicks returns round values, at least two, from one that is not above low to one that
// is not below high.
func logTicks(low, high float64) []float64 {
	steps := []float64{1, 2, 5}
	if high/low > 300 {
		steps = steps[:1]
	}
	var ticks []float64
	for e := math.Floor(math.Log10(low)); ; e++ {
		for _, step := range steps {
			v := step * math.Pow(10, e)
			if v <= low {
				ticks = ticks[:0]
			}
			ticks = append(ticks, v)
			if v >= high && len(ticks) > 1 {
				return ticks
			}
		}
	}
}
