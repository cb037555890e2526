package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// killEvery is how long the writers of a demo write before the next kill.
const killEvery = time.Second

// demo kills the server o.kills times, and prints what came of it.
func (p *parent) demo(ctx context.Context, o options) error {
	c, err := p.server(ctx)
	if err != nil {
		return nil //nolint:nilerr // the server did not start, or Ctrl-C: run tells
	}
	fmt.Printf("kill9: %d writers write to a server, pid %d; each entry is acknowledged when it is in %s\n", o.writers, c.PID, o.dir)
	var backs []time.Duration
	for range o.kills {
		select {
		case <-time.After(killEvery):
		case <-ctx.Done():
			return nil
		}
		k, err := p.kill(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		} else if err != nil {
			return err
		}
		fmt.Println(k)
		backs = append(backs, k.Back)
	}
	slices.Sort(backs)
	acked, lost, _ := p.memory.sums()
	fmt.Printf("%d kills: acknowledged %s, lost %s, recovered in %s at the median, %s at most\n",
		o.kills, grouped(acked), grouped(lost), round(backs[len(backs)/2]), round(backs[len(backs)-1]))
	return nil
}

// String is the line about a kill.
func (k kill) String() string {
	s := fmt.Sprintf("kill -9 %d: acknowledged %s, lost %s, recovered in %s (%s updates replayed in %s)",
		k.PID, grouped(k.Acked), grouped(k.Lost), round(k.Back), grouped(k.Replayed), round(k.Took))
	if k.Wrong > 0 {
		s += fmt.Sprintf("; %d accounts are WRONG", k.Wrong)
	}
	return s
}

// round rounds a duration for people.
func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// grouped writes a number with a comma before each three digits.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
