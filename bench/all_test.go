package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// A short run of all of it writes a page that parses, and JSON with something in each
// part: nothing is missing, and nothing is lost.
func TestAll(t *testing.T) {
	dir := t.TempDir()
	html, figures := filepath.Join(dir, "page.html"), filepath.Join(dir, "figures.json")
	var out strings.Builder
	args := []string{"-quick", "-only", "bound", "-growth", "4", "-dir", dir, "-html", html, "-json", figures}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(html)
	if err != nil {
		t.Fatal(err)
	}
	if got := svgs(t, string(page)); got != 2+3+1 {
		t.Errorf("the page has %d charts", got)
	}
	r := readReport(t, figures)
	if !strings.HasPrefix(out.String(), r.Headline) || !strings.Contains(string(page), r.Headline) {
		t.Errorf("the headline is %q, and said is %s", r.Headline, out.String())
	}
	checkReport(t, r)
	left, err := filepath.Glob(filepath.Join(dir, "stateio-bench-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("there are still %q: %v", left, err)
	}
}

// svgs parses a page and returns how many charts it has.
func svgs(t *testing.T, page string) (n int) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "svg" {
			n++
		}
	}
}

// readReport reads JSON, which has no fields but those of a report.
func readReport(t *testing.T, path string) (r report.Report) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// checkReport checks a short run of the store and the bound.
func checkReport(t *testing.T, r report.Report) {
	t.Helper()
	if !r.Quick || r.Schema != report.Schema || r.Machine.Go == "" || r.Took <= 0 || len(r.Problems) > 0 || len(r.Engines) != 2 {
		t.Errorf("%+v", r)
	}
	if len(r.Closed) != 2*2*2 {
		t.Errorf("as fast as possible: %+v", r.Closed)
	}
	for _, c := range r.Closed {
		if s := c.Rate; s.Min <= 0 || s.Min > s.Median || s.Median > s.Max || c.Ratio <= 0 || c.Engine == "store" && c.Ratio != 1 {
			t.Errorf("as fast as possible: %+v", c)
		}
	}
	if len(r.Open) != 3*2 {
		t.Errorf("at a fixed rate: %+v", r.Open)
	}
	for _, o := range r.Open {
		if o.Count == 0 || o.P50 > o.P99 || o.P99 > o.P999 || o.P999 > o.Max || o.Max <= 0 {
			t.Errorf("at a fixed rate: %+v", o)
		}
	}
	if len(r.Recovery) != 1 || r.Recovery[0].Open.Min <= 0 || r.Recovery[0].Read.Min < r.Recovery[0].Open.Min || r.Recovery[0].PerByte < 1 {
		t.Errorf("opening: %+v", r.Recovery)
	}
	if len(r.Growth) != 2 || r.Growth[0].Updates != 10_000 || r.Growth[0].Disk < 10_000*updateSize {
		t.Errorf("growth: %+v", r.Growth)
	}
	if r.Snapshot == nil || r.Snapshot.Open.Min <= 0 || r.Snapshot.Longest <= 0 {
		t.Errorf("a snapshot: %+v", r.Snapshot)
	}
	if len(r.Damage) != 1 || r.Damage[0].Kill.Whole != 1 || r.Damage[0].Torn.Whole != quickSize.places || r.Damage[0].Flipped.Refused != quickSize.places {
		t.Errorf("damage: %+v", r.Damage)
	}
}

// An engine that fails in one part is named there. The others go on, and so does the run.
func TestAnEngineThatFailsIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	full := errors.New("the disk is full of this")
	bad := engine.Engine{Name: "bad", Open: func(string, engine.Options) (engine.DB, error) { return nil, full }}
	var log strings.Builder
	small := quickSize
	small.sizes, small.goroutines, small.each = []int{128}, []int{1}, 1
	a := &comparison{size: small, engines: []engine.Engine{engine.Store, bad, engine.Bound}, log: &log, report: &report.Report{}}
	if err := a.closedLoop(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	p := a.report.Problems
	if len(a.report.Closed) != 2 || len(p) != 1 || p[0].Engine != "bad" || p[0].Error != full.Error() || !strings.Contains(log.String(), "bad: the disk") {
		t.Errorf("%+v, %s", a.report, log.String())
	}
	a.engines = []engine.Engine{bad, engine.Store}
	if err := a.closedLoop(t.Context(), dir); !errors.Is(err, full) {
		t.Errorf("what others are compared with failed: %v", err)
	}
}

// A file that can't be written leaves the one that was there.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "page.html")
	for _, text := range []string{"one", "two"} {
		if err := writeFile(path, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeFile(path, func(io.Writer) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v", err)
	}
	got, err := os.ReadFile(path)
	all, globErr := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || string(got) != "two" || len(all) != 1 || globErr != nil {
		t.Errorf("%q, %q: %v", got, all, errors.Join(err, globErr))
	}
}
