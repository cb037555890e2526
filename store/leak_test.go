package store_test

import (
	"runtime"
	"strings"
	"time"
)

// leaked returns the stacks of goroutines that stores and followers have
// started, or that are in one of their methods, once those that are ending have
// ended: within a minute, on a busy machine.
func leaked() string {
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(time.Minute); ; runtime.Gosched() {
		var left []string
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "stateio/store.") || strings.Contains(stack, "stateio/internal/latelog.") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}
