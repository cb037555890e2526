package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// count writes a number in three digits or so.
func count(f float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if f >= unit.size*0.9995 {
			return strconv.FormatFloat(f/unit.size, 'g', 3, 64) + unit.name
		}
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// bytesize writes a number of bytes.
func bytesize(n int64) string {
	f, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, next
	}
	if f >= 100 || f == float64(int64(f)) {
		return fmt.Sprintf("%.0f %s", f, unit)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// duration writes seconds in three digits or so.
func duration(seconds float64) string {
	d := time.Duration(seconds * 1e9)
	unit, name := time.Second, "s"
	switch {
	case d < time.Millisecond:
		unit, name = time.Microsecond, "µs"
	case d < time.Second:
		unit, name = time.Millisecond, "ms"
	}
	f := float64(d) / float64(unit)
	if f >= 100 {
		return fmt.Sprintf("%.0f %s", f, name)
	}
	return strconv.FormatFloat(f, 'g', 3, 64) + " " + name
}

// ratio writes how often as fast something is.
func ratio(f float64) string {
	if f >= 10 {
		return fmt.Sprintf("%.0fx", f)
	}
	return fmt.Sprintf("%.2fx", f)
}

// thousands writes a whole number with spaces that keep its groups together.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// list joins names.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
