package damage

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/stateio/stateio/bench/report"
)

// torn cuts the last write short, at each of its bytes or a sample of them.
func (b *base) torn(ctx context.Context) (report.Outcome, error) {
	o := report.Outcome{File: b.file}
	places := spaced(b.start, b.end, b.Places)
	o.Sampled = int64(len(places)) < b.end-b.start
	after, before := b.after[b.file], b.before[b.file]
	return b.try(ctx, o, len(places), b.must, func(i int) *contents {
		cut := places[i]
		size := after.size
		if size > before.length() {
			size = max(cut, before.length())
		}
		return after.with(size, cut, b.end, before.at)
	})
}

// flipped flips bits at places from a tenth to nine tenths of what is in use of the file.
func (b *base) flipped(ctx context.Context) (report.Outcome, error) {
	o := report.Outcome{File: b.file, Sampled: true}
	after := b.after[b.file]
	used := after.used()
	places := spaced(used/10, used*9/10, b.Places)
	all := append(slices.Clone(b.must), b.last)
	return b.try(ctx, o, len(places), all, func(i int) *contents { return after.flip(places[i], uint(i)) })
}

// spaced returns at most so many places from start to before end, at even distances.
func spaced(start, end int64, most int) []int64 {
	n := min(int64(most), end-start)
	places := make([]int64, 0, max(n, 0))
	for i := range n {
		places = append(places, start+i*(end-start)/n)
	}
	return places
}

// try reads the files with another one in the place of b.file, for each of count trials,
// several at a time.
func (b *base) try(ctx context.Context, o report.Outcome, count int, must []uint64, damage func(i int) *contents) (report.Outcome, error) {
	trials := newTrials(count)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i, ok := trials.next(); ok; i, ok = trials.next() {
				dir := filepath.Join(b.Dir, "trial"+strconv.Itoa(i))
				damaged := maps.Clone(b.after)
				damaged[b.file] = damage(i)
				err := damaged.put(dir)
				var r result
				if err == nil {
					r, err = b.read(ctx, dir)
				}
				trials.done(i, r, errors.Join(err, os.RemoveAll(dir)))
			}
		})
	}
	wg.Wait()
	for _, r := range trials.results {
		o = judge(o, r, must)
	}
	return o, trials.err
}

// trials hands out numbers, until one fails.
type trials struct {
	mu      sync.Mutex
	at      int
	results []result
	err     error
}

func newTrials(count int) *trials { return &trials{results: make([]result, count)} }

func (t *trials) next() (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at++
	return t.at - 1, t.err == nil && t.at <= len(t.results)
}

func (t *trials) done(i int, r result, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.results[i] = r
	t.err = errors.Join(t.err, err)
}
