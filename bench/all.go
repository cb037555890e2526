package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// allCommand does every comparison and writes a page and JSON. What it writes to out is
// the headline and where the files are; progress goes to standard error.
func allCommand(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	dir := flags.String("dir", ".", "directory for the files, on the disk to measure")
	html := flags.String("html", "bench.html", "`file` for the page")
	json := flags.String("json", "bench.json", "`file` for the figures")
	quick := flags.Bool("quick", false, "a short form, to try whether all of it works: its figures say little")
	growth := flags.Int("growth", 7, "the store grows to 10 to the power of this many updates; 8 needs 20 GB of disk")
	only := flags.String("only", "", "comma-separated `engines` to compare the store with (default all)")
	if err := parse(flags, args); err != nil {
		return err
	}
	all, err := choose(engines(), *only)
	if err != nil {
		return err
	}
	if *growth < 4 || *growth > 9 {
		return fmt.Errorf("-growth %d: it takes 4 to 9", *growth)
	}
	size := fullSize
	if *quick {
		size = quickSize
	}
	size.growth = min(size.growth, *growth)
	if !*quick {
		size.growth = *growth
	}
	a := &comparison{size: size, engines: engine.Present(all), log: os.Stderr, started: time.Now()}
	a.report = report.New(a.started, *quick, report.ThisMachine(*dir))
	a.describe(all)
	if err := inTempDir(*dir, func(dir string) error { return a.run(ctx, dir) }); err != nil {
		return err
	}
	a.report.End(time.Since(a.started))
	page := func(w io.Writer) error { return report.WriteHTML(w, a.report) }
	figures := func(w io.Writer) error { return report.WriteJSON(w, a.report) }
	if err := errors.Join(writeFile(*html, page), writeFile(*json, figures)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n\n%s\n%s\n", a.report.Headline, *html, *json)
	return err
}

// engines are what is compared. Tests have others.
var engines = engine.All

// A size says how long a comparison is.
type size struct {
	sizes, goroutines []int
	rounds            int
	each              time.Duration // of an engine in a round of the closed loop
	due               time.Duration // of an engine at a rate of the open loop, in all rounds
	updates           int           // in what is opened
	growth            int           // of the store, as a power of ten
	snapshot          int64
	kills             int // by SIGKILL
	places            int // at which a tail is torn or a bit flipped
}

var fullSize = size{
	sizes:      []int{16, 128, 1 << 10, 16 << 10, 1 << 20},
	goroutines: []int{1, 16, 64, 256, 1024},
	rounds:     3, each: 500 * time.Millisecond, due: 6 * time.Second,
	updates: 1_000_000, growth: 7, snapshot: 1 << 30,
	kills: 5, places: 48,
}

var quickSize = size{
	sizes:      []int{128, 16 << 10},
	goroutines: []int{1, 64},
	rounds:     3, each: 50 * time.Millisecond, due: 300 * time.Millisecond,
	updates: 20_000, growth: 5, snapshot: 16 << 20,
	kills: 1, places: 8,
}

// A comparison is one run of all.
type comparison struct {
	size    size
	engines []engine.Engine
	log     io.Writer
	started time.Time
	report  *report.Report
}

// run does each part in a directory of its own, which is gone before the next begins.
func (a *comparison) run(ctx context.Context, dir string) error {
	for _, part := range []struct {
		name string
		do   func(ctx context.Context, dir string) error
	}{
		{"as fast as possible", a.closedLoop},
		{"at a fixed rate", a.openLoop},
		{"after a kill and damage", a.damaged},
		{"opening", a.recovery},
		{"growth", a.growth},
		{"a snapshot", a.snapshots},
	} {
		a.progress("%s", part.name)
		if err := inTempDir(dir, func(dir string) error { return part.do(ctx, dir) }); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func (a *comparison) progress(format string, args ...any) {
	_, _ = fmt.Fprintf(a.log, "%6.0f s  %s\n", time.Since(a.started).Seconds(), fmt.Sprintf(format, args...)) // nobody may read it
}

// failed notes that an engine failed in a part. The others go on.
func (a *comparison) failed(part, name string, err error) {
	a.progress("%s: %s: %v", part, name, err)
	a.report.Problems = append(a.report.Problems, report.Problem{Part: part, Engine: name, Error: err.Error()})
}

// describe notes what is compared, and what can't be.
func (a *comparison) describe(all []engine.Engine) {
	versions := report.Versions()
	for _, e := range all {
		d := report.Engine{Name: e.Name, What: e.What, Kind: e.Kind.String(), Note: e.Note, Version: "this checkout"}
		if e.Module != "" {
			d.Version = strings.TrimSpace(e.Module + " " + versions[e.Module])
		}
		if e.Missing != nil {
			d.Missing = e.Missing()
		}
		if e.Version != nil && d.Missing == "" {
			d.Version += ", " + e.Version()
		}
		a.report.Engines = append(a.report.Engines, d)
	}
}

// writeFile makes a file of what write writes, or leaves the one that is there.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
