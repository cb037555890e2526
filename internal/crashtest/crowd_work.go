package crashtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"

	"github.com/stateio/stateio"
)

const (
	crowdWriters = 4
	crowdSteps   = 25 // of each writer
)

// work does what the crowd does, and returns when the store is closed.
func (c *Crowd) work() {
	// All is drawn before others begin, which draw as well.
	early, moment := c.rng.IntN(3) == 0, c.rng.IntN(3000) // it is closed while the writers are at work
	panicker := -1
	if c.panics {
		panicker = c.rng.IntN(crowdSteps)
	}
	var writers, others sync.WaitGroup
	for w := range crowdWriters {
		rng := rand.New(rand.NewPCG(c.seed, uint64(w)))
		writers.Go(func() {
			for i := range crowdSteps {
				if w == 0 && i == panicker {
					c.panic()
				}
				c.step(rng, w, i)
			}
		})
	}
	others.Go(c.follow)
	others.Go(func() {
		for range 3 {
			idle(200)
			c.outcome("Snapshot", c.s.Snapshot(context.Background()))
			c.backup()
		}
	})
	if early {
		idle(moment)
	} else {
		writers.Wait()
	}
	c.close(&others)
	writers.Wait()
	others.Wait()
	if n := c.m.overlaps.Load(); n > 0 {
		c.wrong("Apply or Snapshot was called %d times while Apply was under way", n)
	}
}

// step does one thing a user does.
func (c *Crowd) step(rng *rand.Rand, w, i int) {
	update := make([]byte, 16+rng.IntN(300))
	binary.LittleEndian.PutUint64(update, uint64(w))
	binary.LittleEndian.PutUint64(update[8:], uint64(i))
	ctx := context.Background()
	switch rng.IntN(12) {
	case 0, 1, 2, 3:
		c.update(ctx, update)
	case 4, 5:
		ctx, cancel := context.WithCancel(ctx)
		patience := rng.IntN(100)
		go func() {
			idle(patience)
			cancel()
		}()
		c.update(ctx, update)
		cancel()
	case 6, 7, 8:
		c.submit(update, rng.IntN(3) > 0)
	case 9:
		n := c.s.Index()
		if c.outcome("Sync", c.s.Sync(ctx)) {
			c.told(n, "Sync")
		}
	case 10:
		if err := c.s.View(c.m.look); err != nil {
			c.wrong("View: %w", err)
		}
		c.told(c.s.Stats().Durable, "Stats")
	case 11:
		n := c.s.Index()
		_, err := c.s.Update(ctx, refused)
		if !c.outcome("Update", ignore(err, errRefused)) {
			return
		}
		if err == nil {
			c.wrong("Update: no error, though Apply refused the update")
		}
		c.told(n, "a refusal") // which may rest on all that was applied before
	}
}

// ignore returns err, or nil if it is that one.
func ignore(err, ignored error) error {
	if err == ignored { //nolint:errorlint // Update returns the error of Apply as it is
		return nil
	}
	return err
}

// update makes an update. Its result is its number.
func (c *Crowd) update(ctx context.Context, update []byte) {
	failed := c.failed.Load()
	n, err := c.s.Update(ctx, update)
	if !c.outcome("Update", err) {
		return
	}
	if failed {
		c.wrong("Update: no error, after the store had failed")
	}
	c.told(n.(uint64), "Update")
}

// submit submits an update, and may wait for it.
func (c *Crowd) submit(update []byte, wait bool) {
	ticket, err := c.s.Submit(update)
	if !c.outcome("Submit", err) || !wait {
		return
	}
	if ticket.Result() != ticket.Index() {
		c.wrong("Submit: update %v has the index %d", ticket.Result(), ticket.Index())
	}
	if c.outcome("Wait", ticket.Wait(context.Background())) {
		c.told(ticket.Index(), "Wait")
	}
}

// panic makes an update over which Apply panics.
func (c *Crowd) panic() {
	defer func() {
		switch v := recover(); {
		case v == nil:
		case v != string(panicking):
			panic(v)
		case c.s.Stats().Err == nil:
			c.wrong("the store has not failed, though Apply panicked")
		}
	}()
	_, err := c.s.Update(context.Background(), panicking)
	if c.outcome("Update", err) {
		c.wrong("Update: %v, though Apply panicked", err)
	}
}

// follow reads all updates as they become durable.
func (c *Crowd) follow() {
	next, digest := uint64(1), uint64(0)
	for u, err := range c.s.Updates(context.Background(), 1) {
		if !c.outcome("Updates", err) {
			return
		}
		digest = link(digest, u.Data)
		if want, ok := c.m.digest(next); u.Index != next || !ok || digest != want {
			c.wrong("Updates: update %d came as the next after %d, or was not that one", u.Index, next-1)
			return
		}
		c.told(next, "Updates")
		next++
	}
}

// backup makes a backup and looks into it.
func (c *Crowd) backup() {
	var file bytes.Buffer
	n, err := c.s.Backup(context.Background(), &file)
	if !c.outcome("Backup", err) {
		return
	}
	c.told(n, "Backup")
	state, _, _, err := stateio.Restore(bytes.NewReader(file.Bytes()), int64(file.Len()))
	m := &Machine{}
	if err == nil {
		err = m.Restore(bytes.NewReader(state))
	}
	if err != nil {
		c.wrong("Backup: %w", err)
	}
	if want, _ := c.m.digest(n); m.Count != n || m.Digest != want {
		c.wrong("Backup: the state of update %d was said to be that of %d", m.Count, n)
	}
}

// close closes the store twice at once. When either call returns, the directory is
// free, and both say the same.
func (c *Crowd) close(others *sync.WaitGroup) {
	var closers sync.WaitGroup
	var free sync.Mutex
	errs := make([]error, 2)
	for i := range errs {
		closers.Go(func() {
			errs[i] = c.s.Close()
			c.outcome("Close", errs[i])
			free.Lock()
			defer free.Unlock()
			lock, err := c.mem.Lock(filepath.Join(c.dir, "LOCK"), 0o600)
			if err != nil {
				c.wrong("Close has returned: %w", err)
				return
			}
			_ = lock.Close() // in memory
		})
	}
	closers.Wait()
	if !errors.Is(errs[1], errs[0]) {
		c.wrong("Close: %v, and %v to another caller", errs[0], errs[1])
	}
	others.Wait()
}
