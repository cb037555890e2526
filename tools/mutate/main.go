package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	root    string
	list    *accepted
	workers int
	sample  float64
	seed    uint64
	min     float64
	at      string
	verbose bool
	keep    bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	var list string
	flag.IntVar(&o.workers, "j", runtime.NumCPU(), "run `n` mutants at a time")
	flag.Float64Var(&o.sample, "sample", 1, "run this `part` of the mutants")
	flag.Uint64Var(&o.seed, "seed", 1, "which part")
	flag.Float64Var(&o.min, "min", 90, "exit with status 1 if less `percent` are caught in a package")
	flag.StringVar(&o.at, "at", "", "run only mutants whose `file:line` begins so")
	flag.StringVar(&list, "accepted", "", "the `file` of survivors that do no harm (default tools/mutate/accepted.txt)")
	flag.BoolVar(&o.verbose, "v", false, "print each mutant, and what caught it")
	flag.BoolVar(&o.keep, "keep", false, "keep the mutated sources and tell where")
	flag.Usage = func() {
		_, _ = fmt.Fprintf(flag.CommandLine.Output(), "usage: mutate [flags] [package]...\n\nWithout a package, it mutates all of the plan.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	var err error
	if o.root, err = rootDir(); err != nil {
		return err
	}
	if list == "" {
		list = filepath.Join(o.root, "tools", "mutate", "accepted.txt")
	}
	if o.list, err = readAccepted(list); err != nil {
		return err
	}
	if err := o.list.stale(o.root); err != nil {
		return err
	}
	return o.all(ctx, flag.Args())
}

// all mutates the packages that patterns name, or those of the plan.
func (o *options) all(ctx context.Context, patterns []string) error {
	if len(patterns) == 0 {
		for _, j := range plan {
			patterns = append(patterns, j.pkg)
		}
	}
	var below []string
	for _, p := range patterns {
		r := &report{options: o, pkg: p, out: os.Stdout}
		if err := r.mutate(ctx, jobFor(p)); err != nil {
			return err
		}
		r.sum()
		if r.percent() < o.min {
			below = append(below, p)
		}
	}
	if len(below) > 0 {
		return fmt.Errorf("less than %g%% of the mutants are caught in %s", o.min, strings.Join(below, ", "))
	}
	return nil
}

// rootDir returns the directory of the workspace.
func rootDir() (string, error) {
	out, err := exec.Command("go", "env", "GOWORK").Output()
	work := strings.TrimSpace(string(out))
	if err != nil || work == "" || work == "off" {
		return "", fmt.Errorf("no go.work here: %w", err)
	}
	return filepath.Dir(work), nil
}

// mutate does one job.
func (r *report) mutate(ctx context.Context, j *job) error {
	start := time.Now()
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	if r.keep {
		fmt.Fprintln(os.Stderr, "mutated sources:", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	s, err := load(r.root, j.pkg)
	if err != nil {
		return err
	}
	p := grow(s, func(name string) bool { return j.wants(filepath.Base(name)) })
	todo := r.choose(p.mutants)
	trials, err := r.trials(ctx, dir, j, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d of %d mutants to judge, by %d tests, %.0f s so far\n",
		j.pkg, len(todo), len(p.mutants), len(trials), time.Since(start).Seconds())
	err = newCourt(j, trials).judgeAll(ctx, todo, r.workers, func(f fate) {
		r.note(f)
		if n := r.all() - r.harmless; n%100 == 0 {
			fmt.Fprintf(os.Stderr, "%s: %d of %d, %.0f s\n", j.pkg, n, len(todo), time.Since(start).Seconds())
		}
	})
	r.took = time.Since(start)
	return err
}

// trials builds the tests that judge the mutants of p, and tries each.
func (r *report) trials(ctx context.Context, dir string, j *job, p *plant) (trials []*trial, err error) {
	overlay, err := p.overlay(dir)
	if err != nil {
		return nil, err
	}
	for _, judge := range j.judges {
		b, err := build(ctx, r.root, overlay, dir, judge)
		if err != nil {
			return nil, err
		}
		t, unfit, err := b.try(ctx, dir, j, len(p.mutants))
		if err != nil {
			return nil, err
		}
		for _, u := range unfit {
			_, _ = fmt.Fprintln(r.out, "not a judge:", u)
		}
		trials = append(trials, t...)
	}
	return trials, nil
}

// choose returns the mutants that the flags ask for, less those that are known
// to be harmless.
func (r *report) choose(mutants []*mutant) (todo []*mutant) {
	rng := rand.New(rand.NewPCG(r.seed, 0))
	for _, m := range mutants {
		switch {
		case rng.Float64() >= r.sample || !strings.HasPrefix(m.place(r.root), r.at):
		case r.list.has(m, r.root):
			r.spare(m)
		default:
			todo = append(todo, m)
		}
	}
	return todo
}
