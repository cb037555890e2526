package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A fate is what became of a mutant.
type fate struct {
	*mutant
	reached bool
	killer  string // the test that noticed it, or empty
}

// A court judges mutants.
type court struct {
	job    *job
	trials []*trial // the fastest first

	mu      sync.Mutex
	killers map[string][]*trial // of each function's mutants, the last one first
}

func newCourt(j *job, trials []*trial) *court {
	trials = slices.Clone(trials)
	slices.SortStableFunc(trials, func(a, b *trial) int { return int(a.took - b.took) })
	return &court{job: j, trials: trials, killers: map[string][]*trial{}}
}

// judgeAll judges mutants, with workers at a time, and gives each fate to tell,
// one by one.
func (c *court) judgeAll(ctx context.Context, mutants []*mutant, workers int, tell func(fate)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan *mutant)
	var group sync.WaitGroup
	var telling sync.Mutex
	for range workers {
		group.Go(func() {
			for m := range todo {
				f, err := c.judge(ctx, m)
				if ctx.Err() != nil {
					continue
				}
				if err != nil {
					cancel(err)
					continue
				}
				telling.Lock()
				tell(f)
				telling.Unlock()
			}
		})
	}
	for _, m := range mutants {
		todo <- m
	}
	close(todo)
	group.Wait()
	return context.Cause(ctx)
}

// judge runs m against the trials that reach it, until one notices.
func (c *court) judge(ctx context.Context, m *mutant) (fate, error) {
	f := fate{mutant: m}
	trials := c.order(m)
	for budget := firstBatch; len(trials) > 0; budget *= 4 {
		f.reached = true
		batch, took := nextBatch(trials, budget)
		trials = trials[len(batch):]
		names := make([]string, len(batch))
		for i, t := range batch {
			names[i] = t.name
		}
		v, err := batch[0].run(ctx, names, append(slices.Clone(c.job.env), fmt.Sprintf("%s=%d", selectEnv, m.id)), limitFor(took))
		if err != nil || ctx.Err() != nil {
			return f, err
		}
		if !v.ok {
			name := noticedBy(v.output, names)
			f.killer = batch[0].pkg + " " + name
			c.remember(m, batch, name)
			return f, nil
		}
	}
	return f, nil
}

// order returns the trials that reach m. Those come first that caught others in
// its function; then the fastest.
func (c *court) order(m *mutant) []*trial {
	c.mu.Lock()
	defer c.mu.Unlock()
	killers := c.killers[m.fn]
	rest := slices.DeleteFunc(slices.Clone(c.trials), func(t *trial) bool { return slices.Contains(killers, t) })
	return slices.DeleteFunc(slices.Concat(killers, rest), func(t *trial) bool { return t.reached[m.id] == 0 })
}

// remember notes which of trials caught m.
func (c *court) remember(m *mutant, trials []*trial, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range trials {
		if t.name == name && t.took < time.Second {
			others := slices.DeleteFunc(c.killers[m.fn], func(k *trial) bool { return k == t })
			c.killers[m.fn] = slices.Insert(others, 0, t)
		}
	}
}

// firstBatch is how long the tests may take that are run together at first.
const firstBatch = 100 * time.Millisecond

// nextBatch returns trials from the front that are in one binary and take no
// longer than budget, but at least one, and what they take.
func nextBatch(trials []*trial, budget time.Duration) (batch []*trial, took time.Duration) {
	for i, t := range trials {
		if i > 0 && (t.binary != trials[0].binary || took+t.took > budget) {
			return trials[:i], took
		}
		took += t.took
	}
	return trials, took
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\w.*)`)

// noticedBy returns the test that failed, or all that were run if the output
// does not tell, as when the process died.
func noticedBy(output string, names []string) string {
	if m := failed.FindStringSubmatch(output); m != nil {
		name, _, _ := strings.Cut(m[1], " (")
		if slices.Contains(names, name) {
			return name
		}
	}
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s and %d more, without a name", names[0], len(names)-1)
}
