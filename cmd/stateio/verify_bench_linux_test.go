package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// readAndHash reads the files, and hashes what is in them: what verify can't do without.
func readAndHash(tb testing.TB, paths []string) (size int64) {
	tb.Helper()
	buf := make([]byte, 256<<10)
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			tb.Fatal(err)
		}
		sum := xxhash.New()
		for {
			n, err := f.Read(buf)
			_, _ = sum.Write(buf[:n]) // never fails
			size += int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				tb.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return size
}

// BenchmarkVerify verifies 64 MB in each form, and in turns with it reads and hashes the same
// files, which is the bound. It reports the ratio of processor times, which does not depend
// on what else the machine does, and the bytes that a second of one processor verifies.
func BenchmarkVerify(b *testing.B) {
	for _, form := range []struct {
		name, kind string
		size       int // of an update
	}{
		{"file, updates of 60 bytes", "file", 60},
		{"file, updates of 1 kB", "file", 1000},
		{"file, updates of 64 kB", "file", 64 << 10},
		{"store, updates of 60 bytes", "store", 60},
		{"store, updates of 1 kB", "store", 1000},
		{"store, updates of 64 kB", "store", 64 << 10},
		{"store, a snapshot", "snapshot", 0},
	} {
		path, files := verifyInput(b, form.kind, form.size)
		b.Run(form.name, func(b *testing.B) {
			var bound, verify time.Duration
			size := int64(0)
			for b.Loop() {
				start := processorTime(b)
				size += readAndHash(b, files)
				middle := processorTime(b)
				if status := run(b.Context(), []string{"verify", path}, strings.NewReader(""), io.Discard, io.Discard); status != exitOK {
					b.Fatalf("exit status %d", status)
				}
				bound += middle - start
				verify += processorTime(b) - middle
			}
			b.ReportMetric(float64(bound)/float64(verify), "of-bound")
			b.ReportMetric(float64(size)/1e6/verify.Seconds(), "MB/cpu-s")
			b.ReportMetric(float64(size)/1e6/bound.Seconds(), "bound-MB/cpu-s")
		})
	}
}

// processorTime returns how much time of processors this process has had.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &at); err != nil {
		b.Fatal(err)
	}
	return time.Duration(at.Nano())
}

// verifyInput makes what is verified, of updates of a size, and returns its path and its
// files.
func verifyInput(b *testing.B, kind string, size int) (path string, files []string) {
	b.Helper()
	const total = 64 << 20
	random := rand.NewChaCha8([32]byte{1})
	path = b.TempDir()
	if kind == "file" {
		path = filepath.Join(path, "app.state")
	}
	data := make([]byte, total)
	_, _ = random.Read(data) // never fails
	if kind == "snapshot" {
		mustRun(b, "first\n", "append", path)
		mustRun(b, string(data), "snapshot", path)
		return path, mustGlob(b, path, ".snap", ".log")
	}
	for i := range data {
		if data[i] == '\n' {
			data[i] = ' '
		}
	}
	for at := size - 1; at < len(data); at += size {
		data[at] = '\n'
	}
	var out, errs bytes.Buffer
	if status := run(b.Context(), []string{"append", "--batch", "1000", path}, bytes.NewReader(data), &out, &errs); status != exitOK {
		b.Fatalf("exit status %d: %s", status, &errs)
	}
	if kind == "file" {
		return path, []string{path}
	}
	return path, mustGlob(b, path, ".log")
}
