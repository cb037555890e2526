package main

import (
	"bytes"
	"context"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stateio/stateio/store"
)

// replaceState installs a state in a store, as a program does: replace DIR STATE.
func replaceState(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: replace DIR STATE")
	}
	s, err := store.Open(ts.MkAbs(args[0]), &blindMachine{}, nil)
	ts.Check(err)
	_, err = s.Replace(context.Background(), strings.NewReader(args[1]))
	ts.Check(err)
	ts.Check(s.Close())
}

// backupByProgram writes a backup of a store with a state, as a program does: program DIR STATE FILE.
func backupByProgram(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: program DIR STATE FILE")
	}
	m := &blindMachine{}
	s, err := store.Open(ts.MkAbs(args[0]), m, nil)
	ts.Check(err)
	m.state = bytes.NewReader([]byte(args[1]))
	var b bytes.Buffer
	_, err = s.Backup(context.Background(), &b)
	ts.Check(err)
	ts.Check(s.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b.Bytes(), 0o600))
}
