package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// A testServer is a server that can be looked into.
type testServer struct {
	*httptest.Server
	*server
	end    context.CancelFunc // of watches
	failed bool               // the store is to have failed
}

// limit is how long the server waits for a stalled client.
const limit = 300 * time.Millisecond

// startServer serves dir until the test ends. A writeTimeout of 0 is none.
func startServer(t *testing.T, dir string, writeTimeout time.Duration) *testServer {
	t.Helper()
	k, err := open(dir, store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{keys: k, ending: ctx, stop: cancel, patience: limit}
	ts := httptest.NewUnstartedServer(s.handler())
	ts.Config.WriteTimeout = writeTimeout
	ts.Start()
	all := &testServer{ts, s, cancel, false}
	t.Cleanup(func() {
		cancel()
		ts.Close()
		if err := k.Close(); errors.Is(err, store.ErrFailed) != all.failed || err != nil && !all.failed {
			t.Error(err)
		}
	})
	return all
}

// do makes a request and returns status and body.
func do(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// A step is a request and the answer that it must get. An empty want is not
// compared.
type step struct {
	method, path, body string
	status             int
	want               string
}

func TestRequests(t *testing.T) {
	largest := strings.Repeat("v", maxValue)
	longKey := strings.Repeat("k", maxKey)
	for name, steps := range map[string][]step{
		"put and get": {
			{"GET", "/kv/a", "", 404, "no such key\n"},
			{"PUT", "/kv/a", "one", 201, ""},
			{"GET", "/kv/a", "", 200, "one"},
			{"PUT", "/kv/a", "two", 204, ""},
			{"GET", "/kv/a", "", 200, "two"},
			{"PUT", "/kv/a", "", 204, ""},
			{"GET", "/kv/a", "", 200, ""},
		},
		"delete": {
			{"DELETE", "/kv/a", "", 404, "no such key\n"},
			{"PUT", "/kv/a", "one", 201, ""},
			{"DELETE", "/kv/a", "", 204, ""},
			{"GET", "/kv/a", "", 404, "no such key\n"},
			{"DELETE", "/kv/a", "", 404, "no such key\n"},
			{"PUT", "/kv/a", "again", 201, ""},
		},
		"list": {
			{"GET", "/kv/", "", 200, "[]\n"},
			{"PUT", "/kv/b", "", 201, ""},
			{"PUT", "/kv/a/2", "", 201, ""},
			{"PUT", "/kv/a/1", "", 201, ""},
			{"GET", "/kv/", "", 200, `["a/1","a/2","b"]` + "\n"},
			{"GET", "/kv/?prefix=a/", "", 200, `["a/1","a/2"]` + "\n"},
			{"GET", "/kv/?prefix=c", "", 200, "[]\n"},
		},
		"keys of any text": {
			{"PUT", "/kv/a%2F%2Fb", "slashes", 201, ""},
			{"GET", "/kv/a%2F%2Fb", "", 200, "slashes"},
			{"GET", "/kv/%2F", "", 404, "no such key\n"},
			{"PUT", "/kv/%2F", "a slash", 201, ""},
			{"GET", "/kv/%2F", "", 200, "a slash"},
			{"GET", "/kv/", "", 200, `["/","a//b"]` + "\n"},
			{"DELETE", "/kv/%2F", "", 204, ""},
			{"GET", "/kv/%2F", "", 404, "no such key\n"},
			{"PUT", "/kv/%20%C3%A9%3F%00", "others", 201, ""},
			{"GET", "/kv/%20%C3%A9%3F%00", "", 200, "others"},
			{"PUT", "/kv/" + longKey, "long", 201, ""},
			{"PUT", "/kv/" + longKey + "k", "", 400, ""},
			{"PUT", "/kv/", "", 400, ""},
		},
		"no method takes what is no key": {
			{"PUT", "/kv/%EF%BF%BD", "precious", 201, ""}, // what JSON makes of a byte that is not UTF-8
			{"PUT", "/kv/%FF", "", 400, ""},
			{"GET", "/kv/%FF", "", 400, ""},
			{"DELETE", "/kv/%FF", "", 400, "a key is UTF-8 text of 1 to 1024 bytes\n"},
			{"GET", "/kv/%EF%BF%BD", "", 200, "precious"},
			{"GET", "/kv/" + longKey + "k", "", 400, ""},
			{"DELETE", "/kv/" + longKey + "k", "", 400, ""},
			{"DELETE", "/kv/", "", 400, ""},
		},
		"values of any bytes": {
			{"PUT", "/kv/a", "\x00\xff\n\"", 201, ""},
			{"GET", "/kv/a", "", 200, "\x00\xff\n\""},
			{"PUT", "/kv/a", largest, 204, ""},
			{"PUT", "/kv/a", largest + "v", 413, ""},
			{"GET", "/kv/a", "", 200, largest},
		},
		"wrong requests": {
			{"POST", "/kv/a", "", 405, ""},
			{"GET", "/nothing", "", 404, ""},
			{"GET", "/watch?from=x", "", 400, ""},
			{"GET", "/watch?from=-1", "", 400, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := startServer(t, t.TempDir(), 0).URL
			for _, s := range steps {
				status, got := do(t, s.method, url+s.path, s.body)
				if status != s.status || s.want != "" && got != s.want {
					t.Fatalf("%s %.40s: %d %.40q, want %d %.40q", s.method, s.path, status, got, s.status, s.want)
				}
			}
		})
	}
}

// A browser that opens the address is told all that the package documentation lists.
func TestIndex(t *testing.T) {
	url := startServer(t, t.TempDir(), 0).URL
	do(t, "PUT", url+"/kv/a", "one")
	status, body := do(t, "GET", url+"/", "")
	if status != http.StatusOK || !strings.HasPrefix(body, "kv: a key-value server, keys: 1\n") {
		t.Errorf("status %d: %s", status, body)
	}
	main, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(body[strings.Index(body, "\n\n")+2:]) {
		if !strings.Contains(string(main), "//\t"+line) {
			t.Errorf("the documentation does not have the line %s", line)
		}
	}
}

// A watch is one that the test reads line by line.
type watch struct {
	*bufio.Scanner
	body io.Closer
}

func startWatch(t *testing.T, url string) *watch {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	return &watch{bufio.NewScanner(resp.Body), resp.Body}
}

// expect reads one line.
func (w *watch) expect(t *testing.T, want string) {
	t.Helper()
	if !w.Scan() {
		t.Fatalf("the watch ended, with error %v, where %s should be", w.Err(), want)
	}
	if w.Text() != want {
		t.Fatalf("the watch showed %s, want %s", w.Text(), want)
	}
}

func (w *watch) expectEnd(t *testing.T) {
	t.Helper()
	if w.Scan() || w.Err() != nil {
		t.Fatalf("the watch went on with %q, error %v", w.Text(), w.Err())
	}
}

func TestWatchShowsChangesFromNowOn(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	do(t, "PUT", s.URL+"/kv/a", "before")
	w := startWatch(t, s.URL+"/watch")
	do(t, "PUT", s.URL+"/kv/a", "x")
	w.expect(t, `{"index":2,"op":"put","key":"a","value":"eA=="}`)
	do(t, "DELETE", s.URL+"/kv/a", "")
	w.expect(t, `{"index":3,"op":"delete","key":"a"}`)
	s.end()
	w.expectEnd(t)
}

func TestWatchShowsHistory(t *testing.T) {
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		url := startServer(t, dir, 0).URL
		do(t, "PUT", url+"/kv/a", "x")
		do(t, "PUT", url+"/kv/b", "x")
		do(t, "PUT", url+"/kv/a", "x")
	})
	url := startServer(t, dir, 0).URL
	w := startWatch(t, url+"/watch?from=2")
	w.expect(t, `{"index":2,"op":"put","key":"b","value":"eA=="}`)
	w.expect(t, `{"index":3,"op":"put","key":"a","value":"eA=="}`)
	w = startWatch(t, url+"/watch?from=1&prefix=b")
	w.expect(t, `{"index":2,"op":"put","key":"b","value":"eA=="}`)
	do(t, "PUT", url+"/kv/c", "")
	do(t, "PUT", url+"/kv/bb", "")
	w.expect(t, `{"index":5,"op":"put","key":"bb"}`)
}

// A watch goes on after WriteTimeout, and after it had nothing to show for long.
func TestWatchOutlivesTimeouts(t *testing.T) {
	s := startServer(t, t.TempDir(), limit)
	w := startWatch(t, s.URL+"/watch?prefix=watched")
	s.pass(t, 3*limit)
	if _, err := s.keys.set(t.Context(), "watched", nil); err != nil {
		t.Fatal(err)
	}
	if !w.Scan() || !strings.Contains(w.Text(), `"watched"`) {
		t.Fatalf("the watch showed %q, error %v", w.Text(), w.Err())
	}
	s.pass(t, 3*limit)
	s.end()
	w.expectEnd(t)
}

// pass makes changes until d has passed.
func (s *testServer) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for start := time.Now(); time.Since(start) < d; {
		if _, err := s.keys.set(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
	}
}

// A client that does not read does not keep its watch, nor the server from
// ending.
func TestWatchEndsForStalledClient(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /watch?from=1 HTTP/1.1\r\nHost: kv\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, maxValue)
	for range 32 { // more than what the kernel buffers
		if _, err := s.keys.set(t.Context(), "a", value); err != nil {
			t.Fatal(err)
		}
	}
	s.Close() // waits for the end of requests
}
