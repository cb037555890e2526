package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const help = `Type a line:  k1 kills node 1 (kill -9), k the leader;  p1 pauses it, or lets it go on;
              c1 closes it in good order;  r1 starts it again;  s shows the status;  q checks, and ends
`

// obeyKeys does what is typed, until "q" or the end of in.
func obeyKeys(in io.Reader, out io.Writer, f *fleet, l *load, d *dashboard) error {
	say(out, help)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch line {
		case "":
			continue
		case "q":
			return f.startAll()
		case "s":
			f.show(out, l)
			continue
		case "k":
			i, err := f.leader()
			if err != nil {
				say(out, "%v\n", err)
				continue
			}
			line = fmt.Sprintf("k%d", i+1)
		}
		if err := d.do(line); err != nil {
			say(out, "%v\n", err)
		}
	}
	return f.startAll()
}

// obey does one thing with one node.
func (f *fleet) obey(line string, out io.Writer, l *load) error {
	if len(line) != 2 || line[1] < '1' || line[1] >= '1'+nodes {
		say(out, help)
		return nil
	}
	i := int(line[1] - '1')
	switch line[0] {
	case 'k':
		_, err := failover(out, l, name(i)+" is killed", func() error { return f.kill(i) })
		return err
	case 'c':
		_, err := failover(out, l, name(i)+" is closed", func() error { return f.close(i) })
		return err
	case 'r':
		err := f.start(i)
		if err == nil {
			say(out, "%s starts\n", name(i))
		}
		return err
	case 'p':
		what := name(i) + " goes on"
		paused, err := f.pause(i)
		if err != nil {
			return err
		}
		if paused {
			what = name(i) + " is paused"
		}
		_, err = failover(out, l, what, func() error { return nil })
		return err
	}
	say(out, help)
	return nil
}

// failover does something, and prints and returns how long no addition was acknowledged. It does not
// wait for that where it takes another key first.
func failover(out io.Writer, l *load, what string, do func() error) (gap time.Duration, err error) {
	l.gap.Store(0)
	if err := do(); err != nil {
		return 0, err
	}
	if up := l.f.up(); up < nodes/2+1 {
		say(out, "%s: %d of %d nodes are up, and no majority: additions wait until another one is\n", what, up, nodes)
		return 0, nil
	}
	if err := l.flows(100, time.Minute); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	gap = time.Duration(l.gap.Load()).Round(time.Millisecond)
	say(out, "%s: the longest time without an acknowledgement was %v\n", what, gap)
	return gap, nil
}

// startAll starts the nodes that do not run, and lets the others go on.
func (f *fleet) startAll() error {
	for i := range nodes {
		f.mu.Lock()
		runs, paused := f.procs[i] != nil, f.paused[i]
		f.mu.Unlock()
		var err error
		if paused {
			_, err = f.pause(i)
		} else if !runs {
			err = f.start(i)
		}
		if err != nil {
			return err
		}
	}
	return f.ready(time.Minute)
}

func (f *fleet) show(out io.Writer, l *load) {
	say(out, "%d additions acknowledged, %d tried again\n", l.acked.Load(), l.retries.Load())
	for i := range nodes {
		s, err := f.status(i)
		if err != nil {
			say(out, "%s  down or paused\n", name(i))
			continue
		}
		say(out, "%s  leader %s, sum %d, %d wait, lag %d, last gap %v\n", s.ID, s.Leader, s.Sum, s.Waiting, s.Lag, s.Gap.Round(time.Millisecond))
	}
}

// killLeaders kills the leader so many times, and starts it again. The next one is
// killed when that one has caught up, two of three must have everything, and nothing is lost.
func killLeaders(out io.Writer, f *fleet, l *load, kills int) error {
	var gaps []time.Duration
	for len(gaps) < kills {
		if err := l.flows(200, time.Minute); err != nil {
			return err
		}
		if err := f.ready(time.Minute); err != nil {
			return err
		}
		i, err := f.leader()
		if err != nil {
			continue // it leads no more
		}
		gap, err := failover(out, l, "the leader, "+name(i)+", is killed", func() error { return f.kill(i) })
		if err != nil {
			return err
		}
		gaps = append(gaps, gap)
		if err := f.start(i); err != nil {
			return err
		}
		if err := f.caughtUp(i, time.Minute); err != nil {
			f.show(out, l)
			return err
		}
		if err := l.holds(); err != nil {
			return fmt.Errorf("after %d kills: %w", len(gaps), err)
		}
	}
	slices.Sort(gaps)
	say(out, "%d kills of the leader: the longest time without an acknowledgement was %v, half of the times no more than %v\n",
		kills, gaps[kills-1], gaps[(kills-1)/2])
	return nil
}

// say tells whoever watches; if nobody does, that is no matter.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
