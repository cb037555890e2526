package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A load is clients that add on all nodes. Each addition has a number, and is
// tried on one node after the other until one acknowledges it, so that in the end the
// sum must have grown by exactly the number of acknowledged additions.
type load struct {
	f       *fleet
	name    string // of its own, of these clients: those of earlier runs have numbers, too
	before  int64  // the sum when it began
	clients int64  // how many there are
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	acked   atomic.Int64
	retries atomic.Int64
	last    atomic.Int64 // when an addition was acknowledged, in ns since began
	gap     atomic.Int64 // longest time between two, since it was asked for
	began   time.Time
}

// startLoad starts so many clients on nodes that have that sum.
func startLoad(f *fleet, clients int, sum int64) *load {
	l := &load{f: f, name: rand.Text(), before: sum, clients: int64(clients), began: time.Now()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for c := range clients {
		l.wg.Go(func() { l.add(c) })
	}
	return l
}

// add is one client. What it has begun it also finishes, so that nothing is unknown.
func (l *load) add(client int) {
	for n := 1; l.ctx.Err() == nil; n++ {
		path := fmt.Sprintf("/add?client=%s-%d&number=%d", l.name, client, n)
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

// check compares what the sum has grown by with what was acknowledged.
func (l *load) check(w io.Writer) error {
	l.stop()
	sum, err := l.sum()
	if err != nil {
		return err
	}
	say(w, "%d additions were acknowledged, after %d were tried again; the sum was %d and is %d\n",
		l.acked.Load(), l.retries.Load(), l.before, sum)
	if sum-l.before != l.acked.Load() {
		return fmt.Errorf("the sum was %d and is %d, and %d additions were acknowledged", l.before, sum, l.acked.Load())
	}
	say(w, "nothing that was acknowledged is lost, and nothing was counted twice\n")
	return nil
}

// holds checks while the clients go on: the sum has grown by no less than had been acknowledged when
// it was read, and by no more than that and one addition of each client.
func (l *load) holds() error {
	least := l.acked.Load()
	sum, err := l.sum()
	if err != nil {
		return err
	}
	if most := l.acked.Load() + l.clients; sum-l.before < least || sum-l.before > most {
		return fmt.Errorf("the sum was %d and is %d, and %d to %d additions were made", l.before, sum, least, most)
	}
	return nil
}

// sum reads the sum on the first node that answers.
func (l *load) sum() (sum int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := 0; ; i++ {
		if sum, err = l.f.sum(ctx, i%nodes); err == nil {
			return sum, nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("reading the sum: %w", err)
		}
	}
}
