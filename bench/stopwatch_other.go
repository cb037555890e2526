//go:build !linux

package main

import "time"

// stopwatch returns a function that returns the time since.
func stopwatch() (elapsed func() time.Duration) {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
