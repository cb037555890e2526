package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

const benchHelp = `bench measures the disk that DIR is on, and a store there: how long a sync takes, how
many updates a second are durable with some numbers of writers, how fast they are
replayed, and how long an update waits at most while a snapshot is written. DIR is the
working directory unless another is given.

Next to each rate is its bound: the rate of a plain loop that writes as many bytes as
one batch has and syncs them. Compare ratios, not rates: a machine that does other
things meanwhile slows both down.

A disk whose syncs take no time does not write to the medium, or has a cache that
survives a power cut. bench says so, and can't tell which.

--html FILE writes a page with charts of all that, in a single file; --html - writes it
to standard output.

What bench makes is in a directory of its own in DIR, which it removes at the end. If it
was killed, the next run in DIR removes it. DIR may be that of a store, or of one to be made.

--json prints one object, with the fields time, dir, system, sync (p50_ns, p90_ns, p99_ns,
max_ns, count, percentiles (percent, ns)), rates (size, writers, updates_per_second, bound_per_second, p50_ns, p99_ns), replay
(updates, updates_per_second, bytes_per_second), snapshot (bytes, took_ns, longest_update_ns)
and warnings.`

const benchExample = `  stateio bench
  stateio bench --time 5s /var/lib/app
  stateio bench --html disk.html /mnt
  stateio bench --json /mnt | jq '.rates[] | .updates_per_second / .bound_per_second'`

func newBench() *cobra.Command {
	b := bench{writers: []int{1, 4, 16, 64, 256}, sizes: []int{128, 4096}}
	var how benchOutput
	cmd := &cobra.Command{
		Use:     "bench [DIR]",
		Short:   "Measure a disk, and a store on it",
		Long:    benchHelp,
		Example: benchExample,
		Args:    arguments("[DIR]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if b.span <= 0 {
				return usageError{fmt.Errorf("--time is %v: it must be more than 0", b.span)}
			}
			if how.json && toStandard(how.html) {
				return usageError{errors.New("--json and --html - both write to standard output: name a file for the page")}
			}
			if how.force && (how.html == "" || toStandard(how.html)) {
				return usageError{errors.New("--force is for a page that exists, and --html names none")}
			}
			dir := append(args, ".")[0]
			if err := forStores(dir, "%s is no directory: name one on the disk that is to be measured"); err != nil {
				return err
			}
			return b.runIn(cmd, dir, how)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&b.span, "time", time.Second, "measure each thing for `TIME`")
	f.BoolVar(&how.json, "json", false, "print a JSON object")
	f.StringVar(&how.html, "html", "", "write a page with charts to `FILE`")
	f.BoolVarP(&how.force, "force", "f", false, "replace the page if it exists")
	noValues(cmd, "time")
	return cmd
}

// A benchOutput says what is made of the result.
type benchOutput struct {
	json, force bool
	html        string // path of a page; empty: there is none
}

// runIn runs the bench in a new directory in parent.
func (b *bench) runIn(cmd *cobra.Command, parent string, how benchOutput) (err error) {
	b.out = cmd.OutOrStdout()
	if how.json || toStandard(how.html) {
		b.out = io.Discard
	}
	page := &output{Writer: bufio.NewWriter(io.Discard)}
	if how.html != "" { // it is known before that it can be written
		if page, err = (outputs{cmd.OutOrStdout(), cmd.ErrOrStderr(), how.force}).open(how.html); err != nil {
			return err
		}
	}
	defer page.discard()
	dir, err := newBenchDir(parent, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.remove()) }()
	b.dir = dir.path
	b.result = newBenchResult(parent)
	if err := b.run(cmd.Context()); err != nil {
		return err
	}
	if err := writePage(page, b.result); err != nil {
		return err
	}
	if err := page.commit(); err != nil {
		return err
	}
	if how.json {
		return writeJSON(cmd.OutOrStdout(), b.result)
	}
	return nil
}

// A bench measures what a disk does.
type bench struct {
	dir            string
	span           time.Duration
	writers, sizes []int
	out            io.Writer
	err            error // of out
	result         benchResult
}

type benchResult struct {
	Time     time.Time      `json:"time"`
	Dir      string         `json:"dir"`
	System   string         `json:"system"`
	Sync     syncResult     `json:"sync"`
	Rates    []rateResult   `json:"rates"`
	Replay   replayResult   `json:"replay"`
	Snapshot snapshotResult `json:"snapshot"`
	Warnings []string       `json:"warnings"`
}

type syncResult struct {
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
	Count int           `json:"count"`

	Percentiles []percentile `json:"percentiles"`
}

// A percentile is how long so many of a hundred took at most.
type percentile struct {
	Percent float64       `json:"percent"`
	Took    time.Duration `json:"ns"`
}

type rateResult struct {
	Size    int           `json:"size"`
	Writers int           `json:"writers"`
	Rate    float64       `json:"updates_per_second"`
	Bound   float64       `json:"bound_per_second"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
}

// Ratio is what the rate is of the bound.
func (r rateResult) Ratio() float64 { return r.Rate / r.Bound }

type replayResult struct {
	Updates uint64  `json:"updates"`
	Rate    float64 `json:"updates_per_second"`
	Bytes   float64 `json:"bytes_per_second"`
}

type snapshotResult struct {
	Bytes   int64         `json:"bytes"`
	Took    time.Duration `json:"took_ns"`
	Longest time.Duration `json:"longest_update_ns"`
}

// newBenchResult returns a result without figures.
func newBenchResult(dir string) benchResult {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	system := fmt.Sprintf("%s/%s, %s, %s, stateio %s", runtime.GOOS, runtime.GOARCH, count(runtime.NumCPU(), "CPU"), runtime.Version(), version())
	return benchResult{Time: time.Now().UTC(), Dir: dir, System: system, Rates: []rateResult{}, Warnings: []string{}}
}

func (b *bench) say(format string, args ...any) {
	if b.err == nil {
		_, b.err = fmt.Fprintf(b.out, format+"\n", args...)
	}
}

// run measures everything, and tells each thing as soon as it is known.
func (b *bench) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{b.syncs, b.rates, b.replay, b.snapshot} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return b.err
}

// tooFast is what no disk can do that has written to its medium.
const tooFast = 20 * time.Microsecond

// syncs measures the writing of one page and a sync.
func (b *bench) syncs(ctx context.Context) error {
	took, err := b.syncLoop(ctx, 4096, b.span)
	if err != nil {
		return err
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[min(len(took)-1, int(q*float64(len(took))))] }
	r := syncResult{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: took[len(took)-1], Count: len(took)}
	for _, percent := range []float64{1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100} {
		r.Percentiles = append(r.Percentiles, percentile{percent, at(percent / 100)})
	}
	b.result.Sync = r
	b.say("a write of 4 KiB and a sync: median %v, 90 %% within %v, 99 %% within %v, longest %v", brief(r.P50), brief(r.P90), brief(r.P99), brief(r.Max))
	if r.P50 < tooFast {
		const warning = "a sync takes hardly any time: this disk is memory, does not write to its medium, or has a cache that must survive a power cut"
		b.result.Warnings = append(b.result.Warnings, warning)
		b.say("WARNING: %s", warning)
	}
	return nil
}

// syncLoop writes so many bytes, and syncs them, again and again, over space that was
// written before, and returns how long each took.
func (b *bench) syncLoop(ctx context.Context, size int, span time.Duration) (took []time.Duration, err error) {
	f, err := os.Create(filepath.Join(b.dir, "plain"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	const space = 4 << 20
	if _, err := f.Write(make([]byte, max(space, size))); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	page, off := make([]byte, size), 0
	for end := time.Now().Add(span); len(took) < 2 || time.Now().Before(end) && ctx.Err() == nil; off += size {
		if off+size > space {
			off = 0
		}
		start := time.Now()
		if _, err := f.WriteAt(page, int64(off)); err != nil {
			return nil, err
		}
		if err := datasync(f); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// rates measures durable updates a second.
func (b *bench) rates(ctx context.Context) error {
	for _, size := range b.sizes {
		b.say("\n%8s %8s %12s %12s %6s  %10s %10s", "BYTES", "WRITERS", "UPDATES/S", "BOUND/S", "RATIO", "MEDIAN", "99 %")
		for _, n := range b.writers {
			r, err := b.rate(ctx, size, n)
			if err != nil || ctx.Err() != nil {
				return err
			}
			b.result.Rates = append(b.result.Rates, r)
			b.say("%8d %8d %12.0f %12.0f %6.2f  %10v %10v  %s", r.Size, r.Writers, r.Rate, r.Bound, r.Ratio(), brief(r.P50), brief(r.P99), bar(r.Ratio()))
		}
	}
	return nil
}

// entryOverhead is the bytes of most entries in the log of a store besides the update.
const entryOverhead = 44

// rate measures the updates of n writers, and their bound: one write and one sync of
// what all of them write at a time.
func (b *bench) rate(ctx context.Context, size, n int) (r rateResult, err error) {
	dir := filepath.Join(b.dir, "store")
	s, err := b.open(dir, &benchMachine{})
	if err != nil {
		return r, err
	}
	const rounds = 4 // in turns: what else the machine does hits both
	var made atomic.Int64
	var took, plainTook time.Duration
	plain := 0
	for range rounds {
		start := time.Now()
		if err = b.load(ctx, s, size, n, b.span/rounds, &made, nil); err != nil {
			break
		}
		took += time.Since(start)
		var each []time.Duration
		if each, err = b.syncLoop(ctx, n*(size+entryOverhead), b.span/rounds); err != nil {
			break
		}
		plain += len(each)
		for _, d := range each {
			plainTook += d
		}
	}
	waits := s.Stats().UpdateWaits
	if err = errors.Join(err, s.Close(), os.RemoveAll(dir)); err != nil {
		return r, err
	}
	return rateResult{
		Size: size, Writers: n, Rate: float64(made.Load()) / took.Seconds(), Bound: float64(n*plain) / plainTook.Seconds(),
		P50: waits.Quantile(0.5), P99: waits.Quantile(0.99),
	}, nil
}

// load makes updates with n writers for some time, and one each at least, or until done is
// closed, if it is not nil. It counts them in made.
func (b *bench) load(ctx context.Context, s *store.Store, size, n int, span time.Duration, made *atomic.Int64, done <-chan struct{}) error {
	end := time.Now().Add(span)
	errs := make([]error, n)
	var writers sync.WaitGroup
	for i := range n {
		writers.Go(func() {
			update := make([]byte, size)
			for first := true; ctx.Err() == nil && (first || done != nil || time.Now().Before(end)); first = false {
				if _, err := s.Update(ctx, update); err != nil {
					if ctx.Err() == nil {
						errs[i] = err
					}
					return
				}
				made.Add(1)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	return errors.Join(errs...)
}

func (b *bench) open(dir string, m store.Machine) (*store.Store, error) {
	return store.Open(dir, m, &store.Options{SnapshotBytes: -1, Logger: slog.New(slog.DiscardHandler)})
}

// replay measures how fast a log is read and applied.
func (b *bench) replay(ctx context.Context) error {
	dir := filepath.Join(b.dir, "store")
	s, err := b.open(dir, &benchMachine{})
	if err != nil {
		return err
	}
	update := make([]byte, 128)
	for end := time.Now().Add(b.span); err == nil && ctx.Err() == nil && time.Now().Before(end); {
		for range 1000 {
			if _, err = s.Submit(update); err != nil {
				break
			}
		}
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if s, err = b.open(dir, &benchMachine{}); err != nil {
		return err
	}
	rec := s.Recovery()
	r := replayResult{rec.Updates, float64(rec.Updates) / rec.Took.Seconds(), rec.Rate()}
	b.result.Replay = r
	b.say("\nreplay of %d updates of 128 bytes: %.0f a second, %.0f MB/s", r.Updates, r.Rate, r.Bytes/1e6)
	return errors.Join(s.Close(), os.RemoveAll(dir))
}

// snapshot measures how long updates wait while a snapshot is written.
func (b *bench) snapshot(ctx context.Context) error {
	const size = 64 << 20
	dir := filepath.Join(b.dir, "store")
	s, err := b.open(dir, &benchMachine{state: size})
	if err != nil {
		return err
	}
	if _, err := s.Update(ctx, nil); err != nil { // a snapshot before the first one is special
		return errors.Join(err, s.Close())
	}
	var made atomic.Int64
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.load(ctx, s, 128, 1, 0, &made, done) }()
	start := time.Now()
	err = s.Snapshot(ctx)
	took := time.Since(start)
	close(done)
	err = errors.Join(err, <-ended)
	r := snapshotResult{size, took, s.Stats().UpdateWaits.Max}
	if err = errors.Join(err, s.Close(), os.RemoveAll(dir)); err != nil {
		return err
	}
	b.result.Snapshot = r
	b.say("a snapshot of 64 MiB while one writer goes on: %v, and the longest update took %v", brief(r.Took), brief(r.Longest))
	return nil
}

// brief returns a duration in three digits or so.
func brief(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= 10*unit {
			return d.Round(unit / 10)
		}
	}
	return d
}

// bar returns a bar for a ratio, of ten characters for 1.
func bar(ratio float64) string { return strings.Repeat("#", min(20, int(ratio*10+0.5))) }

// A benchMachine has a state of so many bytes, and ignores updates.
type benchMachine struct{ state int64 }

func (*benchMachine) Apply([]byte) (any, error) { return nil, nil }

func (m *benchMachine) Snapshot() (io.WriterTo, error) { return benchState(m.state), nil }

func (*benchMachine) Restore(io.Reader) error { return nil }

// A benchState is a state of zeros.
type benchState int64

// WriteTo implements io.WriterTo.
func (n benchState) WriteTo(w io.Writer) (int64, error) {
	piece, written := make([]byte, 256<<10), int64(0)
	for written < int64(n) {
		k, err := w.Write(piece[:min(int64(len(piece)), int64(n)-written)])
		written += int64(k)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
