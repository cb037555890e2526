package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A disk is measured before the program starts for the first time there, which it then can, and
// so can stateio make the store.
func TestAStoreIsMadeWhereABenchRuns(t *testing.T) {
	for _, args := range [][]string{{"append"}, {"snapshot"}} {
		dir := t.TempDir()
		b, err := newBenchDir(dir, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		runStateio(t, 0, strings.NewReader("one\n"), append(args, dir)...)
		if err := b.remove(); err != nil {
			t.Fatal(err)
		}
		if got, _ := runStateio(t, 0, nil, "restore", dir); got != "one\n" {
			t.Errorf("%q: restored %q", args, got)
		}
	}
}

// startBench starts a bench in dir that goes on, and returns once it has made its
// directory and works there.
func startBench(t *testing.T, dir string) (cmd *exec.Cmd, at string) {
	t.Helper()
	cmd = exec.Command("stateio", "bench", "--time", "1s", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	// A line says that the first thing is measured; the others take ten times as long.
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, benchPrefix+"*", benchLock))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return cmd, filepath.Dir(found[0])
}

// nextBench makes the directory of a bench in dir, removes it, and returns what that has
// told.
func nextBench(t *testing.T, dir string) string {
	t.Helper()
	var told strings.Builder
	d, err := newBenchDir(dir, &told)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	return told.String()
}

// What a bench that was killed left is removed by the next one in the same place, which
// says so. A bench that runs, and what bench did not make, stay.
func TestBenchRemovesWhatAKilledOneLeft(t *testing.T) {
	dir := t.TempDir()
	foreign := []string{".stateio-bench-1", ".stateio-bench-2", ".stateio-bench-abc", ".stateio-bench-"}
	for _, name := range foreign {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, ".stateio-bench-1", "mine"), nil)
	writeFile(t, filepath.Join(dir, ".stateio-bench-2", "plain"), nil)
	writeFile(t, filepath.Join(dir, ".stateio-bench-3"), nil)
	cmd, at := startBench(t, dir)
	if err := os.Mkdir(filepath.Join(dir, ".stateio-bench-4"), 0o700); err != nil { // before it had its lock
		t.Fatal(err)
	}
	errs := nextBench(t, dir)
	for _, want := range []string{
		"removed " + filepath.Join(dir, ".stateio-bench-4") + ", which a bench that was killed had left\n",
		".stateio-bench-1 seems to be left by a bench that was killed, and was not removed: it holds mine, which bench does not make\n",
		".stateio-bench-2 seems to be left by a bench that was killed, and was not removed: it has no lock",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("it does not say %q:\n%s", want, errs)
		}
	}
	if _, err := os.Stat(at); err != nil || strings.Count(errs, "removed ") != 1 {
		t.Fatalf("the one that runs: %v\n%s", err, errs)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if errs = nextBench(t, dir); !strings.Contains(errs, "removed "+at+", which") {
		t.Errorf("it does not say that it removed %s:\n%s", at, errs)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(foreign)+1 {
		t.Errorf("%v is left, %v", entries, err)
	}
}
