package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// aTime is a time as the command prints it.
var aTime = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`)

// TestTheSessionInTheREADME runs the commands that README.md shows, and compares what they
// print, but for times. A line that begins with # flips a bit in the file that it ends with.
func TestTheSessionInTheREADME(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths are printed with other separators")
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(readme), "```\n$ mkdir app; ")
	session, _, ended := strings.Cut("$ mkdir app; "+session, "```\n")
	if !found || !ended {
		t.Fatal("README.md has no session that begins with mkdir app")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("events.txt", []byte("ann +5\nbob +3\nann -2\ncid +9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for line := range strings.Lines(session) {
		switch {
		case strings.HasPrefix(line, "$ "):
			got.WriteString(line)
			shown(t, strings.TrimPrefix(line, "$ "), &got)
		case strings.HasPrefix(line, "# "):
			got.WriteString(line)
			flipIn(t, line[strings.LastIndex(line, " ")+1:len(line)-1])
		}
	}
	if got, want := aTime.ReplaceAllString(got.String(), "TIME"), aTime.ReplaceAllString(session, "TIME"); got != want {
		t.Errorf("the session is\n%s\nand README.md has\n%s", got, want)
	}
}

// shown runs a command as a shell would that knows words, comments and one redirection, and
// may make a directory before.
func shown(t *testing.T, command string, out io.Writer) {
	t.Helper()
	if before, after, both := strings.Cut(command, "; "); both {
		if err := os.Mkdir(strings.TrimPrefix(before, "mkdir "), 0o700); err != nil {
			t.Fatal(err)
		}
		command = after
	}
	command, _, _ = strings.Cut(command, "#")
	command, from, redirected := strings.Cut(command, "<")
	var in io.Reader = strings.NewReader("")
	if redirected {
		f, err := os.Open(strings.TrimSpace(from))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		in = f
	}
	run(t.Context(), strings.Fields(command)[1:], in, out, out)
}

// flipIn flips a bit in the second entry of a log.
func flipIn(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[180] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
