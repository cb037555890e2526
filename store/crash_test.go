package store_test

import (
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
)

// A power cut at any moment, also while the store recovers from one, rotates
// its log, writes a snapshot or drops old files, leaves a store that opens and
// holds an exact prefix of the updates with all that were acknowledged.
func TestCrash(t *testing.T) {
	count := int64(1_000_000)
	if testing.Short() {
		count = 5000
	}
	crashtest.Test(t, crashtest.NewBudget(t, count))
}
