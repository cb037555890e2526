package report

import (
	"fmt"
	"strings"
)

const store, bound = "store", "bound"

// headline returns the first sentence of the page, which the figures make.
func (r *Report) headline() string {
	var parts []string
	for _, goroutines := range r.headGoroutines() {
		if s := r.speed(128, goroutines); s != "" {
			parts = append(parts, s)
		}
	}
	if s := r.recovered(); s != "" {
		parts = append(parts, s)
	}
	if s := r.silence(); s != "" {
		parts = append(parts, s)
	}
	if len(parts) == 0 {
		return "Nothing was compared."
	}
	s := strings.Join(parts, "; ") + "."
	return strings.ToUpper(s[:1]) + s[1:]
}

// headGoroutines returns the fewest goroutines, and the most up to 64.
func (r *Report) headGoroutines() []int {
	var fewest, most int
	for _, c := range r.Closed {
		if fewest == 0 || c.Goroutines < fewest {
			fewest = c.Goroutines
		}
		if c.Goroutines <= 64 {
			most = max(most, c.Goroutines)
		}
	}
	if fewest == most {
		return []int{fewest}
	}
	return []int{fewest, most}
}

// speed compares the store with the fastest peer, or else the bound.
func (r *Report) speed(size, goroutines int) string {
	var own, best, limit *Closed
	for i, c := range r.Closed {
		switch {
		case c.Size != size || c.Goroutines != goroutines:
		case c.Engine == store:
			own = &r.Closed[i]
		case c.Engine == bound:
			limit = &r.Closed[i]
		case best == nil || c.Rate.Median > best.Rate.Median:
			best = &r.Closed[i]
		}
	}
	if own == nil {
		return ""
	}
	s := fmt.Sprintf("with %d %s the store makes %s updates of %d bytes durable a second", goroutines, plural(goroutines, "goroutine"), count(own.Rate.Median), size)
	switch {
	case best != nil && best.Ratio >= 1:
		s += fmt.Sprintf(", %s what the fastest of the others does, %s", ratio(best.Ratio), best.Engine)
	case best != nil:
		s += fmt.Sprintf(", less than the fastest of the others: %s of what %s does", ratio(best.Ratio), best.Engine)
	case limit != nil:
		s += fmt.Sprintf(", %s of the bound", ratio(limit.Ratio))
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// recovered tells where the store is among those that read as many updates.
func (r *Report) recovered() string {
	var own *Recover
	faster, all := []string{}, 0
	for i, c := range r.Recovery {
		if c.Engine == store {
			own = &r.Recovery[i]
		}
	}
	if own == nil {
		return ""
	}
	for _, c := range r.Recovery {
		if c.Engine == store || c.Updates != own.Updates {
			continue
		}
		all++
		if c.Read.Median < own.Read.Median {
			faster = append(faster, c.Engine)
		}
	}
	s := fmt.Sprintf("it opens with all of %s updates read after %s", thousands(own.Updates), duration(own.Read.Median))
	switch {
	case all == 0:
	case len(faster) == 0:
		s += ", before all others"
	default:
		s += ", later than " + list(faster)
	}
	return s
}

// silence tells which of the engines hid damage.
func (r *Report) silence() string {
	if len(r.Damage) == 0 {
		return ""
	}
	var hid []string
	for _, d := range r.Damage {
		if d.Kill.Silent()+d.Torn.Silent()+d.Flipped.Silent() > 0 {
			hid = append(hid, d.Engine)
		}
	}
	if len(hid) == 0 {
		return "no engine lost or changed an update without saying so"
	}
	return "updates were lost or changed without an error by " + list(hid)
}
