package store_test

import (
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
)

// Whatever a crowd of users does at once: nobody is told that an update is durable
// that a power cut could take away, nobody sees a state between two updates, and
// nobody waits for ever.
func TestCrowd(t *testing.T) {
	crowds := 1000
	if testing.Short() {
		crowds = 60
	}
	crashtest.Crowds(t, crowds)
}
