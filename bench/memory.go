package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// peakMemory calls do and returns by how many bytes the memory of the program
// has grown meanwhile, at most: heap, stacks, and what the runtime needs, as
// seen every 2 ms.
func peakMemory(do func() error) (int64, error) {
	debug.FreeOSMemory() // else what is free is used first, and not seen
	before := memoryInUse()
	peak := before
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(2 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				peak = max(peak, memoryInUse())
			}
		}
	})
	err := do()
	close(done)
	wg.Wait()
	return max(peak, memoryInUse()) - before, err
}

// memoryInUse returns the bytes that the runtime has from the system.
func memoryInUse() int64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
