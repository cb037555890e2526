package main

import (
	"os"
	"testing"

	"github.com/stateio/stateio/bench/child"
)

// The tests start their own program as a child, too.
func TestMain(m *testing.M) {
	child.Main(engines())
	os.Exit(m.Run())
}
