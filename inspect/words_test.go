package inspect_test

import (
	"fmt"
	"testing"

	"github.com/stateio/stateio/inspect"
)

// Programs read these words in the JSON of the command.
func TestTheWordsForKindsDoNotChange(t *testing.T) {
	for want, got := range map[string][]any{
		"[current obsolete padding torn tail]": {inspect.Current, inspect.Obsolete, inspect.Padding, inspect.TornTail},
		"[update snapshot]":                    {inspect.Update, inspect.Snapshot},
		"[state file log snapshot]":            {inspect.StateFile, inspect.LogFile, inspect.SnapshotFile},
		"[header update state end free hole torn damage stranded]": {
			inspect.ContentHeader, inspect.ContentUpdate, inspect.ContentState, inspect.ContentEnd, inspect.ContentFree,
			inspect.ContentHole, inspect.ContentTorn, inspect.ContentDamage, inspect.ContentStranded,
		},
	} {
		if fmt.Sprint(got) != want {
			t.Errorf("the words are %v, and were %s", got, want)
		}
	}
}
