package main

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What is on the page can be done by hand.
func TestRequests(t *testing.T) {
	p := startParent(t, os.Stderr, "-writers", "0")
	long := strings.Repeat("x", maxText)
	for _, s := range []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"GET", "/", "", 200, "<!doctype html>"},
		{"GET", "/app.js", "", 200, "EventSource"},
		{"GET", "/nowhere", "", 404, ""},
		{"GET", "/healthz", "", 200, "ok\n"},
		{"GET", "/accounts/me", "", 404, "no such account"},
		{"POST", "/add/me", "hello", 200, `{"count":1,`},
		{"POST", "/add/me", "again", 200, `"last":"again"}`},
		{"GET", "/accounts/me", "", 200, `{"count":2,`},
		{"GET", "/stats", "", 200, `"updates":2,`},
		{"GET", "/debug/stateio/", "", 200, "<html"},
		{"POST", "/kill", "", 200, `"lost":0,`},
		{"GET", "/accounts/me", "", 200, `{"count":2,`},
		{"GET", "/accounts", "", 200, `{"me":{"count":2,`},
		{"POST", "/add/a%2Fb", long, 200, `{"count":1,`},
		{"GET", "/accounts/a%2Fb", "", 200, `{"count":1,`},
		{"POST", "/add/me", long + "x", 400, "too large"},
		{"POST", "/add/me", "\xff", 400, "UTF-8"},
		{"POST", "/add/" + strings.Repeat("n", maxName+1), "", 400, "the name of an account"},
		{"POST", "/add/%FF", "", 400, "the name of an account"},
		{"POST", "/add/writer-001", "1", 403, "only the writers"},
		{"GET", "/kill", "", 404, ""},
		{"POST", "/writers", "", 400, "from 0 to 256"},
		{"POST", "/writers?n=257", "", 400, "from 0 to 256"},
		{"POST", "/writers?n=3", "", 200, `"writers":3,`},
	} {
		status, body := do(t, s.method, p.url+s.path, s.body)
		if status != s.status || !strings.Contains(body, s.contains) {
			t.Errorf("%s %.40s: %d %.200q, want %d and %q", s.method, s.path, status, body, s.status, s.contains)
		}
	}
}

// Prometheus is told what the page is, one line for each figure, with what it is.
func TestMetrics(t *testing.T) {
	p := startParent(t, os.Stderr, "-writers", "0")
	do(t, "POST", p.url+"/add/me", "one")
	do(t, "POST", p.url+"/add/me", "two")
	if _, body := do(t, "GET", p.url+"/metrics", ""); strings.Contains(body, "last_") {
		t.Errorf("nothing was killed, and there are figures of it:\n%s", body)
	}
	do(t, "POST", p.url+"/kill", "")
	status, body := do(t, "GET", p.url+"/metrics", "")
	for _, want := range []string{"entries_acknowledged_total 2", "entries_lost_total 0", "accounts_wrong_total 0", "kills_total 1", "writers 0", "server_up 1", "last_replayed_updates 2"} {
		if !strings.Contains(body, "\nkill9_"+want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
	metric := regexp.MustCompile(`^# HELP (\w+) [^\n]+\.\n# TYPE (\w+) (counter|gauge)\n(\w+) [0-9.e+-]+\n`)
	for rest := body; rest != ""; {
		m := metric.FindStringSubmatch(rest)
		if m == nil || m[1] != m[2] || m[1] != m[4] || strings.HasSuffix(m[1], "_total") != (m[3] == "counter") {
			t.Fatalf("status %d, and this is no metric: %s", status, rest)
		}
		rest = rest[len(m[0]):]
	}
}

// A page of another site kills nothing.
func TestOtherSitesAreRefused(t *testing.T) {
	p := startParent(t, os.Stderr)
	req, err := http.NewRequestWithContext(t.Context(), "POST", p.url+"/kill", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %s", resp.Status)
	}
}

// A name of somebody else that leads to this computer gets no answer: neither from the
// parent nor from the server, whatever the origin.
func TestNamesOfOthersAreRefused(t *testing.T) {
	p := startParent(t, os.Stderr, "-writers", "0")
	for host, want := range map[string]int{
		"evil.example": http.StatusForbidden, "evil.example:8080": http.StatusForbidden, "127.0.0.1.evil.example": http.StatusForbidden,
		"localhost.evil.example": http.StatusForbidden, "localhost:8080": http.StatusOK, "127.0.0.1:8080": http.StatusOK, "[::1]:8080": http.StatusOK,
	} {
		for _, c := range []struct{ method, path string }{{"GET", "/"}, {"GET", "/accounts"}, {"POST", "/writers?n=0"}, {"POST", "/add/me"}, {"GET", "/debug/stateio/"}} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, p.url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			req.Header.Set("Origin", "http://"+host)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s %s for %s: status %s, want %d", c.method, c.path, host, resp.Status, want)
			}
		}
	}
}

// A name that -listen has is answered, and so is an address without a port.
func TestHostsThatAreAnswered(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		listen, host string
		want         int
	}{
		{"demo.example:80", "Demo.example", 200},
		{"demo.example:80", "demo.example:80", 200},
		{"demo.example:80", "example", 403},
		{":8080", "", 403},
		{":8080", "192.0.2.1:8080", 200},
		{"127.0.0.1:0", "[::1]", 200},
		{"127.0.0.1:0", "LOCALHOST:1", 200},
		{"127.0.0.1:0", "evil.example", 403},
	} {
		r := httptest.NewRequest("POST", "/kill", nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		if forHost(c.listen, ok).ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("-listen %s, a request for %q: status %d, want %d", c.listen, c.host, w.Code, c.want)
		}
	}
}

// The files of the page load nothing from elsewhere.
func TestThePageNeedsNoNetwork(t *testing.T) {
	files := 0
	err := fs.WalkDir(pageFiles, "page", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := fs.ReadFile(pageFiles, path)
		text := strings.ReplaceAll(string(b), "http://www.w3.org/2000/svg", "") // a name, not an address
		if strings.Contains(text, "//") && (strings.Contains(text, "http:") || strings.Contains(text, "https:")) {
			t.Errorf("%s has an address", path)
		}
		return err
	})
	if err != nil || files < 4 {
		t.Errorf("%d files, %v", files, err)
	}
}

// A stream is one of server-sent events.
type stream struct {
	t *testing.T
	*bufio.Scanner
	id string // of the last event
}

func startStream(t *testing.T, url, lastID string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", lastID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("GET %s: %s, %s", url, resp.Status, got)
	}
	return &stream{t, bufio.NewScanner(resp.Body), ""}
}

// next decodes the data of the next event.
func (s *stream) next(v any) {
	s.t.Helper()
	for s.Scan() {
		if id, ok := strings.CutPrefix(s.Text(), "id: "); ok {
			s.id = id
		}
		if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), v); err != nil {
				s.t.Fatal(err)
			}
			return
		}
	}
	s.t.Fatalf("the stream ended: %v", s.Err())
}

// Changes are shown when they are durable; who comes again after a kill misses none.
func TestChanges(t *testing.T) {
	p := startParent(t, os.Stderr, "-writers", "0")
	s := startStream(t, p.url+"/changes", "")
	do(t, "POST", p.url+"/add/me", "one")
	var g glimpse
	s.next(&g)
	if g.Made != 1 || len(g.Last) != 1 || g.Last[0] != (change{1, entry{"me", "one"}}) || s.id != "1" {
		t.Errorf("%+v, id %s", g, s.id)
	}
	do(t, "POST", p.url+"/add/me", "two")
	do(t, "POST", p.url+"/kill", "")
	do(t, "POST", p.url+"/add/me", "three")
	s = startStream(t, p.url+"/changes", "1")
	var texts []string
	for len(texts) < 2 {
		g = glimpse{}
		s.next(&g)
		for _, c := range g.Last {
			texts = append(texts, c.Text)
		}
	}
	if got := strings.Join(texts, " "); got != "two three" || s.id != "3" {
		t.Errorf("%s, id %s", got, s.id)
	}
}

// Of many changes, the last few are shown, and all are counted.
func TestManyChanges(t *testing.T) {
	p := startParent(t, os.Stderr, "-writers", "0")
	const n = 3 * glimpseChanges
	for range n {
		do(t, "POST", p.url+"/add/me", "")
	}
	s := startStream(t, p.url+"/changes", "0")
	for made := uint64(0); made < n; {
		var g glimpse
		s.next(&g)
		if made += g.Made; len(g.Last) == 0 || len(g.Last) > glimpseChanges || g.Last[len(g.Last)-1].Index != made {
			t.Fatalf("%+v, after %d changes", g, made)
		}
	}
}

// The page is told how many entries were acknowledged, and what came of a kill.
func TestEvents(t *testing.T) {
	p := startParent(t, os.Stderr)
	s := startStream(t, p.url+"/events", "")
	var got state
	for got.Acked < 10 {
		s.next(&got)
	}
	if got.Writers != 16 || got.PID == 0 || got.Killed != 0 {
		t.Errorf("%+v", got)
	}
	do(t, "POST", p.url+"/kill", "")
	for got.Killed == 0 {
		s.next(&got)
	}
	if k := got.Kills[0]; k.N != 1 || k.Lost != 0 || k.Wrong != 0 || got.Lost != 0 {
		t.Errorf("%+v", got)
	}
}

// What is in the files is for this computer alone, wherever the page is shown.
func TestTheInspectorIsForThisComputer(t *testing.T) {
	p := newParent(t.TempDir(), 0)
	r := httptest.NewRequest("GET", "/debug/stateio/", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	w := httptest.NewRecorder()
	p.handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}
