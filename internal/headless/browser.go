// Package headless is a browser for the tests of pages.
package headless

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Browser is a headless Chromium with one page, or several. It speaks the DevTools protocol over
// two pipes, a JSON object and a zero byte for each message, and needs no library.
type Browser struct {
	t       *testing.T
	session string // of the page
	to      io.Writer

	width, height int

	mu      sync.Mutex
	last    int // id of the last call
	waiting map[int]chan message
	faults  []string // what the console and the page's policy have complained about
	done    chan struct{}
}

type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// browserTimeout is how long a browser may take for anything.
const browserTimeout = 90 * time.Second

// Find returns the path of a Chromium, or "".
func Find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Start starts Chromium with an empty page of that size, until the test ends. It skips the test
// where there is none.
func Start(t *testing.T, width, height int, flags ...string) *Browser {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows passes no pipes as descriptors 3 and 4")
	}
	path := Find()
	if path == "" {
		t.Skip("there is no chromium")
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "stateio-browser-") //nolint:usetesting // t.TempDir fails where something is left
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeProfile(t, profile) })
	cmd := exec.Command(path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
		"--remote-debugging-pipe", "--user-data-dir=" + profile, fmt.Sprintf("--window-size=%d,%d", width, height),
	}, flags...)...)
	cmd.ExtraFiles = []*os.File{inR, outW}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = inR.Close() // the browser has it
	_ = outW.Close()
	b := &Browser{t: t, to: inW, waiting: map[int]chan message{}, done: make(chan struct{})}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // the error is that it was killed
		_ = inW.Close()
		<-b.done
		_ = outR.Close()
	})
	go b.read(bufio.NewReader(outR))
	b.width, b.height = width, height
	b.NewTab()
	return b
}

// removeProfile removes the directory of a browser that was killed, whose child processes may still
// make files there for a moment.
func removeProfile(t *testing.T, dir string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(browserTimeout); ; <-tick.C {
		err := os.RemoveAll(dir)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Errorf("removing the files of the browser: %v", err)
			return
		}
	}
}

// NewTab opens another tab, which all else is about from now on, and returns a function that goes
// back to the one before.
func (b *Browser) NewTab() (back func()) {
	b.t.Helper()
	before := b.session
	b.session = ""
	var target struct{ TargetID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.Call("Runtime.enable", nil, nil)
	b.Call("Log.enable", nil, nil)
	b.Call("Page.enable", nil, nil)
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": b.width, "height": b.height, "deviceScaleFactor": 1, "mobile": b.width < 600}, nil)
	return func() { b.session = before }
}

// Faults returns what the console and the policy of the pages have complained about, but not
// what was asked of a server and failed: some tests kill servers.
func (b *Browser) Faults() (faults []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		if !strings.Contains(f, `"source":"network"`) {
			faults = append(faults, f)
		}
	}
	return faults
}

// read takes what the browser says, until it has ended.
func (b *Browser) read(r *bufio.Reader) {
	defer close(b.done)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			b.waiting[m.ID] <- m
		case m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown":
			b.faults = append(b.faults, string(line[:len(line)-1]))
		}
		b.mu.Unlock()
	}
}

// Call calls a method of the protocol, and decodes its result.
func (b *Browser) Call(method string, params, result any) {
	b.t.Helper()
	if err := b.try(method, params, result); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
}

func (b *Browser) try(method string, params, result any) error {
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	m := message{ID: b.last, SessionID: b.session, Method: method, Params: params}
	b.waiting[m.ID] = answer
	b.mu.Unlock()
	line, err := json.Marshal(m)
	if err == nil {
		_, err = b.to.Write(append(line, 0))
	}
	if err != nil {
		return err
	}
	select {
	case m = <-answer:
	case <-b.done:
		return errors.New("the browser has ended")
	case <-time.After(browserTimeout):
		return errors.New("the browser does not answer")
	}
	if m.Error != nil {
		return errors.New(m.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

// Open loads a page.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.Call("Page.navigate", map[string]any{"url": url}, nil)
}

// JS returns the value of a JavaScript expression, as text.
func (b *Browser) JS(expression string) string {
	b.t.Helper()
	var r struct {
		Result struct{ Value any }
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": "String(" + expression + ")", "awaitPromise": true}, &r)
	return fmt.Sprint(r.Result.Value)
}

// Until waits until a JavaScript expression is true.
func (b *Browser) Until(expression string) {
	b.t.Helper()
	poll := `new Promise((done) => {
		const look = () => { let ok = false; try { ok = ` + expression + `; } catch {} ok ? done("yes") : setTimeout(look, 20); };
		setTimeout(() => done("no"), 60000);
		look();
	})`
	var r struct {
		Result struct{ Value string }
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": poll, "awaitPromise": true}, &r)
	if r.Result.Value != "yes" {
		b.t.Fatalf("the page never got to %s; it shows:\n%s", expression, b.JS("document.body.innerText"))
	}
}

// Press presses a key.
func (b *Browser) Press(key string) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.Call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "text": key}, nil)
	}
}

// Picture returns a PNG of the page.
func (b *Browser) Picture() []byte {
	b.t.Helper()
	var r struct{ Data []byte }
	b.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	return r.Data
}
