package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
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
		status := run(ctx, []string{"view", path, "--host", "db1"}, nil, in, &stderr)
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
	for host, want := range map[string]int{"db1": http.StatusOK, "db2": http.StatusForbidden} {
		ask, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"api/summary?"+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		ask.Host = host + ":7117"
		r, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != want || (want == http.StatusOK) == strings.Contains(string(body), "stateio view --host") {
			t.Errorf("for %s: status %d, %s, %v", host, r.StatusCode, body, err)
		}
	}
	cancel(interrupted{os.Interrupt})
	if status := <-ended; status != 130 {
		t.Errorf("interrupted, the exit status is %d: %s", status, stderr.String())
	}
}

// Who can reach the page from elsewhere is told when it is served.
func TestViewSaysWhenOthersCanReachIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	if status := run(t.Context(), []string{"append", path}, strings.NewReader("one\n"), io.Discard, io.Discard); status != exitOK {
		t.Fatalf("append: exit status %d", status)
	}
	for listen, told := range map[string]bool{":0": true, "0.0.0.0:0": true, "127.0.0.1:0": false, "localhost:0": false} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var stderr strings.Builder
		stdout := afterWrite(func() { cancel(interrupted{os.Interrupt}) })
		if status := run(ctx, []string{"view", path, "--listen", listen}, nil, stdout, &stderr); status != 130 {
			t.Errorf("--listen %s: exit status %d", listen, status)
		}
		if strings.Contains(stderr.String(), "everybody in the network who has the URL") != told {
			t.Errorf("--listen %s: %s", listen, stderr.String())
		}
	}
}

// An afterWrite is called when something was written.
type afterWrite func()

func (f afterWrite) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

// What may not be read is told at once.
func TestViewOfWhatMayNotBeRead(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("everything may be read")
	}
	path := filepath.Join(t.TempDir(), "app.state")
	mustRun(t, "one\n", "append", path)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stdout := afterWrite(func() { cancel(interrupted{os.Interrupt}) })
	var stderr strings.Builder
	if status := run(ctx, []string{"view", path}, nil, stdout, &stderr); status != exitFailure || !strings.Contains(stderr.String(), "permission denied") {
		t.Errorf("exit status %d, %q", status, stderr.String())
	}
}

// What is not there is told at once.
func TestViewOfNothing(t *testing.T) {
	var stderr strings.Builder
	if status := run(t.Context(), []string{"view", t.TempDir()}, nil, io.Discard, &stderr); status != exitFailure || !strings.Contains(stderr.String(), "there is no store in") {
		t.Errorf("exit status %d, %q", status, stderr.String())
	}
}
