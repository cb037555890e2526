package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// aTime is a time as the command prints it.
var aTime = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`)

// TestTheSessionInTheREADME runs the commands that README.md shows, and compares what they
// print, but for times.
func TestTheSessionInTheREADME(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths are printed with other separators, and there is no shell")
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(readme), "```\n$ printf ")
	session, _, ended := strings.Cut("$ printf "+session, "```\n")
	if !found || !ended {
		t.Fatal("README.md has no session that begins with printf")
	}
	t.Chdir(t.TempDir())
	var got bytes.Buffer
	for line := range strings.Lines(session) {
		if command, isCommand := strings.CutPrefix(line, "$ "); isCommand {
			got.WriteString(line)
			shown(t, command, &got)
		}
	}
	if got, want := aTime.ReplaceAllString(got.String(), "TIME"), aTime.ReplaceAllString(session, "TIME"); got != want {
		t.Errorf("the session is\n%s\nand README.md has\n%s", got, want)
	}
}

// shown runs a command of stateio as a shell would that knows words, comments and one
// redirection, and may make a directory before. A shell runs what begins with printf.
func shown(t *testing.T, command string, out io.Writer) {
	t.Helper()
	if strings.HasPrefix(command, "printf ") {
		if b, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, b)
		}
		return
	}
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
