package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// A parent starts a server, has writers write to it, and starts it again when it was
// killed. Its methods may be called from any number of goroutines at once.
type parent struct {
	dir    string
	memory *memory
	load   *load

	mu    sync.Mutex
	now   *child        // the server that serves; nil while there is none
	next  chan struct{} // closed when now is set
	kills []kill        // the last ones, the newest first
	count int           // of all kills
}

// A kill is what came of one.
type kill struct {
	N     int    `json:"n"` // 1 for the first
	PID   int    `json:"pid"`
	Acked uint64 `json:"acked"` // entries acknowledged before it, since the start
	verdict

	Back     time.Duration `json:"back_ns"`  // from the kill until the new server answered
	Took     time.Duration `json:"store_ns"` // of that, the recovery of the store
	Replayed uint64        `json:"replayed"` // updates that were replayed from the log
	Torn     int64         `json:"torn"`     // bytes cut off the log, of a commit that was under way
}

// keptKills is how many kills a parent keeps.
const keptKills = 50

func newParent(dir string, writers int) *parent {
	m := newMemory()
	return &parent{dir: dir, memory: m, load: newLoad(m, writers), next: make(chan struct{})}
}

// run starts the server, and starts it again each time it was killed, until ctx ends or
// it fails. It leaves no process.
func (p *parent) run(ctx context.Context) error {
	c, err := startChild(p.dir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { c.stop() }()
	found, err := c.accounts(ctx)
	if err == nil {
		p.memory.begin(found)
	}
	for err == nil {
		p.serves(c)
		if err = p.work(ctx, c); err != nil || ctx.Err() != nil {
			break
		}
		var next *child
		if next, err = p.again(ctx, c); err == nil {
			c = next
		}
	}
	if ctx.Err() != nil {
		return nil // it is to end: what did not work because of that is no error
	}
	return err
}

// serves says which server serves now; nil says that none does.
func (p *parent) serves(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = c
	if c != nil {
		close(p.next)
		p.next = make(chan struct{})
	}
}

// server returns the server that serves, as soon as there is one. The error is that of
// ctx.
func (p *parent) server(ctx context.Context) (*child, error) {
	c, _, err := p.serverAndNext(ctx)
	return c, err
}

// serverAndNext also returns a channel that is closed when another one serves.
func (p *parent) serverAndNext(ctx context.Context) (*child, <-chan struct{}, error) {
	for {
		p.mu.Lock()
		c, next := p.now, p.next
		p.mu.Unlock()
		if c != nil {
			return c, next, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// kill kills the server, waits until another one has been compared with what was
// acknowledged, and returns what came of it. The error is that of ctx.
func (p *parent) kill(ctx context.Context) (kill, error) {
	c, next, err := p.serverAndNext(ctx)
	if err != nil {
		return kill{}, err
	}
	if err := c.kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return kill{}, err
	}
	select {
	case <-next:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.kills[0], nil
	case <-ctx.Done():
		return kill{}, ctx.Err()
	}
}

// work has the writers write to c until it or ctx ends. After that none of them has an
// entry on its way. The error is why the server has failed, or an answer that was wrong.
func (p *parent) work(ctx context.Context, c *child) error {
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.ended:
			p.serves(nil)
			cancel()
		case <-alive.Done():
		}
	}()
	if err := p.load.run(alive, c.URL); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	<-c.ended
	return c.failed()
}

// again starts a server in the place of died, and compares what it has. Should it be killed
// before that is done, as died was, another one takes its place, until ctx ends.
func (p *parent) again(ctx context.Context, died *child) (*child, error) {
	for {
		c, err := p.restart(died)
		if err == nil {
			if err = p.check(ctx, died, c); err == nil {
				return c, nil
			}
			c.stop()
			err = errors.Join(err, c.err)
		}
		if ctx.Err() != nil || !wasKilled(err) {
			return nil, err
		}
		fmt.Fprintln(os.Stderr, "kill9: the server was killed while it was started again:", err)
		select {
		case <-time.After(100 * time.Millisecond): // something may kill each
		case <-ctx.Done():
		}
	}
}

// restart starts a server where died was. Should its port have been taken, another does.
func (p *parent) restart(died *child) (*child, error) {
	c, err := startChild(p.dir, died.address)
	if err == nil || wasKilled(err) {
		return c, err
	}
	return startChild(p.dir, "127.0.0.1:0")
}

// check compares what died acknowledged with what c, started in its place, has.
func (p *parent) check(ctx context.Context, died, c *child) error {
	found, err := c.accounts(ctx)
	if err != nil {
		return err
	}
	back := time.Since(died.goneAt())
	acked, _, _ := p.memory.sums()
	k := kill{
		PID: died.PID, Acked: acked, verdict: p.memory.compare(found), Back: back,
		Took: c.Took, Replayed: c.Replayed, Torn: c.Torn,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	k.N = p.count
	p.kills = append([]kill{k}, p.kills[:min(len(p.kills), keptKills-1)]...)
	return nil
}
