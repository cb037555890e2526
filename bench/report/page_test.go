package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sample returns a report with something in each part.
func sample() *Report {
	r := &Report{
		Schema: Schema, Started: time.Unix(1e9, 0), Took: 61,
		Machine: Machine{Processor: "<b>a processor</b>", Processors: 2, Memory: 4 << 30, FileSystem: "ext4 on /dev/x"},
		Engines: []Engine{{Name: store, Kind: "one sync for many updates"}, {Name: bound}, {Name: "peer", Version: "v1.2.3", Note: "a note"}, {Name: "redis", Missing: "not found here"}},
	}
	for _, size := range []int{128, 1024} {
		for _, goroutines := range []int{1, 64} {
			for i, name := range []string{store, bound, "peer"} {
				rate := float64(1000 * goroutines * (3 - i))
				r.Closed = append(r.Closed, Closed{name, size, goroutines, Spread{rate, rate / 2, rate * 2}, 3 / float64(3-i)})
			}
		}
	}
	for _, part := range []float64{0.25, 0.5} {
		r.Open = append(r.Open, Open{store, 1000 * part, part, 128, 500, 999 * part, 1e-4, 2e-3, 3e-2, 1}, Open{"peer", 1000 * part, part, 128, 500, 9, 2e-4, 4e-3, 5e-2, 2})
	}
	r.Recovery = []Recover{
		{store, 1_000_000, 128, Spread{0.2, 0.1, 0.3}, Spread{0.2, 0.1, 0.3}, 164 << 20, 1.28, 30 << 20, 20 << 20},
		{"peer", 1_000_000, 128, Spread{0.01, 0.01, 0.01}, Spread{0.9, 0.8, 1}, 150 << 20, 1.2, 90 << 20, 80 << 20},
	}
	r.Growth = []Growth{{10_000, false, 0.003, 2 << 20}, {100_000, false, 0.03, 17 << 20}, {10_000, true, 0.003, 2 << 20}, {100_000, true, 0.003, 2 << 20}}
	r.Snapshot = &Snapshot{Size: 1 << 30, Open: Spread{1, 0.9, 1.1}, Longest: 0.1}
	r.Damage = []Damage{
		{store, Outcome{Trials: 5, Whole: 5, Acknowledged: 500}, Outcome{File: "0.log", Trials: 64, Whole: 64, Sampled: true}, Outcome{Trials: 64, Refused: 64, Example: "store: <damaged>"}},
		{"peer", Outcome{Trials: 5, Whole: 3, Refused: 2}, Outcome{Trials: 64, Whole: 63, Crashed: 1}, Outcome{Trials: 64, Whole: 60, Wrong: 3, Lost: 1, WrongUpdates: 3, LostUpdates: 1234}},
	}
	r.Problems = []Problem{{"16 bytes", "peer", "no <space>"}}
	return r
}

// elements returns how many elements of each name a page has. It fails t if they are not
// nested as they should be, something is drawn outside of its picture, or anything would
// be loaded or run.
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
			checkAttributes(t, start)
		}
	}
}

func checkAttributes(t *testing.T, e xml.StartElement) {
	t.Helper()
	for _, a := range e.Attr {
		switch a.Name.Local {
		case "cx", "cy", "x", "y", "x1", "x2", "y1", "y2":
			if f, err := strconv.ParseFloat(a.Value, 64); err != nil || f < 0 || f > 640 {
				t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
			}
		case "src", "href", "onload", "onclick":
			t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
		}
	}
}

func render(t *testing.T, r *Report) string {
	t.Helper()
	r.End(time.Minute)
	var out bytes.Buffer
	if err := WriteHTML(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The page is whole in itself, shows each part, and takes no name for markup.
func TestPage(t *testing.T) {
	got := render(t, sample())
	names := elements(t, []byte(got))
	for name, want := range map[string]int{
		"script": 0, "link": 0, "img": 0, "svg": 2 + 2 + 1, "polyline": 2*3 + 2*2 + 2,
		"circle": 2*3*2 + 2*2*4 + 2*2, "table": 2 + 2 + 1 + 1 + 1 + 1 + 1,
	} {
		if names[name] != want {
			t.Errorf("the page has %d elements %s, want %d", names[name], name, want)
		}
	}
	for _, want := range []string{
		"default-src 'none'", "&lt;b&gt;a processor", "no &lt;space&gt;", "store: &lt;damaged&gt;", "3.00x", "not found here",
		`<td class="good">an error in 64 of 64`, `<td class="fair">crashed in 1 of 64`, `<td class="bad">silent in 4 of 64`,
		">a note<", `<td class="fair">an error in 2 of 5`, "1,234 acknowledged updates missing or changed", "192k",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(got, "http:") || strings.Contains(got, "https:") || strings.Contains(got, "short run") {
		t.Error("the page has an address, or says that it is short")
	}
}

// A report without anything is a page, too.
func TestEmptyPage(t *testing.T) {
	got := render(t, &Report{Quick: true})
	if names := elements(t, []byte(got)); names["svg"] != 0 || !strings.Contains(got, "short run") {
		t.Errorf("%v", names)
	}
}

// The first sentence is what the figures say, for the store or against it.
func TestHeadline(t *testing.T) {
	r := sample()
	check := func(want string) {
		t.Helper()
		if got := r.headline(); !strings.Contains(got, want) {
			t.Errorf("the headline should say %q:\n%s", want, got)
		}
	}
	check("With 1 goroutine the store makes 3k updates of 128 bytes durable a second, 3.00x what the fastest of the others does, peer")
	check("with 64 goroutines the store makes 192k")
	check("it opens with all of 1,000,000 updates read after 200 ms, before all others")
	check("updates were lost or changed without an error by peer.")
	for i := range r.Closed {
		r.Closed[i].Ratio = 0.5
	}
	r.Recovery[1].Read.Median = 0.1
	r.Damage = r.Damage[:1]
	check("less than the fastest of the others: 0.50x of what peer does")
	check("later than peer")
	check("no engine lost or changed an update")
	r.Damage[0].Kill.Lost = 1
	check("without an error by store.")
	r = &Report{}
	check("Nothing was compared.")
}

// The ticks of an axis are around its values, few, and in order.
func TestTicksAreAroundTheValues(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		low := math.Pow(10, random.Float64()*18-9)
		high := low * math.Pow(10, random.Float64()*6*random.Float64())
		ticks := logTicks(low, high)
		if len(ticks) < 2 || len(ticks) > 12 || ticks[0] > low || ticks[len(ticks)-1] < high {
			t.Fatalf("from %v to %v: %v", low, high, ticks)
		}
		for i, tick := range ticks[1:] {
			if tick <= ticks[i] {
				t.Fatalf("from %v to %v: %v", low, high, ticks)
			}
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		count(999.9): "1k", count(0.5): "0.5", count(123456): "123k", bytesize(1536): "1.5 KiB", bytesize(1 << 30): "1 GiB",
		bytesize(16): "16 B", duration(0.0000015): "1.5 µs", duration(0.25): "250 ms", duration(61): "61 s", duration(123): "123 s",
		ratio(9.999): "10.00x", ratio(12.3): "12x", thousands(1234567): "1,234,567", thousands(12): "12",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The mount of a directory is the innermost, and of two at one place the later.
func TestMount(t *testing.T) {
	table := t.TempDir() + "/mounts"
	write(t, table, "/dev/a / ext4 rw 0 0\nx /data tmpfs rw 0 0\n/dev/b /data xfs rw,noatime 0 0\n/dev/c /data/more btrfs rw 0 0\n")
	for dir, want := range map[string]string{
		"/data/one": "xfs on /dev/b (rw,noatime)", "/data": "xfs on /dev/b (rw,noatime)", "/datax": "ext4 on /dev/a (rw)", "/data/more/x": "btrfs on /dev/c (rw)",
	} {
		if got := mount(table, dir); got != want {
			t.Errorf("%s is on %q, want %q", dir, got, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
