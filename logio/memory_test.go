package logio_test

import "runtime"

// allocatedBy is how many bytes op allocates.
func allocatedBy(op func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	op()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
