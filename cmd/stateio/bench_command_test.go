package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
)

// bench measures each thing, and leaves nothing there, also when it is interrupted.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"bench", "--time", "4ms", dir}, strings.NewReader(""), &out, &errs); status != exitOK {
		t.Fatalf("exit status %d: %s", status, &errs)
	}
	for _, want := range []string{"a write of 4 KiB and a sync: median", "WRITERS", "\n     128      256 ", "\n    4096       16 ", "replay of ", "a snapshot of 64 MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("bench does not say %q:\n%s", want, &out)
		}
	}
	out.Reset()
	if status := run(t.Context(), []string{"bench", "--json", "--time", "4ms", dir}, strings.NewReader(""), &out, &errs); status != exitOK {
		t.Fatalf("exit status %d: %s", status, &errs)
	}
	var r benchResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || len(r.Rates) != 10 || r.Sync.Count < 2 || r.Replay.Updates == 0 || r.Snapshot.Longest <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, rate := range r.Rates {
		if rate.Rate <= 0 || rate.Bound <= 0 || rate.P99 < rate.P50 {
			t.Errorf("%+v", rate)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGINT})
	if status := run(ctx, []string{"bench", dir}, strings.NewReader(""), &out, &errs); status != 130 {
		t.Errorf("exit status %d when interrupted", status)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("bench has left %v, %v", left, err)
	}
	if status := run(t.Context(), []string{"bench", "--time", "0s", dir}, strings.NewReader(""), &out, &errs); status != exitUsage {
		t.Errorf("exit status %d without time", status)
	}
	if status := run(t.Context(), []string{"bench", dir + "/none"}, strings.NewReader(""), &out, &errs); status != exitFailure {
		t.Errorf("exit status %d without a directory", status)
	}
}
