package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// statJSON returns what stat --json says, which must exit with that status.
func statJSON(t *testing.T, status int, args ...string) (s stat) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), append([]string{"stat", "--json"}, args...), strings.NewReader(""), &out, &errs); got != status {
		t.Fatalf("exit status %d, want %d: %s", got, status, &errs)
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// statStore makes a store with four snapshots and some updates after the last.
func statStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for range 4 {
		mustRun(t, strings.Repeat("12345\n", 1000), "append", "--batch", "1000", dir)
		mustRun(t, "a state", "snapshot", dir)
	}
	mustRun(t, "1\n22\n333\n", "append", dir)
	return dir
}

// dirSize returns the bytes in the logs and snapshots in dir.
func dirSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	for _, path := range mustGlob(t, dir, ".log", ".snap") {
		size += int64(len(readFile(t, path)))
	}
	return size
}

func TestStatOfAStore(t *testing.T) {
	dir := statStore(t)
	s := statJSON(t, exitOK, dir)
	if s.Kind != "store" || s.Updates != 4003 || s.First != 1 || *s.Last != 4003 || s.Payload != 4*5000+6 || s.Torn != 0 || s.Damaged != 0 {
		t.Errorf("%+v", s)
	}
	if want := dirSize(t, dir); s.Size != want || len(s.Sizes) != 2 || s.Sizes[0].Bytes+s.Sizes[1].Bytes != want || s.Sizes[1] != (kindSize{"snapshot", 4, s.Sizes[1].Bytes}) {
		t.Errorf("%d bytes, %v, want %d", s.Size, s.Sizes, want)
	}
	if last := s.Snapshot; *last.Index != 4000 || last.Updates != 3 || *last.Age < 0 || *last.Age > 600 || time.Since(*last.Time) > 10*time.Minute {
		t.Errorf("%+v", last)
	}
	sum := uint64(0)
	for _, n := range s.Rate.Counts {
		sum += n
	}
	if sum != 4003 || s.Until.Before(*s.From) || s.Rate.Mean <= 0 || s.Rate.Most < s.Rate.Mean {
		t.Errorf("%+v, from %v until %v", s.Rate, s.From, s.Until)
	}
}

// What stat says that a snapshot would free is what one frees.
func TestStatSaysWhatASnapshotFrees(t *testing.T) {
	for keep := 1; keep <= 6; keep++ {
		dir := statStore(t)
		want := statJSON(t, exitOK, dir, "--keep", string(rune('0'+keep))).Free
		before := map[string]int64{}
		for _, path := range mustGlob(t, dir, ".log", ".snap") {
			before[path] = int64(len(readFile(t, path)))
		}
		m := &blindMachine{}
		s, err := store.Open(dir, m, &store.Options{KeepSnapshots: keep, SnapshotBytes: -1, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		m.state = bytes.NewReader([]byte("a state"))
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range mustGlob(t, dir, ".log", ".snap") {
			delete(before, path)
		}
		got := int64(0)
		for _, size := range before {
			got += size
		}
		if want.Keep != keep || got != want.Bytes || (got == 0) != (keep >= 5) {
			t.Errorf("with %d kept, %d bytes are freed, and stat says %+v", keep, got, want)
		}
	}
}

func TestStatOfDamage(t *testing.T) {
	dir := statStore(t)
	logs := mustGlob(t, dir, ".log")
	b := readFile(t, logs[1])
	b[len(b)/2] ^= 1
	writeFile(t, logs[1], b)
	if s := statJSON(t, exitDamage, dir); s.Damaged != 1 || s.Updates < 3003 || s.Updates >= 4003 || *s.Last != 4003 || s.Snapshot.Updates != 3 {
		t.Errorf("%+v", s)
	}
	torn := statStore(t)
	logs = mustGlob(t, torn, ".log")
	b = readFile(t, logs[len(logs)-2])
	if err := os.Remove(logs[len(logs)-1]); err != nil {
		t.Fatal(err)
	}
	writeFile(t, logs[len(logs)-2], b[:len(b)-20]) // the seal is broken: nothing shows that it was there
	if s := statJSON(t, exitOK, torn); s.Torn == 0 || s.Damaged != 0 || s.Updates != 4003 {
		t.Errorf("%+v", s)
	}
}

func TestStatOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.state")
	mustRun(t, strings.Repeat("12345\n", 1000), "append", "--batch", "1000", file)
	old := int64(len(readFile(t, file)))
	mustRun(t, "a state", "snapshot", file)
	mustRun(t, "1\n", "append", file)
	s := statJSON(t, exitOK, file)
	if s.Kind != "file" || s.Updates != 1001 || s.Payload != 5001 || s.Snapshot.Updates != 1 || s.Snapshot.Size != 7 || s.From != nil || s.Rate != nil {
		t.Errorf("%+v", s)
	}
	if s.Free.Bytes > old || s.Free.Bytes < old-100 {
		t.Errorf("compact would free %d bytes, of %d before the snapshot", s.Free.Bytes, old)
	}
	b := readFile(t, file)
	writeFile(t, file, b[:len(b)-1])
	if s := statJSON(t, exitOK, file); s.Torn == 0 || s.Damaged != 0 {
		t.Errorf("torn: %+v", s)
	}
	b[100] ^= 1
	writeFile(t, file, b)
	if s := statJSON(t, exitDamage, file); s.Damaged != 1 {
		t.Errorf("damaged: %+v", s)
	}
}

// What stat says that compact would free is what it frees, and nothing where it refuses the file.
func TestStatSaysWhatCompactFrees(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.state")
	mustRun(t, "first\nsecond\n", "append", file)
	mustRun(t, "a state", "snapshot", file)
	mustRun(t, "third\nfourth\n", "append", file)
	whole := readFile(t, file)
	flipped := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	torn := whole[:len(whole)-1]
	for name, of := range map[string]struct {
		b       []byte
		status  int
		refused bool
	}{
		"whole":                              {whole, exitOK, false},
		"a torn tail":                        {torn, exitOK, false},
		"damage in an epoch before":          {flipped(whole, 40), exitDamage, false},
		"both":                               {flipped(torn, 40), exitDamage, false},
		"damage in the current epoch":        {flipped(whole, len(whole)-40), exitDamage, true},
		"bytes that may be of a first write": {whole[:10], exitDamage, true},
	} {
		writeFile(t, file, of.b)
		s := statJSON(t, of.status, file)
		if of.refused {
			if s.Free != nil {
				t.Errorf("%s: %+v of a file that compact refuses", name, s.Free)
			}
			continue
		}
		mustRun(t, "", "compact", file)
		if got, want := s.Free.Bytes, int64(len(of.b)-len(readFile(t, file))); got != want {
			t.Errorf("%s: compact would free %d bytes, and has freed %d", name, got, want)
		}
	}
}

func TestStatOfABackupAndInterrupted(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(filepath.Join(dir, "app"), &blindMachine{state: bytes.NewReader([]byte("a state"))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Update(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "backup")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := statJSON(t, exitOK, path); got.Kind != "backup" || *got.Last != 1 || got.Snapshot.Size != 7 || got.Until == nil {
		t.Errorf("%+v", got)
	}
	cut := filepath.Join(dir, "cut")
	b := readFile(t, path)
	writeFile(t, cut, b[:len(b)-1])
	if got := statJSON(t, exitDamage, cut); got.Kind != "backup" || got.Damaged != 1 || got.Size != int64(len(b)-1) {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGINT})
	for _, path := range []string{path, filepath.Join(dir, "app")} {
		var out, errs bytes.Buffer
		if status := run(ctx, []string{"stat", path}, strings.NewReader(""), &out, &errs); status != 130 || out.Len() > 0 {
			t.Errorf("%s: exit status %d: %s%s", path, status, &out, &errs)
		}
	}
}

// A writerFunc is a writer.
type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// What is known of a store, a file or a backup before all of it is read is told before that:
// an interrupt that comes as soon as it is told, comes in the middle of the walk.
func TestStatTellsFirstWhatItKnows(t *testing.T) {
	dir := statStore(t)
	file := filepath.Join(t.TempDir(), "app.state")
	mustRun(t, strings.Repeat("12345\n", 1000), "append", "--batch", "1000", file)
	for path, want := range map[string]string{
		dir:  " store, [0-9.]+ kB\n  log         6 files, [0-9.]+ kB\n  snapshot    4 files, [0-9]+ bytes\n$",
		file: " file, [0-9.]+ kB\n$",
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var out, errs bytes.Buffer
		lines := strings.Count(want, "\n")
		status := run(ctx, []string{"stat", path}, strings.NewReader(""), writerFunc(func(b []byte) (int, error) {
			if out.Write(b); bytes.Count(out.Bytes(), []byte("\n")) == lines {
				cancel(interrupted{syscall.SIGINT})
			}
			return len(b), nil
		}), &errs)
		if got := out.String(); status != 130 || !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("exit status %d, and it told %q, want %q", status, got, want)
		}
		if want := "reading " + path + " is not complete\n"; !strings.HasSuffix(errs.String(), want) {
			t.Errorf("it said %q, want %q", &errs, want)
		}
		out.Reset()
		if status := run(ctx, []string{"stat", "--json", path}, strings.NewReader(""), &out, &errs); status != 130 || out.Len() > 0 {
			t.Errorf("--json: exit status %d, %q", status, &out)
		}
		cancel(nil)
	}
}

// A rate counts each update once, in the step that it belongs to, whatever the times.
func TestRateCountsEachUpdateInItsStep(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var r rate
		at := time.Unix(1e9, 0)
		scale := math.Pow(10, float64(random.IntN(12)))
		var times []time.Time
		for range 1 + random.IntN(300) {
			at = at.Add(time.Duration(random.Float64() * scale))
			times = append(times, at)
			r.add(at)
		}
		want := make([]uint64, len(r.counts))
		for _, at := range times {
			want[at.Sub(times[0])/r.step]++
		}
		for i := range want {
			if want[i] != r.counts[i] {
				t.Fatalf("step %d of %v has %d updates, want %d", i, r.step, r.counts[i], want[i])
			}
		}
		if len(want) > rateSteps || r.step > time.Millisecond && len(want) <= rateSteps/2 {
			t.Errorf("%d steps of %v", len(want), r.step)
		}
		if told := r.told(); told != nil && (len([]rune(told.curve())) != len(want) || told.Most < told.Mean) {
			t.Errorf("%+v: %q", told, told.curve())
		}
	}
}

func TestBytesInDigits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1 kB", 1234: "1.23 kB", 99_960: "100 kB", 999_499: "999 kB", 999_500: "1 MB",
		1_500_000_000: "1.5 GB", math.MaxInt64: "9.22 EB",
	} {
		if got := bytesOf(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
