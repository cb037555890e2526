package store_test

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// longStore is a store with logs and snapshots of some megabytes.
func longStore(t *testing.T) files {
	t.Helper()
	sizes := slices.Concat(
		slices.Repeat([]int{40_000}, 40), []int{snapshot},
		slices.Repeat([]int{300}, 4000), []int{snapshot},
		[]int{100, 700_000, 100})
	fl, _ := buildOf(t, "/long", &crashtest.Machine{Size: 1 << 20}, 9, sizes...)
	return fl
}

// size returns the bytes in all files.
func (fl files) size() (n int64) {
	for _, b := range fl {
		n += int64(len(b))
	}
	return n
}

// told is what a Progress function was told.
type told struct {
	done, total []int64
}

func (p *told) add(done, total int64) {
	p.done, p.total = append(p.done, done), append(p.total, total)
}

// verify makes sure that the work goes on in steps, never back, and ends with all of it.
func (p *told) verify(t *testing.T, most int64) {
	t.Helper()
	before := int64(0)
	for i, done := range p.done {
		if done < before || done > before+most || done > p.total[i] {
			t.Fatalf("%d of %d bytes are done, after %d", done, p.total[i], before)
		}
		before = done
	}
	if n := len(p.done); n == 0 || before != p.total[n-1] {
		t.Errorf("it ends with %d bytes done, of %d", before, p.total)
	}
	if !slices.IsSortedFunc(p.total, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("the work becomes more: %d", p.total)
	}
}

// Check tells how far it is, and of each report and each update as it comes to it.
func TestCheckTellsWhatItReads(t *testing.T) {
	const dir = "/told"
	fl := longStore(t)
	mount(t, dir, fl.mem(t, dir))
	var progress told
	var reports []store.FileReport
	var updates []store.Update
	got, err := store.Check(t.Context(), dir, &store.CheckOptions{
		Progress: progress.add,
		Report:   func(r store.FileReport) { reports = append(reports, r) },
		Update: func(u store.Update) {
			u.Data = bytes.Clone(u.Data)
			updates = append(updates, u)
		},
	})
	check(t, err)
	progress.verify(t, 1<<20) // an update is read as a whole, and the rest of a log at once
	if len(progress.done) < int(fl.size()>>19) || progress.total[0] != fl.size() || progress.total[0] != progress.total[len(progress.total)-1] {
		t.Errorf("told %d times of %d to %d bytes, of %d", len(progress.done), progress.total[0], progress.total[len(progress.total)-1], fl.size())
	}
	if len(got) != 6 || !reflect.DeepEqual(reports, got) {
		t.Errorf("told of\n%sreturned\n%s", summary(reports), summary(got))
	}
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		check(t, err)
		if len(updates) == 0 || updates[0].Index != u.Index || !updates[0].Time.Equal(u.Time) || !bytes.Equal(updates[0].Data, u.Data) {
			t.Fatalf("update %d is not told of as it is", u.Index)
		}
		updates = updates[1:]
	}
	if len(updates) > 0 {
		t.Errorf("told of %d updates more than there are", len(updates))
	}
}

// After damage Check tells of updates again from the first one on that shows that those
// before were durable, and of their times from the next commit on.
func TestCheckTellsOfUpdatesAfterDamage(t *testing.T) {
	const dir = "/gap"
	mem, faulty := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "first")
	submit := func(u string) {
		_, err := s.Submit([]byte(u))
		check(t, err)
	}
	started, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	faulty.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			once.Do(func() { close(started) })
			<-gate
		}
	})
	submit("second")
	<-started // these make one commit
	submit(strings.Repeat("3", 70_000))
	submit(strings.Repeat("4", 70_000))
	submit(strings.Repeat("5", 70_000))
	close(gate)
	check(t, s.Sync(t.Context()))
	update(t, s, "sixth")
	check(t, s.Close())
	fl := readFiles(t, mem, dir)
	for _, lost := range []string{"second", "333"} {
		fl[log0][bytes.Index(fl[log0], []byte(lost))] ^= 1
	}
	mount(t, dir, fl.mem(t, dir))
	var got []string
	_, err := store.Check(t.Context(), dir, &store.CheckOptions{Update: func(u store.Update) {
		got = append(got, fmt.Sprintf("%d %.6s %v", u.Index, u.Data, !u.Time.IsZero()))
	}})
	check(t, err)
	if want := []string{"1 first true", "4 444444 false", "5 555555 false", "6 sixth true"}; !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}
}

// Repair tells how far it is. The work becomes less where not all can be had, and ends as
// soon as the context does, in the state and in the updates; then there is no store.
func TestRepairTellsHowFarItIs(t *testing.T) {
	const src, dst = "/halfway", "/made-of-it"
	fl := longStore(t)
	for name, b := range fl {
		if strings.HasSuffix(name, ".log") && len(b) > 1<<20 {
			b[len(b)/2] ^= 1
		}
	}
	mount(t, src, fl.mem(t, src))
	memory(t, dst)
	var progress told
	_, err := store.Repair(t.Context(), src, dst, &store.RepairOptions{Progress: progress.add})
	check(t, err)
	progress.verify(t, 4<<20)
	n, kept := len(progress.total), int64(len(fl["00000000000000004040.snap"])+len(fl["00000000000000004040.log"]))
	if progress.total[0] != 4*fl.size() || progress.total[n-1] >= progress.total[0] || progress.total[n-1] <= fl.size() {
		t.Errorf("%d bytes are to do at first, and %d in the end, for %d", progress.total[0], progress.total[n-1], fl.size())
	}
	for _, at := range progress.done {
		if at == progress.total[n-1] {
			break
		}
		memory(t, dst)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := store.Repair(ctx, src, dst, &store.RepairOptions{Progress: func(done, _ int64) {
			if ctx.Err() != nil {
				t.Errorf("interrupted after %d bytes, it goes on to %d", at, done)
			}
			if done == at {
				cancel()
			}
		}})
		cancel()
		wantIs(t, err, context.Canceled)
		s, err := store.Open(dst, &crashtest.Machine{Size: 1 << 20}, quiet(&store.Options{MustExist: true}))
		made := err == nil
		if made {
			s.Close()
		}
		if whole := at >= progress.total[n-1]-kept; made != whole {
			t.Errorf("interrupted after %d of %d bytes, there is a store: %v", at, progress.total[n-1], made)
		}
	}
}
