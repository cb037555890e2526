package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/store"
)

var desk, phone = look{width: 1200, height: 900}, look{width: 390, height: 800}

// serve serves h at a URL of its own, below a path.
func serve(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/debug/stateio/", h)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/debug/stateio/"
}

// TestPage uses the page in a real browser as a person does. In all of it no script fails,
// and nothing is against the content security policy.
func TestPage(t *testing.T) {
	browser := startBrowser(t)
	t.Run("damage", func(t *testing.T) { t.Parallel(); seeDamage(browser, t) })
	t.Run("nested", func(t *testing.T) { t.Parallel(); showDeepNesting(browser, t) })
	t.Run("small", func(t *testing.T) { t.Parallel(); showManyRecords(browser, t) })
	if testing.Short() {
		return // those above say most
	}
	t.Run("list", func(t *testing.T) { t.Parallel(); searchTheList(browser, t) })
	t.Run("entries", func(t *testing.T) { t.Parallel(); goThroughAStateFile(browser, t) })
	t.Run("replaced", func(t *testing.T) { t.Parallel(); replaceFiles(browser, t) })
	t.Run("states", func(t *testing.T) { t.Parallel(); compareStates(browser, t) })
	t.Run("live", func(t *testing.T) { t.Parallel(); watchAStore(browser, t) })
	t.Run("hostile", func(t *testing.T) { t.Parallel(); showHostilePayloads(browser, t) })
	t.Run("phone", func(t *testing.T) { t.Parallel(); fitAPhone(browser, t) })
	t.Run("token", func(t *testing.T) { t.Parallel(); enterByToken(browser, t) })
	t.Run("dropped", func(t *testing.T) { t.Parallel(); dropWhatIsShown(browser, t) })
	t.Run("link", func(t *testing.T) { t.Parallel(); followALink(browser, t) })
}

const settledPage = `document.getElementById("reading").hidden && document.querySelectorAll("canvas.cells").length > 0`

// reds counts the cells of damage on the map as they are painted: pixels, not data.
const reds = `(() => { let n = 0;
	for (const c of document.querySelectorAll("canvas.cells")) {
		const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
		for (let i = 0; i < d.length; i += 4) if (d[i] === 0xd9 && d[i+1] === 0x2d && d[i+2] === 0x20) n++;
	}
	return n; })()`

// A damaged store is told on top, painted red, and found by zooming in, down to the record.
func seeDamage(browser context.Context, t *testing.T) {
	dir := bankStore(t, 900)
	const name = "00000000000000000300.log"
	breakFile(t, dir, name, 9000, 400)
	b := open(browser, t, serve(t, Handler(dir, nil)), desk)
	b.wait(settledPage + ` && document.getElementById("verdict").dataset.level === "warn"`)
	if text := b.text("verdict"); !strings.Contains(text, "the current state, after update 900, is intact") ||
		!strings.Contains(text, "can't be read") || !strings.Contains(text, name+" at ") {
		t.Errorf("on top there is %q", text)
	}
	if n := eval[int](b, reds); n < 40 {
		t.Errorf("only %d pixels of the map are red", n)
	}
	// What was read is read again by a button, with the same outcome.
	begun := eval[string](b, `document.getElementById("read").dataset.begun`)
	b.do(chromedp.Evaluate[chromedp.Void](`void document.getElementById("again").click()`))
	b.wait(settledPage + ` && document.getElementById("verdict").dataset.level === "warn" && document.getElementById("read").dataset.begun > "` + begun + `" && !document.getElementById("read").hidden`)
	// With the keyboard: to the first red cell of the file, and in. The map is made anew when
	// more was read, so this is tried until it is in.
	b.wait(`(() => {
		const c = [...document.querySelectorAll("canvas.cells")].find((c) => c.dataset.file === "` + name + `");
		const kinds = c?.cellsAnswer?.kinds, press = (key) => c.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
		if (!kinds || kinds.indexOf(8) < 0) return false;
		c.focus();
		kinds.forEach(() => press("ArrowLeft"));
		for (let i = 0; i < kinds.indexOf(8); i++) press("ArrowRight");
		if (!document.getElementById("cell-says").textContent.startsWith("damage, offset ")) return false;
		press("Enter");
		return true;
	})()`)
	b.wait(`location.hash.startsWith("#map/` + name + `/") && document.querySelector("canvas.cells")?.records?.length > 10`)
	b.wait(`document.getElementById("cell-says").textContent.includes("damage")`)
	if n := eval[int](b, reds); n < 1000 {
		t.Errorf("of the record only %d pixels are red", n)
	}
	if bytes := eval[string](b, `document.querySelector("#map pre").textContent`); !strings.HasPrefix(bytes, "0000") {
		t.Errorf("the bytes of the record are %.80q", bytes)
	}
	b.do(chromedp.Focus(chromedp.CSS("canvas.cells")), chromedp.KeyEvent(kb.Escape))
	b.wait(`!document.querySelector("canvas.cells").records`)
	// With the mouse: the link in the list of damages leads back there.
	b.do(chromedp.Click(chromedp.CSS("#damages button")))
	b.wait(`document.querySelector("canvas.cells")?.records?.length > 10`)
}

// A block of more records than an answer has entries is shown as what it is, to its end, be
// each update a commit or all of them one.
func showManyRecords(browser context.Context, t *testing.T) {
	for name, make := range map[string]func(s *store.Store) error{
		"alone": func(s *store.Store) (err error) {
			for i := 0; i < 1000 && err == nil; i++ {
				_, err = s.Submit([]byte("x"))
				err = errors.Join(err, s.Sync(t.Context()))
			}
			return err
		},
		"together": func(s *store.Store) (err error) {
			for i := 0; i < 30_000 && err == nil; i++ {
				_, err = s.Submit([]byte("x"))
			}
			return errors.Join(err, s.Sync(t.Context()))
		},
	} {
		dir := filepath.Join(t.TempDir(), name)
		s, err := store.Open(dir, newBlob(), &store.Options{SnapshotBytes: -1, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(make(s), s.Close()); err != nil {
			t.Fatal(err)
		}
		b := open(browser, t, serve(t, Handler(dir, nil)), desk)
		b.wait(settledPage)
		b.do(chromedp.Evaluate[chromedp.Void](`void (location.hash = "#map/00000000000000000000.log/0-32768")`))
		b.wait(`document.querySelector("canvas.cells")?.records?.length > 1`)
		if kinds := eval[string](b, `[...new Set(document.querySelector("canvas.cells").records.map((r) => r.kind))].join()`); kinds != "1,2" {
			t.Errorf("%s: the records are of the contents %s, not of a header and updates", name, kinds)
		}
		b.do(chromedp.Focus(chromedp.CSS("canvas.cells")), chromedp.KeyEvent(kb.End))
		b.wait(`document.getElementById("cell-says").textContent.includes(": updates")`)
		if name == "alone" {
			b.wait(`document.getElementById("map-detail").innerText.includes("the first 100 entries")`)
		}
	}
}

// The list is searched, entered at an index, and shows a payload as JSON and as bytes.
func searchTheList(browser context.Context, t *testing.T) {
	b := open(browser, t, serve(t, Handler(bankStore(t, 600), nil)), desk)
	b.wait(settledPage + ` && document.querySelectorAll("#list tr.item").length === 50`)
	b.do(chromedp.SendKeys(chromedp.CSS("#search"), "ORDER 1123"+kb.Enter))
	b.wait(`document.querySelectorAll("#list tr.item").length === 1 && document.getElementById("list-says").textContent.startsWith("1 hit")`)
	if row := b.text("list"); !strings.Contains(row, "124") || !strings.Contains(row, `order 1123`) {
		t.Errorf("found is %q", row)
	}
	b.do(chromedp.Click(chromedp.CSS("#list tr.item")))
	b.wait(`document.querySelector("#list tr.open pre").textContent.includes('"note": "order 1123"')`)
	b.do(chromedp.Evaluate[chromedp.Void](`void [...document.querySelectorAll("#list .tabs button")].find((x) => x.textContent === "hex").click()`))
	if bytes := eval[string](b, `document.querySelector("#list tr.open pre").textContent`); !strings.HasPrefix(bytes, "00000000  7b 22") {
		t.Errorf("the bytes are %.60q", bytes)
	}
	const odd = `{"b": 9007199254740993,"a":1e400,"a":[ ],"s":"x\",{","n":{}, "l":[1,{"k":null}]}`
	const indented = "{\n  \"b\": 9007199254740993,\n  \"a\": 1e400,\n  \"a\": [],\n  \"s\": \"x\\\",{\",\n  \"n\": {},\n  \"l\": [\n    1,\n    {\n      \"k\": null\n    }\n  ]\n}"
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void import("./format.js").then((m) => { window.out = m.indented(%q); })`, odd)))
	b.wait(`typeof window.out === "string"`)
	if got := eval[string](b, `window.out`); got != indented {
		t.Errorf("as JSON it is\n%s\nand not\n%s", got, indented)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#goto"), "2026-03-02 07:31"+kb.Enter))
	b.wait(`/^2026-03-02 07:31.*Z$/.test(document.querySelector("#list tr.item td:nth-child(2)")?.textContent)`)
	for _, other := range []string{"2026/03/02", "Mar 2 2026", "7,31"} { // of which the browser makes a time of its place
		b.do(chromedp.SendKeys(chromedp.CSS("#goto"), strings.Repeat(kb.Backspace, 20)+other+kb.Enter))
		b.wait(fmt.Sprintf(`document.getElementById("list-says").textContent.startsWith("%s is neither an index nor a time")`, other))
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#goto"), strings.Repeat(kb.Backspace, 20)+"0,077"+kb.Enter)) // as 1,077 is shown
	b.wait(`document.querySelector("#list tr.item td")?.textContent === "77"`)
	b.do(chromedp.Click(chromedp.CSS("#newer")))
	b.wait(`document.querySelector("#list tr.item td")?.textContent === "127"`)
	b.do(chromedp.Click(chromedp.CSS("#older")))
	b.wait(`document.querySelector("#list tr.item td")?.textContent === "77"`)
	if points := eval[string](b, `document.getElementById("time-chart").dataset.points`); points != "120" {
		t.Errorf("the time line has %s points", points)
	}
	b.do(chromedp.ScrollIntoView(chromedp.CSS("#time-chart")), chromedp.Click(chromedp.CSS("#time-chart .u-over")))
	b.wait(`document.querySelector("#list tr.item td")?.textContent !== "77"`)
	if at := eval[string](b, `document.querySelector("#list tr.item td:nth-child(2)").textContent`); !strings.HasPrefix(at, "2026-03-02 08:2") {
		t.Errorf("the middle of the time line leads to %q", at) // of 7:30 to 9:23
	}
}

// The entries of a state file are shown from the first, the last, and an offset on, and page by
// page in both directions.
func goThroughAStateFile(browser context.Context, t *testing.T) {
	var file bytes.Buffer
	w := stateio.NewWriter(&file, 0, 0)
	for i := range 1000 {
		entry := fmt.Sprint("entry ", i)
		if i == 970 {
			entry += strings.Repeat(" and more", 10_000) // than one stretch has
		}
		if err := w.Update([]byte(entry)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "app.state")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(browser, t, serve(t, Handler(path, nil)), desk)
	shows := func(first, last int) {
		t.Helper()
		b.wait(fmt.Sprintf(`(() => { const rows = [...document.querySelectorAll("#list tr.item.update td.pay")];
			return rows[0]?.textContent === "entry %d" && rows.at(-1).textContent === "entry %d"; })()`, first, last))
	}
	b.wait(settledPage)
	shows(0, 49)
	b.do(chromedp.Click(chromedp.CSS("#last")))
	shows(950, 999)
	at := eval[string](b, `document.querySelector("#list tr.item td").textContent`)
	b.do(chromedp.Click(chromedp.CSS("#older")))
	shows(900, 949)
	b.do(chromedp.Click(chromedp.CSS("#older")))
	shows(850, 899)
	b.do(chromedp.Click(chromedp.CSS("#newer")))
	shows(900, 949)
	b.do(chromedp.SendKeys(chromedp.CSS("#goto"), at+kb.Enter))
	b.wait(`document.querySelector("#list tr.item td.pay").textContent === "entry 950"`)
	b.do(chromedp.Click(chromedp.CSS("#older")))
	shows(900, 949)
}

// JSON is indented on the page within the bounds that there are for states, and in the same
// way: else one small payload that is nested deeply would keep the page busy for minutes.
func showDeepNesting(browser context.Context, t *testing.T) {
	nested := func(depth int, inside string) string {
		return strings.Repeat("[", depth) + inside + strings.Repeat("]", depth)
	}
	deep := nested(8000, "")
	dir := filepath.Join(t.TempDir(), "deep")
	s, err := store.Open(dir, nothing{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), []byte(deep)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(browser, t, serve(t, Handler(dir, nil)), desk)
	b.wait(settledPage + ` && document.querySelectorAll("#list tr.item.update").length === 1`)
	b.do(chromedp.Click(chromedp.CSS("#list tr.item.update")))
	b.wait(`document.querySelector('#list .tabs button[aria-pressed="true"]')?.textContent === "text"`)
	if got := eval[string](b, `document.querySelector("#list tr.open pre").textContent`); got != deep {
		t.Errorf("a payload of %d bytes is shown as %d: %.100s", len(deep), len(got), got)
	}
	b.do(chromedp.Evaluate[chromedp.Void](`void import("./format.js").then((m) => {
		window.indented = (text) => { try { return m.indented(text); } catch { return ""; } };
	})`))
	b.wait(`typeof window.indented === "function"`)
	for _, text := range []string{
		"1", "[]", "{}", ` [ 1 , [ [ ] , { } ] ]`, `{"a":[1,2,{"b":null}],"c":"[{\\\",:"}`, "[" + strings.Repeat("{},", 20_000) + "{}]",
		nested(maxDepth, "1"), nested(maxDepth, ""), nested(maxDepth+1, "1"), nested(maxDepth+1, ""),
		nested(maxDepth-1, strings.Repeat("1,", 30_000)+"1"), nested(maxDepth, strings.Repeat("1,", 50_000)+"1"),
		"nothing", "[", "",
	} {
		want := string(indented([]byte(text)))
		if got := eval[string](b, fmt.Sprintf("indented(%q)", text)); got != want {
			t.Errorf("%.40s, of %d bytes, is %d bytes once it is indented, not %d: %.100s", text, len(text), len(got), len(want), got)
		}
	}
}

// The map and the list show a file that was written over as it is now, also when all counts
// are the same, and another page has had it read anew meanwhile.
func replaceFiles(browser context.Context, t *testing.T) {
	dir := bankStore(t, 900)
	path := filepath.Join(dir, "00000000000000000000.log")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0xff
		return b
	}
	overwrite(t, path, broken(3000))
	h := fresh(dir, nil)
	noticed(t, h)
	b := open(browser, t, serve(t, h), desk)
	const red = `[...document.querySelectorAll("canvas.cells")][0].cellsAnswer.kinds.indexOf(8)`
	b.wait(settledPage + ` && ` + red + ` > 0`)
	first := eval[int](b, red)
	overwrite(t, path, broken(len(good)/2))
	noticed(t, h)
	b.wait(fmt.Sprintf("%s > %d", red, first))
}

// The slider shows states, and two of them are compared.
func compareStates(browser context.Context, t *testing.T) {
	b := open(browser, t, serve(t, Handler(bankStore(t, 60), &Options{Machine: newBank})), desk)
	b.wait(settledPage + ` && !document.getElementById("time-card").hidden`) // which move what is below
	b.do(chromedp.Click(chromedp.CSS("#state-show")))
	b.wait(`document.getElementById("state-text").textContent.includes('"ada"')`)
	now := b.text("state-text")
	b.do(chromedp.Evaluate[chromedp.Void](`void (() => { const s = document.getElementById("state-slider"); s.value = 3; s.dispatchEvent(new Event("input")); })()`))
	b.wait(`document.getElementById("state-index").textContent === "3" && document.getElementById("state-text").textContent !== ` + fmt.Sprintf("%q", now))
	b.do(chromedp.Click(chromedp.CSS("#state-before")))
	b.wait(`document.querySelectorAll("#state-text .line-plus").length > 0`)
	if says := b.text("state-says"); !strings.Contains(says, "after update 3 from what was after update 2") {
		t.Errorf("the page says %q", says)
	}
}

// The charts of a running store move, and its new updates come up.
func watchAStore(browser context.Context, t *testing.T) {
	dir := filepath.Join(t.TempDir(), "live")
	s, err := store.Open(dir, newBank(), nil)
	if err != nil {
		t.Fatal(err)
	}
	update := func(n int) {
		for range n {
			if _, err := s.Update(t.Context(), []byte(`{"from":"ada","to":"bo","amount":1}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var machines atomic.Int64
	var before atomic.Uint64 // updates that an earlier process has made
	stats := func() store.Stats { st := s.Stats(); st.Updates -= before.Load(); return st }
	machine := func() store.Machine { machines.Add(1); return newBank() }
	b := open(browser, t, serve(t, Handler(dir, &Options{Stats: stats, Machine: machine})), desk)
	b.wait(`document.getElementById("rate-chart").dataset.points >= 1`)
	update(40)
	b.wait(`[...document.querySelectorAll("#live-tiles dd")].some((d) => d.textContent.includes("40 since the start"))`)
	b.wait(`document.getElementById("rate-chart").dataset.points >= 2 && document.getElementById("latency-chart").dataset.points > 3`)
	b.wait(`document.getElementById("tiles").textContent.includes("1 to 40")`)
	b.wait(`[...document.querySelectorAll("#list tr.item td:first-child")].at(-1)?.textContent === "40"`)
	// What is opened in the list stays so while it follows; and while it would be gone, the list
	// waits.
	b.do(chromedp.Evaluate[chromedp.Void](`void [...document.querySelectorAll("#list tr.item")].at(-1).click()`))
	b.wait(`(window.kept = document.querySelector("#list tr.open pre"))?.textContent.includes('"bo"')`)
	update(5)
	b.wait(`[...document.querySelectorAll("#list tr.item td:first-child")].at(-1)?.textContent === "45"`)
	const stays = `kept.isConnected && kept.closest("tr").previousElementSibling.firstElementChild.textContent === "40" && document.querySelectorAll("#list tr.open").length === 1`
	if !eval[bool](b, stays) {
		t.Error("the payload of update 40 was closed by update 45")
	}
	update(60)
	b.wait(`document.getElementById("tiles").textContent.includes("1 to 105")`)
	if !eval[bool](b, stays) {
		t.Error("the payload of update 40 was closed by update 105")
	}
	b.do(chromedp.Evaluate[chromedp.Void](`void kept.closest("tr").previousElementSibling.click()`))
	b.wait(`!kept.isConnected && [...document.querySelectorAll("#list tr.item td:first-child")].at(-1)?.textContent === "105"`)
	// The newest state can be had, and is made only then.
	if n := machines.Load(); n > 0 {
		t.Errorf("a page that is only open has had %d states made", n)
	}
	b.do(chromedp.Click(chromedp.CSS("#state-show")))
	b.wait(`document.getElementById("state-index").textContent === "105" && document.getElementById("state-text").textContent.includes('"bo": 105')`)
	// After a restart of the program, which counts from 0 again, there are no updates below zero.
	b.do(chromedp.Evaluate[chromedp.Void](`void (() => { const chart = document.getElementById("rate-chart"); window.least = 0;
		new MutationObserver(() => { least = Math.min(least, Number(chart.dataset.last)); }).observe(chart, {attributes: true}); })()`))
	before.Store(103)
	b.wait(`[...document.querySelectorAll("#live-tiles dd")].some((d) => d.textContent.includes("2 since the start"))`)
	if least := eval[float64](b, `least`); least < 0 {
		t.Errorf("after a restart there are %v updates a second", least)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.getElementById("verdict-text").textContent === "The store is closed."`)
}

// Payloads that are meant to run, or to look like something else, are shown as what they
// are. open fails the test if the browser has run or refused any of them.
func showHostilePayloads(browser context.Context, t *testing.T) {
	dir := filepath.Join(t.TempDir(), "<img src=x onerror=alert(1)>")
	s, err := store.Open(dir, nothing{}, &store.Options{SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	hostile := []string{
		`<script>document.title = "taken"</script>`,
		`<img src=x onerror="document.title = 'taken'">`,
		`</td></table><h1 id="taken">here</h1>`,
		"a line that turns around: \u202egnihtyna\u2066 and clears a terminal: \x1b[2J\x00",
		`javascript:document.title="taken"`,
		`{"__proto__": {"taken": 1}, "a": "</script><script>document.title='taken'</script>"}`,
		"\xff\xfe\x00<\x00s\x00",
	}
	for _, update := range hostile {
		if _, err := s.Update(t.Context(), []byte(update)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(browser, t, serve(t, Handler(dir, nil)), desk)
	b.wait(settledPage + fmt.Sprintf(` && document.querySelectorAll("#list tr.item").length >= %d`, len(hostile)))
	// The list goes on when more was read: what comes then is opened, too.
	b.wait(fmt.Sprintf(`(() => {
		document.querySelectorAll('#list tr.item[aria-expanded="false"]').forEach((r) => r.click());
		return [...document.querySelectorAll("#list tr.open pre")].filter((p) => p.textContent).length >= %d;
	})()`, len(hostile)))
	if title := eval[string](b, `document.title`); strings.Contains(title, "taken") {
		t.Errorf("a payload has changed the title to %q", title)
	}
	if n := eval[int](b, `document.querySelectorAll("main script, main img, #taken, main iframe").length + (({}).taken ? 1 : 0)`); n > 0 {
		t.Errorf("%d elements came out of payloads", n)
	}
	text := eval[string](b, `document.getElementById("list").textContent + document.getElementById("path").textContent`)
	for _, want := range []string{hostile[0], hostile[1], hostile[2], `\u202egnihtyna`, `\u001b[2J`, "ff fe 00 3c", "<img src=x onerror=alert(1)>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
}

// On a phone nothing is wider than the screen, in the dark the page is dark.
func fitAPhone(browser context.Context, t *testing.T) {
	l := phone
	l.dark = true
	b := open(browser, t, serve(t, Handler(bankStore(t, 300), &Options{Machine: newBank})), l)
	b.wait(settledPage)
	if width := eval[int](b, `document.documentElement.scrollWidth`); width > 390 {
		t.Errorf("the page is %d pixels wide", width)
	}
	if color := eval[string](b, `getComputedStyle(document.body).backgroundColor`); color != "rgb(18, 20, 23)" {
		t.Errorf("in the dark the background is %s", color)
	}
	b.do(chromedp.Click(chromedp.CSS("#theme")))
	b.wait(`getComputedStyle(document.body).backgroundColor === "rgb(245, 245, 241)"`)
}

// The URL with a token leads to the page, and the token out of the URL.
func enterByToken(browser context.Context, t *testing.T) {
	token := NewToken()
	dir := bankStore(t, 30)
	b := open(browser, t, serve(t, Handler(dir+"/", &Options{Token: token}))+"?token="+token+"#map/%E2%8/0-1", desk) // a link that was cut
	b.wait(settledPage)
	if title := eval[string](b, "document.title"); title != filepath.Base(dir)+" – stateio" {
		t.Errorf("the page is called %q", title)
	}
	if at := eval[string](b, `location.href`); strings.Contains(at, token) {
		t.Errorf("the page is at %s", at)
	}
	// When the program is gone, the page says so in its own words, whoever answers, or whatever
	// the browser says.
	for answer, want := range map[string]string{
		`throw new TypeError("NetworkError when attempting to fetch resource.")`:                                  "The program does not answer any more.",
		`return new Response("<html><h1>Bad Gateway", {status: 502, headers: {"Content-Type": "text/html"}})`:     "something in between says status 502",
		`return new Response("", {status: 504, headers: {"Content-Type": "text/plain"}})`:                         "something in between says status 504",
		`return new Response("view: the token is wrong", {status: 401, headers: {"Content-Type": "text/plain"}})`: "view: the token is wrong",
	} {
		b.do(chromedp.Evaluate[chromedp.Void](`void (window.fetch = async () => { ` + answer + ` })`))
		b.wait(fmt.Sprintf(`document.getElementById("verdict-text").textContent.includes(%q) && !document.getElementById("verdict-text").textContent.includes("<")`, want))
	}
}

// A link on a page of another site leads to the page: with the token, and then without, by the
// cookie.
func followALink(browser context.Context, t *testing.T) {
	token := NewToken()
	target := serve(t, Handler(bankStore(t, 30), &Options{Token: token}))
	links := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<body data-ready="yes"><link rel="icon" href="data:,"><a id="token" href="%s?token=%s">1</a> <a id="cookie" href="%[1]s">2</a>`, target, token)
	}))
	t.Cleanup(links.Close)
	for _, id := range []string{"token", "cookie"} {
		b := open(browser, t, strings.Replace(links.URL, "127.0.0.1", "localhost", 1), desk)
		b.do(chromedp.Click(chromedp.CSS("#" + id)))
		there := fmt.Sprintf("location.href === %q && Boolean(document.body?.innerText)", target)
		for on := false; !on; { // what is asked of a page that goes is an error
			on, _ = chromedp.Run(b.ctx, chromedp.Poll[bool](there, chromedp.WithPollingTimeout(0)))
			if b.ctx.Err() != nil {
				t.Fatalf("by %s: %v", id, b.ctx.Err())
			}
		}
		b.wait(settledPage)
	}
}

// A log that the map shows, and the store drops, leaves the map to the files that there are.
func dropWhatIsShown(browser context.Context, t *testing.T) {
	dir := filepath.Join(t.TempDir(), "live")
	s, err := store.Open(dir, newBank(), &store.Options{KeepSnapshots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	update := func() {
		if _, err := s.Update(t.Context(), []byte(`{"from":"ada","to":"bo","amount":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	update()
	b := open(browser, t, serve(t, Handler(dir, &Options{Stats: s.Stats})), desk)
	b.wait(settledPage)
	// The page may draw the map anew between two calls of the browser: each of these is one.
	press := func(key string) {
		eval[bool](b, `document.querySelector("canvas.cells").dispatchEvent(new KeyboardEvent("keydown", {key: "`+key+`"}))`)
	}
	press("Enter")
	b.wait(`document.querySelector("canvas.cells")?.records?.length === 2 && document.querySelector("#map-detail tr.update") !== null`)
	// What is chosen and opened of a block stays so when the log grows.
	press("ArrowRight")
	eval[bool](b, `document.querySelector("#map-detail tr.update").dispatchEvent(new MouseEvent("click"))`)
	b.wait(`document.getElementById("cell-says").textContent.includes(": updates 1") && document.querySelector("#map-detail tr.open pre")?.textContent > ""`)
	update()
	b.wait(`document.querySelector("canvas.cells")?.records?.length === 3`)
	b.wait(`document.getElementById("cell-says").textContent.includes(": updates 1") && document.querySelector("#map-detail tr.open pre")?.textContent > "" && document.querySelectorAll("#map-detail tr.update").length === 2`)
	for range 2 {
		update()
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.wait(`[...document.querySelectorAll("#map .file h3 b")].map((e) => e.textContent).join() === "00000000000000000004.log,00000000000000000004.snap" && !document.getElementById("crumbs").textContent`)
	if says := b.text("cell-says"); strings.Contains(says, "Cannot read") {
		t.Errorf("below the map there is %q", says)
	}
	// Nor does the page keep anything of the files that are gone.
	b.do(chromedp.Evaluate[chromedp.Void](`void import("./map.js").then((m) => { window.known = m.known; })`))
	b.wait(`window.known && [...known.keys()].sort().join() === "00000000000000000004.log,00000000000000000004.snap"`)
}
