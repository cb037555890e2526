package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A load is clients that add on all nodes. Each addition has a number, and is
// tried on one node after the other until one acknowledges it, so that in the end the
// sum must be exactly the number of acknowledged additions.
type load struct {
	f      *fleet
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	acked   atomic.Int64
	retries atomic.Int64
	last    atomic.Int64 // when an addition was acknowledged, in ns since began
	gap     atomic.Int64 // longest time between two, since it was asked for
	began   time.Time
}

// startLoad starts so many clients.
func startLoad(f *fleet, clients int) *load {
	l := &load{f: f, began: time.Now()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for c := range clients {
		l.wg.Go(func() { l.add(c) })
	}
	return l
}

// add is one client. What it has begun it also finishes, so that nothing is unknown.
func (l *load) add(client int) {
	for n := 1; l.ctx.Err() == nil; n++ {
		path := fmt.Sprintf("/add?client=c%d&number=%d", client, n)
		for node := client; ; node++ {
			if _, err := l.f.do(context.Background(), http.MethodPost, node%nodes, path); err == nil {
				break
			}
			l.retries.Add(1)
			if !l.rest(20 * time.Millisecond) {
				return
			}
		}
		l.count()
	}
}

// rest waits for d; it reports false if the nodes have been gone for too long.
func (l *load) rest(d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	<-wait.C
	return l.ctx.Err() == nil || time.Since(l.began)-time.Duration(l.last.Load()) < time.Minute
}

// count counts one acknowledged addition.
func (l *load) count() {
	l.acked.Add(1)
	now := int64(time.Since(l.began))
	took := now - l.last.Swap(now)
	for {
		gap := l.gap.Load()
		if took <= gap || l.gap.CompareAndSwap(gap, took) {
			return
		}
	}
}

// flows waits until additions are acknowledged.
func (l *load) flows(n int64, most time.Duration) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	want := l.acked.Load() + n
	for end := time.Now().Add(most); time.Now().Before(end); <-tick.C {
		if l.acked.Load() >= want {
			return nil
		}
	}
	return fmt.Errorf("no addition was acknowledged for %v", most)
}

// stop lets the clients finish.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// check compares the sum with what was acknowledged.
func (l *load) check(w io.Writer) error {
	l.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := 0; ; i++ {
		b, err := l.f.get(ctx, i%nodes, "/sum")
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("reading the sum: %w", err)
			}
			continue
		}
		sum, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil {
			return err
		}
		say(w, "%d additions were acknowledged, after %d were tried again; the sum is %d\n", l.acked.Load(), l.retries.Load(), sum)
		if sum != l.acked.Load() {
			return fmt.Errorf("the sum is %d, and %d additions were acknowledged", sum, l.acked.Load())
		}
		say(w, "nothing that was acknowledged is lost, and nothing was counted twice\n")
		return nil
	}
}
