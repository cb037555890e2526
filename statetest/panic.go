package statetest

import (
	"fmt"
	"runtime"
	"strings"
)

// A panicError is a panic of the machine.
type panicError struct {
	value any
	stack string // from where it panicked up to this package
}

func (e *panicError) Error() string {
	return fmt.Sprintf("the machine panicked: %v\n%s", e.value, e.stack)
}

// guarded calls f and turns a panic into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, stack()}
		}
	}()
	return f()
}

// stack returns the calls from this package to the function that panicked, the
// last one first.
func stack() string {
	const pkg = "github.com/stateio/stateio/statetest."
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var b strings.Builder
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, pkg) || !more {
			return b.String()
		}
		if !strings.HasPrefix(f.Function, "runtime.") {
			fmt.Fprintf(&b, "  %s\n      %s:%d\n", f.Function, f.File, f.Line)
		}
	}
}
