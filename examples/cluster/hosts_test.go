package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// On a loopback address a name that belongs to somebody else is not answered.
func TestHostsThatAreAnswered(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		listen, host string
		want         int
	}{
		{"127.0.0.1:0", "127.0.0.1:8080", 200},
		{"127.0.0.1:0", "[::1]", 200},
		{"[::1]:0", "LOCALHOST:1", 200},
		{"127.0.0.1:0", "evil.example", 403},
		{"localhost:0", "evil.example:8080", 403},
		{"[::1]:0", "", 403},
		{":8080", "node-0.nodes:8080", 200}, // as in Kubernetes
		{"10.0.0.1:8080", "node-0.nodes:8080", 200},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		if forLoopback(c.listen, ok).ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("listening on %s, a request for %q: status %d, want %d", c.listen, c.host, w.Code, c.want)
		}
	}
}

// The page that kills nodes asks its requests for whom they are.
func TestTheDashboardHasNoOtherName(t *testing.T) {
	url, closePage, err := (&dashboard{}).open("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closePage()
	if got := statusFor(t, url, "evil.example"); got != http.StatusForbidden {
		t.Errorf("a request for another host: status %d", got)
	}
}

// statusFor returns the status of a request for a host.
func statusFor(t *testing.T, url, host string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
