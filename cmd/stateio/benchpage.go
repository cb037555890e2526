package main

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"strconv"
	"time"
)

//go:embed page/bench.html
var benchPage string

// A benchReport is what the page of a bench shows. The page is whole in itself: it has no
// script, and loads nothing.
type benchReport struct {
	benchResult
	When         string
	Tiles        []tile
	Plots        []plot
	Bars         []span
	BarsHeight   int
	SnapshotSize string
}

// A tile is a figure in large type.
type tile struct{ Value, Name string }

// A span is a bar for a length of time.
type span struct {
	Name, Text    string
	Y, Top, Width float64
}

// writePage writes the page that shows r.
func writePage(w io.Writer, r benchResult) error {
	page, err := template.New("bench").Funcs(template.FuncMap{
		"px":    func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) },
		"brief": brief,
	}).Parse(benchPage)
	if err != nil {
		return err
	}
	report := benchReport{benchResult: r, When: r.Time.UTC().Format("2006-01-02 15:04 UTC"), SnapshotSize: fmt.Sprintf("%d MiB", r.Snapshot.Bytes>>20)}
	report.Tiles = r.tiles()
	report.Plots = append(report.Plots, r.syncPlot())
	for size, rates := range r.bySize {
		report.Plots = append(report.Plots, ratePlot(size, rates))
	}
	report.Bars, report.BarsHeight = r.bars()
	return page.Execute(w, report)
}

// tiles returns the figures that matter most.
func (r benchResult) tiles() []tile {
	out := []tile{{brief(r.Sync.P50).String(), "a write of 4 KiB and a sync, median"}}
	best := rateResult{}
	for _, one := range r.Rates {
		if one.Rate > best.Rate {
			best = one
		}
	}
	return append(out,
		tile{short(best.Rate) + "/s", fmt.Sprintf("durable updates of %d bytes, %d writers: %.2f of the bound", best.Size, best.Writers, best.Ratio())},
		tile{short(r.Replay.Rate) + "/s", fmt.Sprintf("updates replayed, %.0f MB/s", r.Replay.Bytes/1e6)},
		tile{brief(r.Snapshot.Longest).String(), "the longest update while a snapshot is written"},
	)
}

// bySize yields the rates of each size, by writers.
func (r benchResult) bySize(yield func(size int, rates []rateResult) bool) {
	for start := 0; start < len(r.Rates); {
		end := start
		for end < len(r.Rates) && r.Rates[end].Size == r.Rates[start].Size {
			end++
		}
		if !yield(r.Rates[start].Size, r.Rates[start:end]) {
			return
		}
		start = end
	}
}

// syncPlot returns the chart of how long syncs took.
func (r benchResult) syncPlot() plot {
	p := plot{
		Title: "A write of 4 KiB and a sync", XName: "percentile",
		About: fmt.Sprintf("%d of them, one after the other, over space that was written before.", r.Sync.Count),
	}
	l := series{class: "store"}
	for _, each := range r.Sync.Percentiles {
		text := strconv.FormatFloat(each.Percent, 'f', -1, 64)
		if each.Percent == 100 {
			text = "max"
		}
		p.names = append(p.names, text)
		l.values = append(l.values, each.Took.Seconds())
		l.titles = append(l.titles, text+": "+brief(each.Took).String())
	}
	p.draw(func(f float64) string { return brief(time.Duration(f*1e9 + 0.5)).String() }, l)
	return p
}

// ratePlot returns the chart of the updates of one size.
func ratePlot(size int, rates []rateResult) plot {
	p := plot{
		Title: fmt.Sprintf("Durable updates of %d bytes a second", size), XName: "concurrent writers", Legend: true,
		About: "The numbers are ratios to the bound.",
	}
	bound, made := series{class: "bound"}, series{class: "store"}
	for _, each := range rates {
		p.names = append(p.names, strconv.Itoa(each.Writers))
		bound.values = append(bound.values, each.Bound)
		bound.titles = append(bound.titles, fmt.Sprintf("%d writers, bound: %.0f a second", each.Writers, each.Bound))
		made.values = append(made.values, each.Rate)
		made.titles = append(made.titles, fmt.Sprintf("%d writers: %.0f a second, %.2f of the bound", each.Writers, each.Rate, each.Ratio()))
		made.labels = append(made.labels, fmt.Sprintf("%.2f", each.Ratio()))
	}
	p.draw(short, bound, made)
	return p
}

// bars returns bars for how long a sync, an update and an update during a snapshot take.
func (r benchResult) bars() ([]span, int) {
	all := []struct {
		name string
		took time.Duration
	}{
		{"a sync, median", r.Sync.P50},
		{"a sync, 99 %", r.Sync.P99},
		{"the longest sync", r.Sync.Max},
		{"the longest update while the snapshot was written", r.Snapshot.Longest},
		{"the snapshot", r.Snapshot.Took},
	}
	if len(r.Rates) > 0 {
		one := r.Rates[0]
		all[1].name, all[1].took = fmt.Sprintf("an update of %d bytes with %d writer, 99 %%", one.Size, one.Writers), one.P99
	}
	longest := time.Duration(1)
	for _, each := range all {
		longest = max(longest, each.took)
	}
	const row = 48
	var out []span
	for i, each := range all {
		out = append(out, span{
			each.name, brief(each.took).String(),
			float64(i*row + 14), float64(i*row + 20), max(2, 540*float64(each.took)/float64(longest)),
		})
	}
	return out, len(all) * row
}

// short returns a number in three digits or so, with k or M.
func short(f float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if f >= unit.size {
			return strconv.FormatFloat(f/unit.size, 'g', 3, 64) + unit.name
		}
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}
