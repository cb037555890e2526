package main

import (
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
