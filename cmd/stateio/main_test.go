package main

import (
	"bytes"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary the program stateio, too, when it is run by
// that name: it is found in the PATH. "hasty" is the same program, but gives up soon after a
// signal.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"stateio": main, "hasty": func() {
		grace = time.Millisecond
		main()
	}})
}

// TestScripts runs the transcripts in testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"flip":    edit(flip),
			"cut":     edit(cut),
			"fill":    edit(fill),
			"copy":    copyDir,
			"exit":    exit,
			"refuses": refusesAll,
			"replace": replaceState,
			"program": backupByProgram,
		},
	})
}

// copyDir copies a directory: copy FROM TO.
func copyDir(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: copy FROM TO")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// exit runs a command, and checks its exit status: exit STATUS COMMAND...
func exit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit STATUS COMMAND...")
	}
	status := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var ok bool
		if status, ok = exitStatus(err); !ok {
			ts.Fatalf("%v", err)
		}
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}

// refusesAll checks that no command writes to the files: refuses FILE...
func refusesAll(ts *testscript.TestScript, neg bool, args []string) {
	for _, path := range args {
		before, err := os.ReadFile(ts.MkAbs(path))
		ts.Check(err)
		for _, command := range []string{"append", "snapshot", "truncate", "compact"} {
			if status, ok := exitStatus(ts.Exec("stateio", command, path)); !ok || status != exitFailure || neg {
				ts.Fatalf("%s %s: exit status %d", command, path, status)
			}
		}
		after, err := os.ReadFile(ts.MkAbs(path))
		ts.Check(err)
		if !bytes.Equal(before, after) {
			ts.Fatalf("%s was changed", path)
		}
	}
}

// edit makes a script command of a function that edits a file: NAME FILE N.
func edit(change func(b []byte, n int) []byte) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("wants a file and a number")
		}
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		path := ts.MkAbs(args[0])
		b, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, change(b, n), 0o600))
	}
}

// flip flips a bit of byte n.
func flip(b []byte, n int) []byte {
	b[n] ^= 1
	return b
}

// cut cuts the last n bytes off.
func cut(b []byte, n int) []byte { return b[:len(b)-n] }

// fill appends n lines.
func fill(b []byte, n int) []byte {
	out := bytes.NewBuffer(b)
	for i := range n {
		out.WriteString("line " + strconv.Itoa(i) + "\n")
	}
	return out.Bytes()
}
