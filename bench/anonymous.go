package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// anonymous returns how much memory of the process is not pages of files, in bytes:
// the heap after a garbage collection, and what libraries have taken beside it.
func anonymous() (int64, error) {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) { // only Linux tells
		return memoryInUse(), nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kb, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			var n int64
			_, err := fmt.Sscanf(strings.TrimSpace(kb), "%d kB", &n)
			return n << 10, err
		}
	}
	return memoryInUse(), nil
}
