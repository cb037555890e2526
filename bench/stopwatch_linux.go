package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// stopwatch returns a function that returns how long the goroutine has computed since:
// what others do with the processor meanwhile does not count.
func stopwatch() (elapsed func() time.Duration) {
	runtime.LockOSThread()
	start := threadTime()
	return func() time.Duration {
		defer runtime.UnlockOSThread()
		return threadTime() - start
	}
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // fails for no clock that there is
	return time.Duration(t.Nano())
}
