package report

import (
	"fmt"
	"math"
	"strings"
)

// A chart is lines over named places, their values on a logarithmic scale. Positions are
// in units of its picture, which is 640 wide and 320 high.
type chart struct {
	Title, About, XName string
	XTicks, YTicks      []tick
	Lines               []line

	names []string // of the places on the x axis
}

// A tick is a place on an axis that has a name.
type tick struct {
	At   float64
	Text string
}

// A line is a series as it is drawn.
type line struct {
	Name, Class, Points string
	Dots                []dot
}

type dot struct {
	X, Y  float64
	Title string
}

// A series has a value for each place, or 0 where there is none.
type series struct {
	name   string
	values []float64
}

// Where values are drawn.
const (
	chartLeft, chartRight = 70.0, 628.0
	chartTop, chartBottom = 14.0, 262.0
)

// draw draws all of the series; say writes a value.
func (c *chart) draw(say func(float64) string, all []series) {
	low, high := math.Inf(1), 0.0
	for _, s := range all {
		for _, v := range s.values {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		return
	}
	ticks := logTicks(low, high)
	low, high = ticks[0], ticks[len(ticks)-1]
	y := func(v float64) float64 {
		return chartBottom - (chartBottom-chartTop)*math.Log(v/low)/math.Log(high/low)
	}
	step := (chartRight - chartLeft) / float64(len(c.names))
	x := func(i int) float64 { return chartLeft + (float64(i)+0.5)*step }
	for _, v := range ticks {
		c.YTicks = append(c.YTicks, tick{y(v), say(v)})
	}
	for i, text := range c.names {
		c.XTicks = append(c.XTicks, tick{x(i), text})
	}
	for _, s := range all {
		l := line{Name: s.name, Class: class(s.name)}
		var points strings.Builder
		for i, v := range s.values {
			if v > 0 {
				l.Dots = append(l.Dots, dot{x(i), y(v), fmt.Sprintf("%s, %s: %s", s.name, c.names[i], say(v))})
				fmt.Fprintf(&points, "%.1f,%.1f ", x(i), y(v))
			}
		}
		l.Points = strings.TrimSpace(points.String())
		c.Lines = append(c.Lines, l)
	}
}

// logTicks returns round values, at least two, from one that is not above low to one that
// is not below high.
func logTicks(low, high float64) []float64 {
	steps := []float64{1, 2, 5}
	if high/low > 100 {
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

// class returns the class by which the page gives an engine its colour.
func class(name string) string {
	return "e-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, name)
}
