package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// A table is text in columns, with a title and names of columns.
type table struct {
	text strings.Builder
	tabs *tabwriter.Writer
}

func newTable(title string, columns ...string) *table {
	t := new(table)
	t.tabs = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	t.line(title, columns...)
	return t
}

func (t *table) line(name string, cells ...string) {
	_, _ = fmt.Fprintln(t.tabs, strings.Join(append([]string{name}, cells...), "\t")) // to memory
}

// String returns the whole table, followed by an empty line.
func (t *table) String() string {
	_ = t.tabs.Flush() // to memory
	return t.text.String() + "\n"
}

// median returns the middle one of values, of which there is at least one.
func median[T cmp.Ordered](values []T) T { return quantile(values, 0.5) }

// quantile returns the value that the part q, 0 to 1, of values does not
// exceed.
func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// ratios returns a[i] / b[i] for each i.
func ratios[T ~int64 | ~float64](a, b []T) []float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = float64(a[i]) / float64(b[i])
	}
	return r
}
