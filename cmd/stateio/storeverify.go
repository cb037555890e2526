package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/stateio/stateio/store"
)

// verifyStore verifies the store in a directory, and reports whether it is
// sound.
func verifyStore(ctx context.Context, dir string, stdout io.Writer) (sound bool, err error) {
	reports, err := store.Check(ctx, dir)
	if ctx.Err() != nil {
		return false, fmt.Errorf("%w: verifying %s is not complete", context.Cause(ctx), dir)
	}
	if err != nil {
		return false, err
	}
	damaged, logs, snaps, updates := 0, 0, 0, uint64(0)
	for _, r := range reports {
		damaged += len(r.Damage)
		updates += r.Updates
		if strings.HasSuffix(r.Path, ".snap") {
			snaps++
		} else {
			logs++
		}
		if err := describeFile(stdout, r); err != nil {
			return false, err
		}
	}
	holds := fmt.Sprintf("%s in %s, and %s", count(int64(updates), "update"), count(logs, "log"), count(snaps, "snapshot"))
	verdict := "ok: " + holds
	if damaged > 0 {
		verdict = storeVerdict(ctx, dir, holds)
	}
	_, err = fmt.Fprintf(stdout, "%s: %s\n", dir, verdict)
	return damaged == 0, err
}

// describeFile prints what is wrong with a file of a store.
func describeFile(w io.Writer, r store.FileReport) error {
	for _, d := range r.Damage {
		if _, err := fmt.Fprintf(w, "%s: damaged: offset %d: %v\n", d.Path, d.Offset, d.Err); err != nil {
			return err
		}
	}
	if r.Torn == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: torn tail: %s (not acknowledged): what a commit has left that a crash cut short\n",
		r.Path, count(r.Torn, "byte"))
	return err
}

// storeVerdict says whether a damaged store still has its current state.
func storeVerdict(ctx context.Context, dir, holds string) string {
	last, err := lastIndex(ctx, dir)
	if err == nil {
		err = store.RestoreAt(dir, &blindMachine{}, last)
	}
	if err != nil {
		return "DAMAGED, the current state too: the store can't be opened. " +
			"Keep a copy; stateio restore --at gives back the state after an update before the damage"
	}
	return fmt.Sprintf("damaged, but the current state, after update %d, is intact: %s", last, holds)
}
