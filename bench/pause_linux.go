package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause waits. It holds a thread, and ends within some 50 µs of its time, which a timer of
// Go's may miss by a millisecond.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it: the caller looks at the clock
}
