package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A trial is a test that can judge, and the mutants it reaches.
type trial struct {
	*binary
	name    string
	took    time.Duration // without a mutant
	reached []byte        // 1 for each mutant that it reaches
}

// String returns the test as a command line names it.
func (t *trial) String() string { return t.pkg + " " + t.name }

// try runs each test of b once by itself. It returns those that pass and, with
// the reason, those that can't judge.
func (b *binary) try(ctx context.Context, dir string, job *job, mutants int) (trials []*trial, unfit []string, err error) {
	names, err := b.tests(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if why := job.leaveOut[name]; why != "" {
			unfit = append(unfit, fmt.Sprintf("%s %s: %s", b.pkg, name, why))
			continue
		}
		t := &trial{binary: b, name: name}
		v, err := t.reach(ctx, dir, job, mutants)
		if err != nil {
			return nil, nil, err
		}
		if !v.ok {
			unfit = append(unfit, fmt.Sprintf("%s: fails behind the switches, or takes over %v\n%s", t, tooLong, v.output))
			continue
		}
		trials = append(trials, t)
	}
	return trials, unfit, nil
}

// tooLong is what a test may take to be worth running for each mutant.
const tooLong = 20 * time.Second

// reach runs t without a mutant and notes what it reaches.
func (t *trial) reach(ctx context.Context, dir string, job *job, mutants int) (verdict, error) {
	name := filepath.Join(dir, "reached")
	if err := os.WriteFile(name, make([]byte, max(mutants, 1)), 0o600); err != nil {
		return verdict{}, err
	}
	v, err := t.run(ctx, []string{t.name}, append(job.env, reachEnv+"="+name), limit{tooLong, 3 * tooLong})
	if err != nil {
		return v, err
	}
	t.took = v.took
	t.reached, err = os.ReadFile(name)
	return v, err
}
