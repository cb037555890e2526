package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// benchLine is an update as programs make many of them.
const benchLine = "some line of text that is about sixty bytes long, or longer"

// benchLines makes 16 MB of updates.
func benchLines() string { return strings.Repeat(benchLine+"\n", 16<<20/(len(benchLine)+1)) }

// BenchmarkCommands runs every command on a state file of 16 MB of 60-byte lines,
// from the command line to the exit status. The old epoch that truncate and epochs
// meet is as long again.
func BenchmarkCommands(b *testing.B) {
	text := benchLines()
	dir := b.TempDir()
	file := filepath.Join(dir, "app.state")
	writeEntries(b, file, text, false)
	small := filepath.Join(dir, "small-epochs.state")
	writeEntries(b, small, text[:len(text)/8], true)
	for _, c := range []struct {
		name, file, input string
		args              []string
	}{
		{"verify", file, "", []string{"verify"}},
		{"restore", file, "", []string{"restore"}},
		{"restore to a file", file, "", []string{"restore", "--force", "--updates", filepath.Join(dir, "out")}},
		{"log", file, "", []string{"log"}},
		{"log json", file, "", []string{"log", "--json"}},
		{"epochs", file, "", []string{"epochs"}},
		{"epochs, all small", small, "", []string{"epochs"}},
		{"verify, epochs all small", small, "", []string{"verify"}},
		{"restore the first, epochs all small", small, "", []string{"restore", "--epoch", "0"}},
		{"compact", file, "", []string{"compact"}},
		{"truncate", file, "", []string{"truncate"}},
		{"append in batches", "new", text, []string{"append", "--batch", "100000"}},
		{"append as a whole", "new", text, []string{"append", "--whole"}},
		{"snapshot", file, text, []string{"snapshot"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			size := int64(len(text))
			for b.Loop() {
				path := c.file
				switch {
				case path == "new":
					path = filepath.Join(b.TempDir(), "new.state")
				case c.input != "":
					b.StopTimer()
					path = filepath.Join(b.TempDir(), "copy.state")
					copyFile(b, c.file, path)
					b.StartTimer()
				}
				var errs bytes.Buffer
				if status := run(b.Context(), append(c.args, path), strings.NewReader(c.input), io.Discard, &errs); status != 0 {
					b.Fatal(status, errs.String())
				}
				if info, err := os.Stat(path); err == nil && c.file != "new" {
					size = info.Size()
				}
			}
			ms := float64(b.Elapsed().Nanoseconds()) / 1e6 / float64(b.N)
			b.ReportMetric(ms/(float64(size)/1e6), "ms/MB")
		})
	}
}

// writeEntries writes a state file: each line of text is an update, or a snapshot.
func writeEntries(b *testing.B, path, text string, snapshots bool) {
	b.Helper()
	var buf bytes.Buffer
	w := stateio.NewWriter(&buf, 0, 0)
	write := w.Update
	if snapshots {
		write = w.Snapshot
	}
	for line := range strings.Lines(text) {
		if err := write([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
}

func copyFile(b *testing.B, from, to string) {
	b.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}
