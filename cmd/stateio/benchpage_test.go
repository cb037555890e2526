package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sampleResult returns a result of a bench.
func sampleResult(dir string) benchResult {
	r := newBenchResult(dir)
	r.Sync = syncResult{P50: 2 * time.Millisecond, P90: 3 * time.Millisecond, P99: 9 * time.Millisecond, Max: 20 * time.Millisecond, Count: 500}
	for i, percent := range []float64{1, 50, 99.9, 100} {
		r.Sync.Percentiles = append(r.Sync.Percentiles, percentile{percent, time.Duration(i+1) * time.Millisecond})
	}
	for _, size := range []int{128, 4096} {
		for _, writers := range []int{1, 64} {
			r.Rates = append(r.Rates, rateResult{size, writers, float64(writers * 400), float64(writers * 500), time.Millisecond, 4 * time.Millisecond})
		}
	}
	r.Replay = replayResult{80_000, 1_234_567, 98_765_432}
	r.Snapshot = snapshotResult{64 << 20, 300 * time.Millisecond, 7 * time.Millisecond}
	return r
}

// elements returns how many elements of each name a page has. It fails t if they are not
// nested as they should be.
func elements(t *testing.T, page []byte) map[string]int {
	t.Helper()
	names := map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("at byte %d: %v", d.InputOffset(), err)
		}
		if start, ok := token.(xml.StartElement); ok {
			names[start.Name.Local]++
			checkPosition(t, start)
		}
	}
}

// checkPosition fails t if something is drawn outside of the picture, or is no number.
func checkPosition(t *testing.T, e xml.StartElement) {
	t.Helper()
	for _, a := range e.Attr {
		switch a.Name.Local {
		case "cx", "cy", "x", "y", "x1", "x2", "y1", "y2":
			if f, err := strconv.ParseFloat(a.Value, 64); err != nil || f < 0 || f > 640 {
				t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
			}
		case "src", "href", "onload", "onclick":
			if e.Name.Local != "a" {
				t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
}

// The page is whole in itself, shows each figure, and takes no name for markup.
func TestBenchPage(t *testing.T) {
	r := sampleResult("/mnt/<script>alert(1)</script>&'\"")
	r.Warnings = []string{"a sync takes <hardly> any time"}
	var out bytes.Buffer
	if err := writePage(&out, r); err != nil {
		t.Fatal(err)
	}
	got := elements(t, out.Bytes())
	for name, want := range map[string]int{"script": 0, "link": 0, "img": 0, "svg": 4, "circle": 4 + 2*4, "polyline": 1 + 2*2, "rect": 5, "tr": 1 + 4} {
		if got[name] != want {
			t.Errorf("the page has %d elements %s, want %d", got[name], name, want)
		}
	}
	for _, want := range []string{
		"default-src 'none'", "&lt;script&gt;alert", "a sync takes &lt;hardly&gt; any time", "1.23M/s", ">7ms<", ">0.80<",
		"Durable updates of 4096 bytes a second", "<td>32000</td>", "500 of them", ">99.9<", ">max<",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(out.String(), "http:") || strings.Contains(out.String(), "https:") {
		t.Error("the page has an address")
	}
}

// The ticks of an axis are around its values, few, and in order.
func TestTicksAreAroundTheValues(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		low := math.Pow(10, random.Float64()*18-9)
		high := low * math.Pow(10, random.Float64()*6*random.Float64())
		ticks := logTicks(low, high)
		if len(ticks) < 2 || len(ticks) > 12 || ticks[0] > low || ticks[len(ticks)-1] < high || ticks[1] <= low && len(ticks) > 2 {
			t.Fatalf("from %v to %v: %v", low, high, ticks)
		}
		for i, tick := range ticks[1:] {
			if tick <= ticks[i] {
				t.Fatalf("from %v to %v: %v", low, high, ticks)
			}
		}
	}
	var none plot
	none.draw(short, series{values: []float64{0, 0}, titles: []string{"", ""}})
	if len(none.Lines) > 0 {
		t.Errorf("without values there are %v", none.Lines)
	}
}

// bench writes the page to a new file, and does not replace one unless it is told to.
func TestBenchWritesAPage(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.html")
	mustRun(t, "", "bench", "--time", "1ms", "--html", page, dir)
	if names := elements(t, readFile(t, page)); names["svg"] != 4 || names["tr"] != 11 {
		t.Errorf("%v", names)
	}
	before := readFile(t, page)
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"bench", "--time", "1ms", "--html", page, dir}, strings.NewReader(""), &out, &errs); status != exitFailure || out.Len() > 0 {
		t.Errorf("exit status %d: %s", status, &out)
	}
	if !strings.Contains(errs.String(), "page.html exists: name another file, or give --force") || !bytes.Equal(before, readFile(t, page)) {
		t.Errorf("%s", &errs)
	}
	if status := run(t.Context(), []string{"bench", "--json", "--html", "-", dir}, strings.NewReader(""), &out, &errs); status != exitUsage {
		t.Errorf("exit status %d", status)
	}
}
