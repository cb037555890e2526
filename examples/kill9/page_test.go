package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// The page in a real browser: it counts, K kills, the verdict is told, changes are shown,
// the slider sets the writers, and nothing is loaded from elsewhere.
func TestPage(t *testing.T) {
	p := startParent(t, os.Stderr)
	b := startBrowser(t, 1100, 900)
	b.open(p.url)
	b.until(`document.getElementById("acked").textContent !== "0" && !document.getElementById("kill").disabled`)
	b.until(`document.querySelectorAll("#changes li").length > 5`)
	b.press("k")
	b.until(`document.querySelectorAll("#kills tr").length === 1`)
	b.until(`/^acknowledged [0-9,]+, lost 0, recovered in /.test(document.getElementById("verdict").textContent)`)
	b.js(`document.getElementById("kill").click()`)
	b.until(`document.querySelectorAll("#kills tr").length === 2 && !document.getElementById("kill").disabled`)
	shown := b.js(`document.getElementById("changes").firstChild.textContent`)
	b.until(`document.getElementById("changes").firstChild.textContent !== ` + quoted(shown)) // goes on after kills
	b.js(`(() => { const w = document.getElementById("writers"); w.value = 2; w.dispatchEvent(new Event("input")); })()`)
	b.until(`state.writers === 2`)
	if width := b.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth"); width != "true" {
		t.Error("the page is wider than the window")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		if !strings.Contains(fault, `"source":"network"`) { // that the server was killed is seen there
			t.Errorf("the browser complains: %s", fault)
		}
	}
}

// In the fourth tab of a browser the button kills, as in the first: those that nobody sees keep no
// connections. The first one goes on when it is seen again.
func TestPageInManyTabs(t *testing.T) {
	p := startParent(t, os.Stderr)
	b := startBrowser(t, 1100, 900)
	show := func(hidden string) {
		b.js(`(() => { Object.defineProperty(document, "hidden", { value: ` + hidden + `, configurable: true });
			document.dispatchEvent(new Event("visibilitychange")); })()`)
	}
	b.open(p.url)
	b.until(`state.pid !== 0`)
	first := b.session
	for range 3 {
		show("true")
		b.tab()
		b.open(p.url)
		b.until(`state.pid !== 0`)
	}
	b.press("k")
	b.until(`state.killed === 1`)
	b.until(`/, lost 0, recovered in /.test(document.getElementById("verdict").textContent)`)
	show("true")
	b.session = first
	if got := b.js(`state.killed`); got != "0" {
		t.Errorf("a tab that nobody sees was told of %s kills", got)
	}
	show("false")
	b.until(`state.killed === 1 && document.querySelectorAll("#kills tr").length === 1`)
}

// A page that is open goes on when the program is started anew, whose counters begin at zero.
func TestPageOverARestart(t *testing.T) {
	address := freeAddress(t)
	p := startParent(t, os.Stderr, "-listen", address)
	b := startBrowser(t, 1100, 900)
	b.open(p.url)
	b.until(`state.acked > 100`)
	b.js(`window.least = 0, setInterval(() => { least = Math.min(least, ...rates().map((p) => p.rate)); }, 10)`)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	b.until(`/has ended/.test(document.getElementById("verdict").textContent)`)
	startParent(t, os.Stderr, "-listen", address, "-writers", "1")
	b.until(`state.writers === 1 && document.getElementById("verdict").textContent === "The server is up. Kill it."`)
	b.until(`rates().length > 1`)
	if least := b.js(`least`); least != "0" {
		t.Errorf("the page has shown %s entries a second", least)
	}
}

// freeAddress returns an address that nobody listens on, of a port that the system gives to nobody.
func freeAddress(t *testing.T) string {
	t.Helper()
	for tries := 0; ; tries++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
		if tries == 1000 {
			t.Fatal(err)
		}
	}
}

func quoted(s string) string { return "`" + s + "`" }

// With KILL9_PICTURE=file.png in the environment, makes a picture of the page: make
// pictures. KILL9_PICTURE_FLAGS may say --dark or --phone.
func TestPicture(t *testing.T) {
	file := os.Getenv("KILL9_PICTURE")
	if file == "" {
		t.Skip("only for make pictures")
	}
	if findBrowser() == "" {
		t.Fatal("there is no chromium: no picture was made")
	}
	width, height := 1100, 885
	var flags []string
	if strings.Contains(os.Getenv("KILL9_PICTURE_FLAGS"), "--phone") {
		width, height = 390, 1300
	}
	p := startParent(t, os.Stderr)
	b := startBrowser(t, width, height, flags...)
	if strings.Contains(os.Getenv("KILL9_PICTURE_FLAGS"), "--dark") {
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	}
	b.open(p.url)
	b.until(`document.readyState === "complete"`)
	begun := time.Now()
	for i, writers := range []string{"16", "64", "128", "32"} {
		do(t, "POST", p.url+"/writers?n="+writers, "")
		b.until(`samples.at(-1).at - samples[0].at > ` + []string{"6000", "13000", "21000", "30000"}[i])
		b.press("k")
		b.until(`state.killed === ` + []string{"1", "2", "3", "4"}[i])
	}
	b.until(`samples.at(-1).at - samples[0].at > 38000`)
	t.Logf("took %v", time.Since(begun))
	if err := os.WriteFile(file, b.picture(), 0o644); err != nil {
		t.Fatal(err)
	}
}
