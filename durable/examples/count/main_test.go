package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// asProgram in the environment makes the test binary the program.
const asProgram = "COUNT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run runs the program in dir, kills it when it has written n lines, and returns the
// first and the last number.
func run(t *testing.T, dir string, n int) (first, last int) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asProgram+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("the program wrote %q", lines.Text())
		}
		if i == 0 {
			first = last
		}
		if i == n-1 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // the error is that it was killed
	return first, last
}

// No number that the program has printed is counted again after kill -9.
func TestKill(t *testing.T) {
	rounds := 15
	if testing.Short() {
		rounds = 4
	}
	dir, last := t.TempDir(), 0
	for round := range rounds {
		first, now := run(t, dir, 20+round)
		// One update may have been on the disk, and not printed.
		if first != last+1 && first != last+2 {
			t.Fatalf("round %d began with %d, after %d", round, first, last)
		}
		last = now
	}
	if last < rounds*20 {
		t.Errorf("it counted to %d", last)
	}
}

// The first code of README.md is that of this program.
func TestTheReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Skipf("not run: here is only this module: %v", err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := bytes.Cut(readme, []byte("```go\n"))
	code, _, found := bytes.Cut(code, []byte("```\n"))
	if !found || len(code) < 200 || !bytes.HasSuffix(source, code) {
		t.Errorf("the README has\n%s", code)
	}
}
