package view

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio/store"
)

// get makes a request of h as a browser on the same computer does, unless change changes
// it.
func get(h http.Handler, url string, change func(r *http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", url, nil)
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:4000"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// ask returns an answer of h.
func ask[T any](t *testing.T, h http.Handler, url string) (v T) {
	t.Helper()
	w := get(h, url, nil)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: status %d: %s", url, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s: %v in %s", url, err, w.Body)
	}
	return v
}

// settled returns the summary of h once all was read, and the verdict on it is made.
func settled(t *testing.T, h http.Handler) summary {
	t.Helper()
	s := read(t, h)
	if !s.Whole {
		t.Fatalf("not all was read: %+v", s)
	}
	return s
}

// read has what is there read, and returns the summary.
func read(t *testing.T, h http.Handler) summary {
	t.Helper()
	ask[summary](t, h, "/api/summary")
	source := h.(*handler).source
	source.mu.Lock()
	reading := source.reading
	source.mu.Unlock()
	if reading != nil {
		<-reading
	}
	return ask[summary](t, h, "/api/summary")
}

func bankStore(t *testing.T, updates int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bank")
	makeBank(t, dir, updates)
	return dir
}

// Only requests get through against which nothing speaks.
func TestWhoGetsAnAnswer(t *testing.T) {
	dir := bankStore(t, 9)
	open, closed := Handler(dir, nil), Handler(dir, &Options{Token: "secret", Hosts: []string{"db.example.com"}})
	header := func(name, value string) func(r *http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	fetch := func(site, mode, dest string) func(r *http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", site)
			r.Header.Set("Sec-Fetch-Mode", mode)
			r.Header.Set("Sec-Fetch-Dest", dest)
		}
	}
	far := func(r *http.Request) { r.RemoteAddr = "192.0.2.7:999" }
	host := func(h string) func(r *http.Request) { return func(r *http.Request) { r.Host = h } }
	token := "?token=secret"
	for name, c := range map[string]struct {
		h      http.Handler
		url    string
		change func(r *http.Request)
		status int
	}{
		"same computer":           {open, "/api/summary", nil, 200},
		"localhost":               {open, "/api/summary", host("localhost:1"), 200},
		"IPv6":                    {open, "/api/summary", host("[::1]:1"), 200},
		"own origin":              {open, "/api/summary", header("Origin", "http://127.0.0.1:8080"), 200},
		"followed link":           {open, "/", fetch("cross-site", "navigate", "document"), 200},
		"followed without slash":  {open, "/stateio", fetch("cross-site", "navigate", "document"), 303},
		"own page":                {open, "/api/summary", fetch("same-origin", "cors", "empty"), 200},
		"typed in":                {open, "/api/summary", fetch("none", "navigate", "document"), 200},
		"page in a frame":         {open, "/", fetch("cross-site", "navigate", "iframe"), 403},
		"data in a frame":         {open, "/api/summary", fetch("cross-site", "navigate", "iframe"), 403},
		"link to data":            {open, "/api/summary", fetch("cross-site", "navigate", "document"), 403},
		"link to data, same site": {open, "/api/state?index=1", fetch("same-site", "navigate", "document"), 403},
		"link to a script":        {open, "/main.js", fetch("cross-site", "navigate", "document"), 403},
		"image of another site":   {open, "/", fetch("cross-site", "no-cors", "image"), 403},
		"other computer":          {open, "/api/summary", far, 403},
		"rebound name":            {open, "/api/summary", host("evil.example:8080"), 403},
		"other origin":            {open, "/api/summary", header("Origin", "http://evil.example"), 403},
		"other port":              {open, "/api/summary", header("Origin", "http://127.0.0.1:9"), 403},
		"opaque origin":           {open, "/api/summary", header("Origin", "null"), 403},
		"script of another site":  {open, "/main.js", header("Sec-Fetch-Site", "cross-site"), 403},
		"POST":                    {open, "/api/summary", func(r *http.Request) { r.Method = "POST" }, 405},
		"no token":                {closed, "/api/summary", nil, 401},
		"no token, page":          {closed, "/", nil, 401},
		"no token, script":        {closed, "/main.js", nil, 401},
		"wrong token":             {closed, "/api/summary?token=secreT", nil, 401},
		"token":                   {closed, "/api/summary" + token, far, 200},
		"token and own name":      {closed, "/api/summary" + token, host("DB.example.com:8080"), 200},
		"token and wrong name":    {closed, "/api/summary" + token, host("db.example.org"), 403},
		"unknown question":        {open, "/api/nothing", nil, 404},
		"unknown file":            {open, "/nothing.js", nil, 404},
		"way out":                 {open, "/../handler.go", nil, 404},
		"file that is not there":  {open, "/api/cells?file=../x", nil, 404},
		"nonsense":                {open, "/api/entries?index=-1", nil, 400},
		"nothing to look for":     {open, "/api/search?q=", nil, 400},
		"state of no snapshot":    {open, "/api/state?index=1", nil, 400},
		"figures without a store": {open, "/api/live", nil, 400},
	} {
		w := get(c.h, c.url, c.change)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, c.status, w.Body)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; ") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", name, csp)
		}
		if w.Code != 200 && strings.Contains(w.Body.String(), "order 100") {
			t.Errorf("%s: the answer has data: %s", name, w.Body)
		}
	}
}

// The page, what it loads, and its data are found wherever it is mounted.
func TestThePageWorksAtAnyPath(t *testing.T) {
	h := Handler(bankStore(t, 9), nil)
	for _, at := range []string{"/", "/debug/stateio/", "/internal/api/", "/x/uplot/", "/api/api/"} {
		mux := http.NewServeMux()
		mux.Handle(at, h)
		for name, kind := range map[string]string{"": "text/html", "app.css": "text/css", "uplot/uPlot.min.css": "text/css", "api/summary": "application/json"} {
			if w := get(mux, at+name, nil); w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) {
				t.Errorf("%s%s: status %d, %s", at, name, w.Code, w.Header().Get("Content-Type"))
			}
		}
		if w := get(mux, at+"api/nothing", nil); w.Code != http.StatusNotFound {
			t.Errorf("%sapi/nothing: status %d", at, w.Code)
		}
	}
}

// The URL with the token gives a cookie, with which the rest is answered, and leads to the
// URL without it.
func TestTokenBecomesACookie(t *testing.T) {
	token := NewToken()
	h := http.StripPrefix("/debug/stateio", Handler(bankStore(t, 9), &Options{Token: token}))
	w := get(h, "/debug/stateio/?token="+token, nil)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./" || len(cookies) != 1 {
		t.Fatalf("status %d, leads to %q, cookies %v", w.Code, w.Header().Get("Location"), cookies)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "" {
		t.Errorf("the cookie is %v", c)
	}
	with := func(value string) func(r *http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: c.Name, Value: value}) }
	}
	if w := get(h, "/debug/stateio/api/summary", with(c.Value)); w.Code != http.StatusOK {
		t.Errorf("with the cookie: status %d", w.Code)
	}
	if w := get(h, "/debug/stateio/api/summary", with(c.Value+"x")); w.Code != http.StatusUnauthorized {
		t.Errorf("with a wrong cookie: status %d", w.Code)
	}
	if other := NewToken(); other == token || len(token) < 20 {
		t.Errorf("tokens are %q and %q", token, other)
	}
}

// Behind a proxy that gives the page another path the token opens it: a browser keeps the
// cookie for the path that it knows.
func TestTokenBehindAProxy(t *testing.T) {
	token := NewToken()
	page := httptest.NewServer(http.StripPrefix("/debug/stateio", Handler(bankStore(t, 9), &Options{Token: token})))
	defer page.Close()
	target, err := url.Parse(page.URL + "/debug/stateio/")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/x/", "/x/y/"} {
		forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
		front := httptest.NewServer(http.StripPrefix(strings.TrimSuffix(path, "/"), forward))
		defer front.Close()
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Jar: jar}
		for _, what := range []string{"?token=" + token, "api/summary", "uplot/LICENSE"} {
			resp, err := browser.Get(front.URL + path + what)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Request.URL.RawQuery != "" {
				t.Errorf("%s%s: status %d, at %s", path, what, resp.StatusCode, resp.Request.URL)
			}
		}
		resp, err := browser.Get(front.URL + "/other/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if sent := resp.Request.Header["Cookie"]; (sent == nil) != (path != "/") {
			t.Errorf("%s: %q is sent elsewhere", path, sent)
		}
	}
}

// The page is served at any path, with the prefix cut off and without, and a missing slash
// is added.
func TestMounting(t *testing.T) {
	page := Handler(bankStore(t, 9), nil)
	mux := http.NewServeMux()
	mux.Handle("/debug/stateio/", page)
	mux.Handle("/cut/", http.StripPrefix("/cut", page))
	mux.Handle("/bare", http.StripPrefix("/bare", page))
	mux.Handle("/whole", page)
	mux.Handle("/whole/", page)
	mux.Handle("/slash/", http.StripPrefix("/slash/", page))
	for url, want := range map[string]string{
		"/debug/stateio/":                    "<!doctype html>",
		"/debug/stateio/main.js":             "// The page",
		"/debug/stateio/uplot/LICENSE":       "The MIT License",
		"/debug/stateio/api/summary":         `{"path":`,
		"/cut/":                              "<!doctype html>",
		"/slash/":                            "<!doctype html>",
		"/slash/main.js":                     "// The page",
		"/slash/api/summary":                 `{"path":`,
		"/cut/api/summary":                   `{"path":`,
		"/cut/uplot/uPlot.iife.min.js":       "/*! https://github.com/leeoniya/uPlot",
		"/debug/stateio/api/entries?limit=1": `{"rows":[{"file":`,
	} {
		if w := get(mux, url, nil); w.Code != 200 || !strings.HasPrefix(w.Body.String(), want) {
			t.Errorf("%s: status %d, %.60q", url, w.Code, w.Body)
		}
	}
	for url, want := range map[string]string{"/bare": "./bare/", "/whole?token=x": "./whole/?token=x", "/whole/d%C3%A9j%C3%A0": "./d%C3%A9j%C3%A0/"} {
		if w := get(mux, url, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%s: status %d, leads to %q, want %q", url, w.Code, w.Header().Get("Location"), want)
		}
	}
}

// A missing slash leads to the same site only: not where a browser would read a scheme, a
// host or another header in the name.
func TestNoRedirectLeadsElsewhere(t *testing.T) {
	page := Handler(bankStore(t, 9), nil)
	for name, h := range map[string]http.Handler{"whole": page, "cut": http.StripPrefix("/m", page), "cut to nothing": cutAll(page)} {
		for _, path := range []string{
			"/https:evil%252ecom", "/https:evil%252ecom?token=x", "/https:3232235777", "/javascript:alert(1)", "/x%5Cy", "/%5C%5Cevil",
			"/%2F%2Fevil", "/a%0d%0aSet-Cookie:x=1", "/%00", "/%FF", "//evil", "/..", "/.%2e", "/ ", "/a@b", "/%E2%80%AE",
		} {
			url := strings.ReplaceAll(path, " ", "%20")
			if name == "cut" {
				url = "/m" + url
			}
			w := get(h, url, nil)
			if to := w.Header().Get("Location"); w.Code == http.StatusSeeOther && to != "./evil/" || w.Code != http.StatusSeeOther && to != "" {
				t.Errorf("%s: %s: status %d, leads to %q", name, url, w.Code, to)
			}
		}
	}
}

// cutAll has h see no path, as where a prefix was cut off that is the whole of it.
func cutAll(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = "", ""
		h.ServeHTTP(w, r)
	})
}

// Nothing on the page comes from elsewhere, and no script or style is inline.
func TestThePageIsSelfContained(t *testing.T) {
	b, err := os.ReadFile("web/index.html")
	if err != nil {
		t.Fatal(err)
	}
	html := string(b)
	for _, bad := range []string{"http:", "https:", "//", " style=", " onclick=", "<style", "<script>", "javascript:"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if strings.Count(html, "<script") != 2 {
		t.Error("the page has other scripts than two")
	}
}

// A store that is written to, with new logs and snapshots all the time, is never shown as
// damaged.
func TestAStoreInUseIsSound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "live")
	s, err := store.Open(dir, newBank(), &store.Options{SnapshotBytes: 20_000, KeepSnapshots: 1, PreallocateBytes: 16 << 10, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Update(context.Background(), []byte(`{"from":"ada","to":"bo","amount":1}`)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	h := Handler(dir, nil)
	h.(*handler).source.freshness = 0
	looks := 300
	if testing.Short() {
		looks = 50
	}
	for i := 0; i < looks || s.Stats().Snapshots < 5; i++ {
		sum := read(t, h)
		if sum.Verdict.Level == "bad" || sum.Verdict.Level == "warn" {
			t.Errorf("look %d: %+v, %+v", i, sum.Verdict, sum.Damages)
			break
		}
	}
	stop()
	writers.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	read(t, h)
	if sum := settled(t, h); sum.Verdict.Level != "ok" || sum.Last != s.Index() {
		t.Errorf("closed: %+v, up to %d of %d", sum.Verdict, sum.Last, s.Index())
	}
}

// Requests may come concurrently while the files are read: go test -race looks at it.
func TestConcurrentRequests(t *testing.T) {
	h := Handler(bankStore(t, 200), nil)
	h.(*handler).source.freshness = 0
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for range 20 {
				for _, url := range []string{"/api/summary", "/api/time", "/api/entries?index=5"} {
					if w := get(h, url, nil); w.Code != http.StatusOK {
						t.Errorf("%s: status %d: %s", url, w.Code, w.Body)
					}
				}
			}
		})
	}
	askers.Wait()
}
