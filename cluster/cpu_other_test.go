//go:build !unix

package cluster

import "time"

// cpuTime returns 0, since it is not known.
func cpuTime() time.Duration { return 0 }
