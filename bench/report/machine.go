package report

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// ThisMachine describes where dir is. What only Linux tells is empty elsewhere.
func ThisMachine(dir string) Machine {
	m := Machine{
		Processors: runtime.NumCPU(),
		System:     runtime.GOOS + "/" + runtime.GOARCH,
		Directory:  dir,
		Go:         runtime.Version(),
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += ", kernel " + strings.TrimSpace(string(release))
	}
	m.Processor = field("/proc/cpuinfo", "model name")
	var kib int64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d kB", &kib); err == nil {
		m.Memory = kib << 10
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	m.FileSystem = mount("/proc/self/mounts", dir)
	return m
}

// field returns the value of the first line "name : value" of a file, or "".
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// mount returns the file system that a directory is on, by a table like that of fstab.
func mount(table, dir string) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	best, found := "", ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		// A later mount hides an earlier one at the same place.
		if at := fields[1]; len(at) >= len(best) && under(dir, at) {
			best, found = at, fmt.Sprintf("%s on %s (%s)", fields[2], fields[0], fields[3])
		}
	}
	return found
}

// under tells whether dir is at, or below it.
func under(dir, at string) bool {
	return at == "/" || dir == at || strings.HasPrefix(dir, at+"/")
}

// Versions returns the version of each module in the program.
func Versions() map[string]string {
	versions := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, m := range append(info.Deps, &info.Main) {
		versions[m.Path] = m.Version
	}
	return versions
}
