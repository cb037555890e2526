package child

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/stateio/stateio/bench/engine"
)

// peakMemory returns how much memory this process had at most, or the one that db is in:
// 0 where the system does not tell, which only Linux does.
func peakMemory(db engine.DB) (int64, error) {
	process := "self"
	if s, ok := db.(engine.Server); ok {
		process = strconv.Itoa(s.Pid())
	}
	f, err := os.Open("/proc/" + process + "/status")
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			var kib int64
			_, err := fmt.Sscanf(value, "%d kB", &kib)
			return kib << 10, err
		}
	}
	return 0, lines.Err()
}
