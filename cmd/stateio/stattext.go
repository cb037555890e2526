package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// A statText tells a stat to people, in a table of two columns, as soon as it is known.
type statText struct {
	w     io.Writer
	quiet bool // it is told in another form, in the end
	kinds int  // told, of stat.Sizes
	err   error
}

// first tells what is known before all is read: what it is, how large, and the sizes that s
// has already. It tells nothing if the command is interrupted.
func (t *statText) first(ctx context.Context, s *stat) error {
	if ctx.Err() != nil {
		return notRead(ctx, s.Path)
	}
	t.line(printable(s.Path), "%s, %s", s.Kind, bytesOf(s.Size))
	t.sizes(s)
	return t.err
}

// sizes tells what takes the space, unless it was told.
func (t *statText) sizes(s *stat) {
	for ; t.kinds < len(s.Sizes); t.kinds++ {
		k := s.Sizes[t.kinds]
		t.line("  "+k.Kind, "%s, %s", s.pieces(k.Count), bytesOf(k.Bytes))
	}
}

// rest tells what is known when all was read.
func (t *statText) rest(s *stat) error {
	t.sizes(s)
	switch {
	case s.First > 0:
		t.line("  updates", "%s, %d to %d: %s of payload", count(int64(s.Updates), "update"), s.First, *s.Last, bytesOf(s.Payload))
	case s.Kind != "backup":
		t.line("  updates", "%s: %s of payload", count(int64(s.Updates), "update"), bytesOf(s.Payload))
	}
	if s.From != nil && s.Until != nil {
		t.line("  made", "from %s to %s, in %v", stamp(*s.From), stamp(*s.Until), brief(s.Until.Sub(*s.From)))
	}
	if r := s.Rate; r != nil {
		t.line("  rate", "%s updates/s on average, %s at most in %v", perSecond(r.Mean), perSecond(r.Most), time.Duration(r.Step*float64(time.Second)))
		t.line("", "|%s|", r.curve())
	}
	s.tellSnapshot(t)
	if s.Torn > 0 {
		t.line("  torn tail", "%s, not acknowledged: what a crash cut short, or what is being written now", bytesOf(s.Torn))
	}
	return t.err
}

// pieces says how many there are of what a kind has.
func (s *stat) pieces(n int64) string {
	switch {
	case s.Kind == "store":
		return count(n, "file")
	case n == 1:
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// tellSnapshot prints what is known of the last snapshot, and of the next.
func (s *stat) tellSnapshot(t *statText) {
	switch last := s.Snapshot; {
	case last == nil:
		t.line("  newest", "there is no snapshot")
	case last.Age != nil && *last.Age < 0:
		t.line("  newest", "snapshot after update %d, at a time that is still to come, since the clock was ahead; %s; %s since", *last.Index, bytesOf(last.Size), count(int64(last.Updates), "update"))
	case last.Age != nil:
		t.line("  newest", "snapshot after update %d, %v ago, %s; %s since", *last.Index, brief(time.Duration(*last.Age*float64(time.Second))), bytesOf(last.Size), count(int64(last.Updates), "update"))
	case last.Index != nil:
		t.line("  newest", "snapshot after update %d, %s; %s since", *last.Index, bytesOf(last.Size), count(int64(last.Updates), "update"))
	default:
		t.line("  newest", "snapshot of %s; %s since", bytesOf(last.Size), count(int64(last.Updates), "update"))
	}
	switch {
	case s.Free == nil:
	case s.Kind == "store":
		t.line("  another", "snapshot would free %s, with --keep %d", bytesOf(s.Free.Bytes), s.Free.Keep)
	default:
		t.line("  compact", "would free %s", bytesOf(s.Free.Bytes))
	}
}

// line prints a line.
func (t *statText) line(name, format string, args ...any) {
	if t.err == nil && !t.quiet {
		_, t.err = fmt.Fprintf(t.w, "%-12s  %s\n", name, fmt.Sprintf(format, args...))
	}
}

// bytesOf returns a size in bytes, kB, MB and so on, in three digits.
func bytesOf(n int64) string {
	if n < 1000 {
		return count(n, "byte")
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < len("kMGTPE") {
		f /= 1000
		unit++
	}
	return fmt.Sprintf("%.3g %cB", f, "kMGTPE"[unit-1])
}

// perSecond returns a rate in three digits, or as a whole number.
func perSecond(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}
