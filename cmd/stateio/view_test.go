package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// view serves a page for who has the URL that it prints, and for nobody else, until it is
// interrupted.
func TestView(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	if status := run(t.Context(), []string{"append", path}, strings.NewReader("one\ntwo\n"), io.Discard, io.Discard); status != exitOK {
		t.Fatalf("append: exit status %d", status)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	out, in := io.Pipe()
	ended := make(chan int)
	var stderr strings.Builder
	go func() {
		status := run(ctx, []string{"view", path}, nil, in, &stderr)
		in.CloseWithError(errors.New("view has ended"))
		ended <- status
	}()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v, exit status %d: %s", err, <-ended, stderr.String())
	}
	page, token, ok := strings.Cut(strings.TrimSpace(url), "?")
	if !ok || !strings.HasPrefix(page, "http://127.0.0.1:") {
		t.Fatalf("the URL is %q", url)
	}
	for query, want := range map[string]int{token: http.StatusOK, "": http.StatusUnauthorized, token + "x": http.StatusUnauthorized} {
		r, err := http.Get(page + "api/summary?" + query)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != want || (want == http.StatusOK) != strings.Contains(string(body), `"updates":`) {
			t.Errorf("with %q: status %d, %s, %v", query, r.StatusCode, body, err)
		}
	}
	cancel(interrupted{os.Interrupt})
	if status := <-ended; status != 130 {
		t.Errorf("interrupted, the exit status is %d: %s", status, stderr.String())
	}
}

// What is not there is told at once.
func TestViewOfNothing(t *testing.T) {
	var stderr strings.Builder
	if status := run(t.Context(), []string{"view", t.TempDir()}, nil, io.Discard, &stderr); status != exitFailure || !strings.Contains(stderr.String(), "there is no store in") {
		t.Errorf("exit status %d, %q", status, stderr.String())
	}
}
