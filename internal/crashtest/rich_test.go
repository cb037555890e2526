//go:build !race

// It looks at hundreds of runs, one after the other, which the race detector would take
// minutes for and learn nothing from: TestCrash of package store makes such runs.

package crashtest

import (
	"strings"
	"testing"
)

// Whatever is drawn at times happens in some runs, and each kind of error comes
// back from the store.
func TestRunsAreAsRichAsIsSaid(t *testing.T) {
	missing := map[string]bool{}
	for _, mark := range []string{
		"-- generation 3, after a power cut before rename", "-- generation 5, after a power cut", "-- generation 5, after being killed",
		"-- meanwhile, 6 updates", "-- meanwhile, 1 updates",
		"-- snapshot\n", "-- reopening\n", "-- a change of 4 updates", "-- a state of", "-- installing a state: store: ", "torn bytes off", "-- importing\n",
		"-- following from update", "-- reading updates", "-- the state of index",
		"-- the disk has", "-- there is space again", "-- the update: store: setting", "-- the snapshot: store: making a",
		"for ever: true", "revert: true", "after: true", "-- store: ", "-- the snapshot: store: ", "-- closing: store: /replayed has failed",
		"-- the update: store: /replayed has failed", "-- restoring index", "-- following: ",
		"-- LOCK is removed", "-- all files are linked", ".log.copy.tmp -> /replayed", "-- refused: ", "function not implemented",
		"input/output error", "no space left on device", "disk quota exceeded", "file too large", "too many open files",
	} {
		missing[mark] = true
	}
	for seed := uint64(1); len(missing) > 0 && seed <= 1500; seed++ {
		transcript := transcriptOf(t, seed)
		for mark := range missing {
			if strings.Contains(transcript, mark) {
				delete(missing, mark)
			}
		}
	}
	for mark := range missing {
		t.Errorf("no transcript has %q", mark)
	}
}
