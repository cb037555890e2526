package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/headless"
)

// The page in a real browser: it counts, K kills, the verdict is told, changes are shown,
// the slider sets the writers, and nothing is loaded from elsewhere.
func TestPage(t *testing.T) {
	p := startParent(t, os.Stderr)
	b := headless.Start(t, 1100, 900)
	b.Open(p.url)
	b.Until(`document.getElementById("acked").textContent !== "0" && !document.getElementById("kill").disabled`)
	b.Until(`document.querySelectorAll("#changes li").length > 5`)
	b.Press("k")
	b.Until(`document.querySelectorAll("#kills tr").length === 1`)
	b.Until(`/^acknowledged [0-9,]+, lost 0, recovered in /.test(document.getElementById("verdict").textContent)`)
	b.JS(`document.getElementById("kill").click()`)
	b.Until(`document.querySelectorAll("#kills tr").length === 2 && !document.getElementById("kill").disabled`)
	shown := b.JS(`document.getElementById("changes").firstChild.textContent`)
	b.Until(`document.getElementById("changes").firstChild.textContent !== ` + quoted(shown)) // goes on after kills
	b.JS(`(() => { const w = document.getElementById("writers"); w.value = 2; w.dispatchEvent(new Event("input")); })()`)
	b.Until(`state.writers === 2`)
	if width := b.JS("document.documentElement.scrollWidth <= document.documentElement.clientWidth"); width != "true" {
		t.Error("the page is wider than the window")
	}
	for _, fault := range b.Faults() {
		t.Errorf("the browser complains: %s", fault)
	}
}

// In the fourth tab of a browser the button kills, as in the first: those that nobody sees keep no
// connections. The first one goes on when it is seen again.
func TestPageInManyTabs(t *testing.T) {
	p := startParent(t, os.Stderr)
	b := headless.Start(t, 1100, 900)
	show := func(hidden string) {
		b.JS(`(() => { Object.defineProperty(document, "hidden", { value: ` + hidden + `, configurable: true });
			document.dispatchEvent(new Event("visibilitychange")); })()`)
	}
	b.Open(p.url)
	b.Until(`state.pid !== 0`)
	var back func() // to the first tab
	for i := range 3 {
		show("true")
		before := b.NewTab()
		if i == 0 {
			back = before
		}
		b.Open(p.url)
		b.Until(`state.pid !== 0`)
	}
	b.Press("k")
	b.Until(`state.killed === 1`)
	b.Until(`/, lost 0, recovered in /.test(document.getElementById("verdict").textContent)`)
	show("true")
	back()
	if got := b.JS(`document.querySelectorAll("#kills tr").length`); got != "0" {
		t.Errorf("a tab that nobody sees was told of %s kills", got)
	}
	show("false")
	b.Until(`state.killed === 1 && document.querySelectorAll("#kills tr").length === 1`)
}

// A page that is open goes on when the program is started anew, whose counters begin at zero.
func TestPageOverARestart(t *testing.T) {
	address := freeAddress(t)
	stderr, ended := held(t)
	p := startParent(t, stderr, "-listen", address)
	b := headless.Start(t, 1100, 900)
	b.Open(p.url)
	b.Until(`state.acked > 100`)
	b.JS(`window.least = 0, setInterval(() => { least = Math.min(least, ...rates().map((p) => p.rate)); }, 10)`)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	ended() // the server, too, which makes files in the directory of the test
	b.Until(`/has ended/.test(document.getElementById("verdict").textContent)`)
	startParent(t, os.Stderr, "-listen", address, "-writers", "1")
	b.Until(`state.writers === 1 && document.getElementById("verdict").textContent === "The server is up. Kill it."`)
	b.Until(`rates().length > 1`)
	if least := b.JS(`least`); least != "0" {
		t.Errorf("the page has shown %s entries a second", least)
	}
}

// freeAddress returns an address that nobody listens on, of a port that the system gives to nobody.
func freeAddress(t *testing.T) string {
	t.Helper()
	for tries := 0; ; tries++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 25_000+rand.IntN(2_000)))
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
	if headless.Find() == "" {
		t.Fatal("there is no chromium: no picture was made")
	}
	width, height := 1100, 885
	var flags []string
	if strings.Contains(os.Getenv("KILL9_PICTURE_FLAGS"), "--phone") {
		width, height = 390, 1300
	}
	p := startParent(t, os.Stderr)
	b := headless.Start(t, width, height, flags...)
	if strings.Contains(os.Getenv("KILL9_PICTURE_FLAGS"), "--dark") {
		b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	}
	b.Open(p.url)
	b.Until(`document.readyState === "complete"`)
	begun := time.Now()
	for i, writers := range []string{"16", "64", "128", "32"} {
		do(t, "POST", p.url+"/writers?n="+writers, "")
		b.Until(`samples.at(-1).at - samples[0].at > ` + []string{"6000", "13000", "21000", "30000"}[i])
		b.Press("k")
		b.Until(`state.killed === ` + []string{"1", "2", "3", "4"}[i])
	}
	b.Until(`samples.at(-1).at - samples[0].at > 38000`)
	t.Logf("took %v", time.Since(begun))
	if err := os.WriteFile(file, b.Picture(), 0o644); err != nil {
		t.Fatal(err)
	}
}
