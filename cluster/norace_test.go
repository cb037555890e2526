//go:build !race

package cluster

import "testing"

// concurrently lets a test run at the same time as others. Most of its time it waits.
func concurrently(t *testing.T) { t.Parallel() }
