//go:build race

package cluster

import "testing"

// concurrently does nothing under the race detector: it makes nodes so slow that the elections
// of several clusters at a time get into each other's way.
func concurrently(*testing.T) {}
