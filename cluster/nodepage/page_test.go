package nodepage

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/internal/headless"
	"github.com/stateio/stateio/store"
)

// A fake is a node of a cluster of three, which makes a hundred updates each time that it is asked.
type fake struct {
	mu     sync.Mutex
	asked  uint64
	change func(*cluster.Stats, *cluster.Status)
}

func (f *fake) Stats() (s cluster.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	s.Updates, s.Index = 100*f.asked, 12_000_000+100*f.asked
	s.Waiting, s.Pending, s.SnapshotBytes = 3, 4096, 3<<20
	if f.change != nil {
		f.change(&s, &cluster.Status{})
	}
	return s
}

func (f *fake) Status() cluster.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := cluster.Status{ID: "a", Leader: "b", Term: 3, FailoverGap: 690 * time.Millisecond, Members: members("b", "a", hostile)}
	if f.change != nil {
		f.change(&cluster.Stats{}, &s)
	}
	return s
}

// hostile is an ID that would be a program, if it were put into the page as HTML.
const hostile = `<img src=x onerror=document.title="!">`

func get(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func TestWhatIsServed(t *testing.T) {
	h := http.StripPrefix("/node", Handler(&fake{}))
	for path, want := range map[string]string{
		"/node/": "<title>Node</title>", "/node/page.js": "use strict", "/node/page.css": ":root", "/node/status": `"leader":"b"`,
	} {
		w := get(t, h, http.MethodGet, path)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		for header, want := range map[string]string{
			"Content-Security-Policy": policy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q", path, header, got)
			}
		}
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{{http.MethodPost, "/node/", 405}, {http.MethodPost, "/node/status", 405}, {http.MethodGet, "/node/nothing", 404}, {http.MethodHead, "/node/", 200}} {
		if w := get(t, h, c.method, c.path); w.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
	var v view
	if err := json.Unmarshal(get(t, h, http.MethodGet, "/node/status").Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	if v.ID != "a" || v.Term != 3 || v.Gap != 0.69 || v.Pending != 4096 || len(v.Members) != 3 || v.Members[2].ID != hostile || v.Level != "ok" {
		t.Errorf("%+v", v)
	}
}

// However many pages are open, the node is asked twice a second.
func TestANodeIsAskedOnceForAllPages(t *testing.T) {
	f, now := &fake{}, time.Unix(1, 0)
	l := &looks{node: f, now: func() time.Time { return now }}
	for range 10 {
		l.latest()
	}
	if now = now.Add(lookTime - 1); l.latest().Updates != 100 {
		t.Errorf("the node was asked %d times", f.asked)
	}
	if now = now.Add(1); l.latest().Updates != 200 {
		t.Errorf("the figures are old ones: the node was asked %d times", f.asked)
	}
}

// A closed node asks nobody how it is, so that nobody is shown as down.
func TestAClosedNodeShowsNoMembers(t *testing.T) {
	f := &fake{change: func(s *cluster.Stats, _ *cluster.Status) { s.Err = store.ErrClosed }}
	if v := read(f); v.Leader != "" || len(v.Members) > 0 || v.Verdict != "This node is closed." {
		t.Errorf("%+v", v)
	}
}

// The page in a real browser.
func TestThePageInABrowser(t *testing.T) {
	b := headless.Start(t, 1000, 900)
	f := &fake{}
	server := httptest.NewServer(http.StripPrefix("/node", Handler(f)))
	defer server.Close()
	b.Open(server.URL + "/node/")
	b.Until(`says.textContent === "Updates are taken: b leads, all 3 voters answer, and one may fail." && rates.length > 1 && rates.every((r) => r > 0)`)
	b.Until(`members.rows.length === 3 && members.rows[1].textContent === "a127.0.0.1:1follows0" && members.rows[2].cells[0].textContent === ` + "`" + hostile + "`")
	b.Until(`document.title === "Node a" && document.getElementById("gap").textContent === "690 ms" && /^12,00\d,\d00$/.test(document.getElementById("index").textContent) &&
		waiting.textContent === "3, 4.0 KiB" && snapshot.textContent === "3.0 MiB"`)

	f.mu.Lock()
	f.asked = 0 // it was opened again
	f.change = func(_ *cluster.Stats, s *cluster.Status) { s.Leader, s.Members = "", members("a", "-b", "-c") }
	f.mu.Unlock()
	b.Until(`verdict.dataset.level === "bad" && /2 of 3 voters are needed/.test(says.textContent) && /A lost majority/.test(todo.textContent) && /⚠/.test(document.title)`)
	b.Until(`members.rows[1].cells[2].className === "bad" && /no route/.test(members.rows[1].textContent) && members.rows[1].cells[3].textContent === "–"`)
	if least := b.JS(`Math.min(...rates)`); strings.HasPrefix(least, "-") {
		t.Errorf("the page has shown %s updates a second", least)
	}
	for _, fault := range b.Faults() {
		t.Errorf("the browser complains: %s", fault)
	}
	server.Close()
	b.Until(`/The program does not answer/.test(says.textContent)`)
}
