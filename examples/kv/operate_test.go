package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// makeChanges makes two changes, and one that is refused.
func makeChanges(t *testing.T, url string) {
	t.Helper()
	do(t, "PUT", url+"/kv/a", "one")
	do(t, "PUT", url+"/kv/b", "two")
	do(t, "DELETE", url+"/kv/c", "")
}

func TestStats(t *testing.T) {
	url := startServer(t, t.TempDir(), 0).URL
	makeChanges(t, url)
	_, body := do(t, "GET", url+"/stats", "")
	var got struct {
		Index, Durable, Commits int
		UpdateErrors            int `json:"update_errors"`
		LogBytes                int `json:"log_bytes"`
		DiskBytes               int `json:"disk_bytes"`
		CommitDurations         struct {
			P50 int `json:"p50_ns"`
		} `json:"commit_durations"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if got.Index != 2 || got.Durable != 2 || got.Commits != 2 || got.UpdateErrors != 1 ||
		got.LogBytes == 0 || got.DiskBytes < got.LogBytes || got.CommitDurations.P50 == 0 {
		t.Errorf("stats after two changes: %s", body)
	}
}

// Prometheus gets the figures of the store, and of the process.
func TestMetrics(t *testing.T) {
	url := startServer(t, t.TempDir(), 0).URL
	makeChanges(t, url)
	status, body := do(t, "GET", url+"/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, line := range []string{
		`stateio_updates_total{store="kv"} 2`,
		`stateio_updates_refused_total{reason="apply",store="kv"} 1`,
		`stateio_commit_duration_seconds_count{store="kv"} 2`,
		`stateio_failed{store="kv"} 0`,
		`# TYPE go_goroutines gauge`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("there is no %s in\n%s", line, body)
		}
	}
}

// While changes are refused for lack of space, /healthz says so, and why.
func TestHealthzOfAFullDisk(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	answer := httptest.NewRecorder()
	s.fail(answer, fmt.Errorf("putting a key: %w", store.ErrNoSpace))
	if answer.Code != http.StatusInsufficientStorage {
		t.Errorf("a change for which there is no space: %d", answer.Code)
	}
	if status, body := do(t, "GET", s.URL+"/healthz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "changes are refused: putting a key") {
		t.Errorf("then: %d %q", status, body)
	}
	s.full.Store(&refusal{store.ErrNoSpace, time.Now().Add(-fullTime)})
	if status, body := do(t, "GET", s.URL+"/healthz", ""); status != http.StatusOK {
		t.Errorf("when somebody has to try again: %d %q", status, body)
	}
	for _, change := range []string{"PUT", "DELETE"} {
		s.fail(httptest.NewRecorder(), store.ErrNoSpace)
		if status, _ := do(t, change, s.URL+"/kv/a", ""); status >= 300 {
			t.Errorf("%s: %d", change, status)
		}
		if status, body := do(t, "GET", s.URL+"/healthz", ""); status != http.StatusOK {
			t.Errorf("after a %s that succeeds: %d %q", change, status, body)
		}
	}
}

// A store that has failed is told at /healthz, and that alone ends the program.
func TestHealthz(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows removes no file that is open")
	}
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	if status, body := do(t, "GET", s.URL+"/healthz", ""); status != http.StatusOK || body != "ok\n" {
		t.Errorf("of a good store: %d %q", status, body)
	}
	if err := s.ending.Err(); err != nil {
		t.Fatalf("the program ends: %v", err)
	}
	if err := s.keys.Put(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	s.failed = true
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	if err := os.Remove(logs[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.keys.Put(t.Context(), "b", nil); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("a change without a log: %v", err)
	}
	if err := s.ending.Err(); err != nil {
		t.Fatalf("nobody has asked, and the program ends: %v", err)
	}
	if status, body := do(t, "GET", s.URL+"/healthz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "has failed") {
		t.Errorf("of a store that has failed: %d %q", status, body)
	}
	if s.ending.Err() == nil {
		t.Error("the program does not end")
	}
}
