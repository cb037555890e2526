package report

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"px":        func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) },
	"count":     count,
	"bytes":     bytesize,
	"bytesint":  func(n int) string { return bytesize(int64(n)) },
	"duration":  duration,
	"ratio":     ratio,
	"thousands": thousands,
	"class":     class,
}).Parse(pageText))

// A view is what the page shows of a report.
type view struct {
	*Report
	When     string
	Length   string
	Names    []string // of the engines that have a line somewhere
	Rates    []chart
	Closes   []closedTable
	Waits    []chart
	Opens    []openTable
	Grown    *chart
	Outcomes []outcomeColumn
}

// WriteHTML writes the page that shows r. The page is whole in
// itself: it has no script, and loads nothing.
func WriteHTML(w io.Writer, r *Report) error {
	v := view{
		Report: r,
		When:   r.Started.UTC().Format("2006-01-02 15:04 UTC"),
		Length: duration(r.Took),
	}
	for _, e := range r.Engines {
		if e.Missing == "" {
			v.Names = append(v.Names, e.Name)
		}
	}
	v.Rates, v.Closes = r.closed(v.Names)
	v.Waits, v.Opens = r.opens(v.Names)
	v.Grown = r.grown()
	v.Outcomes = outcomeColumns
	return page.Execute(w, v)
}

// A closedTable has a line for each engine and a cell for each number of goroutines.
type closedTable struct {
	Size       string
	Goroutines []int
	Lines      []closedLine
}

type closedLine struct {
	Name  string
	Cells []*Closed // nil where nothing was measured
}

// distinct returns the values of all, in order.
func distinct[T any, K int | float64](all []T, key func(T) K) []K {
	var keys []K
	for _, each := range all {
		keys = append(keys, key(each))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// closed returns a chart and a table for each size.
func (r *Report) closed(names []string) (charts []chart, tables []closedTable) {
	goroutines := distinct(r.Closed, func(c Closed) int { return c.Goroutines })
	for _, size := range distinct(r.Closed, func(c Closed) int { return c.Size }) {
		c := chart{Title: "Updates of " + bytesize(int64(size)), XName: "goroutines"}
		t := closedTable{Size: bytesize(int64(size)), Goroutines: goroutines}
		for _, n := range goroutines {
			c.names = append(c.names, strconv.Itoa(n))
		}
		var all []series
		for _, name := range names {
			s, l := series{name, make([]float64, len(goroutines))}, closedLine{name, make([]*Closed, len(goroutines))}
			for i := range r.Closed {
				one := &r.Closed[i]
				if one.Engine == name && one.Size == size {
					at := slices.Index(goroutines, one.Goroutines)
					s.values[at], l.Cells[at] = one.Rate.Median, one
				}
			}
			if slices.Max(s.values) > 0 {
				all, t.Lines = append(all, s), append(t.Lines, l)
			}
		}
		c.draw(func(f float64) string { return count(f) + "/s" }, all)
		charts, tables = append(charts, c), append(tables, t)
	}
	return charts, tables
}

// An openTable has a line for each engine, at one rate.
type openTable struct {
	Rate, Part float64
	Lines      []Open
}

// opens returns a chart and a table for each rate.
func (r *Report) opens(names []string) (charts []chart, tables []openTable) {
	for _, part := range distinct(r.Open, func(o Open) float64 { return o.Part }) {
		c := chart{XName: "percentile", names: []string{"50", "99", "99.9", "max"}}
		t := openTable{Part: part}
		var all []series
		for _, o := range r.Open {
			if o.Part == part {
				t.Rate, t.Lines = o.Rate, append(t.Lines, o)
				all = append(all, series{o.Engine, []float64{o.P50, o.P99, o.P999, o.Max}})
			}
		}
		c.Title = fmt.Sprintf("%s updates a second", count(t.Rate))
		c.draw(duration, all)
		charts, tables = append(charts, c), append(tables, t)
	}
	return charts, tables
}

// grown returns the chart of how opening grows.
func (r *Report) grown() *chart {
	if len(r.Growth) == 0 {
		return nil
	}
	numbers := distinct(r.Growth, func(g Growth) int { return g.Updates })
	c := &chart{Title: "Time to open the store", XName: "updates"}
	for _, n := range numbers {
		c.names = append(c.names, thousands(n))
	}
	whole, short := series{store, make([]float64, len(numbers))}, series{"store, snapshots", make([]float64, len(numbers))}
	for _, g := range r.Growth {
		s := whole
		if g.Snapshots {
			s = short
		}
		s.values[slices.Index(numbers, g.Updates)] = g.Open
	}
	c.draw(duration, []series{whole, short})
	return c
}

// An outcomeColumn is a column of the table of damage.
type outcomeColumn struct {
	Name    string
	Of      func(Damage) Outcome
	refusal string // how the page marks an error, which is right after damage only
}

var outcomeColumns = []outcomeColumn{
	{"kill -9", func(d Damage) Outcome { return d.Kill }, "fair"},
	{"torn tail", func(d Damage) Outcome { return d.Torn }, "fair"},
	{"flipped bit", func(d Damage) Outcome { return d.Flipped }, "good"},
}

// Verdict says in a word or two how an engine came through; the class goes with it.
func (o Outcome) Verdict() string {
	switch {
	case o.Trials == 0:
		return "not tried"
	case o.Silent() > 0:
		return fmt.Sprintf("silent in %d of %d", o.Silent(), o.Trials)
	case o.Crashed > 0:
		return fmt.Sprintf("crashed in %d of %d", o.Crashed, o.Trials)
	case o.Refused > 0:
		return fmt.Sprintf("an error in %d of %d", o.Refused, o.Trials)
	}
	return fmt.Sprintf("whole in all %d", o.Trials)
}

// Class is how the page marks an outcome.
func (c outcomeColumn) Class(o Outcome) string {
	switch {
	case o.Trials == 0:
		return "none"
	case o.Silent() > 0:
		return "bad"
	case o.Crashed > 0:
		return "fair"
	case o.Refused > 0:
		return c.refusal
	}
	return "good"
}

// Note returns what there is to know of an engine.
func (v view) Note(name string) string {
	for _, e := range v.Engines {
		if e.Name == name {
			return e.Note
		}
	}
	return ""
}

// Details are the counts that are not zero.
func (o Outcome) Details() []string {
	var out []string
	add := func(n int, text string) {
		if n > 0 {
			out = append(out, fmt.Sprintf("%s %s", thousands(n), text))
		}
	}
	add(o.Whole, "opened, whole")
	add(o.Refused, "refused with an error")
	add(o.Crashed, "crashed or hung")
	add(o.Lost, "opened without an error, updates missing")
	add(o.Wrong, "opened without an error, updates wrong")
	add(o.LostUpdates, "acknowledged updates missing or changed in all")
	add(o.WrongUpdates, "updates that nobody wrote")
	return out
}
