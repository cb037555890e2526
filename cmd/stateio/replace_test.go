package main

import (
	"context"
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
