//go:build !unix

package shadow_test

import (
	"os"
	"testing"
)

// stop has a process do nothing from now on.
func stop(t *testing.T, _ *os.Process) { t.Skip("not run: this system stops no process") }
