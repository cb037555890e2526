package store_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// glitched makes a store to which an update is made every hour for ten hours, then one with
// a clock that is ten years ahead, and then one more each hour again.
func glitched(t *testing.T, dir string, clock *dial, s *store.Store, after int) {
	t.Helper()
	for i := range 10 {
		clock.move(time.Hour)
		update(t, s, fmt.Sprint(i+1))
		check(t, s.Snapshot(t.Context()))
	}
	const glitch = 10 * 365 * 24 * time.Hour
	clock.move(glitch)
	update(t, s, "ahead")
	clock.move(-glitch)
	for range after {
		clock.move(time.Hour)
		update(t, s, "late")
		check(t, s.Snapshot(t.Context()))
	}
}

// A clock that was ahead once does not end retention until it has caught up, nor take away
// what KeepFor keeps: in this process and after the store was opened again.
func TestRetentionAfterAClockThatWasAhead(t *testing.T) {
	const dir = "/keepahead"
	clock, mem := dialed(t, dir)
	opts := &store.Options{KeepSnapshots: 1, KeepFor: 5 * time.Hour, Logger: slog.New(slog.DiscardHandler)}
	s := open(t, dir, &diary{}, opts)
	glitched(t, dir, clock, s, 30)
	snapshots := func() (n int) {
		for name := range readFiles(t, mem, dir) {
			if strings.HasSuffix(name, ".snap") {
				n++
			}
		}
		return n
	}
	// One for each of five hours, the one before them, and the one that is being made.
	if n := snapshots(); n < 5 || n > 7 {
		t.Errorf("%d snapshots are kept for five hours", n)
	}
	check(t, s.Close())
	s = open(t, dir, &diary{}, opts)
	clock.move(3 * time.Hour)
	update(t, s, "again")
	check(t, s.Snapshot(t.Context()))
	if n := snapshots(); n < 3 || n > 4 {
		t.Errorf("%d snapshots are kept for two hours of one each, and one after three", n)
	}
	check(t, s.Close())
}

// What was made before a time can't be told of updates that bear a time to come, also when
// those with another time are no longer kept.
func TestIndexAtWhenAllIsAheadOfTheClock(t *testing.T) {
	const dir = "/allahead"
	clock, _ := dialed(t, dir)
	s := open(t, dir, &diary{}, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	glitched(t, dir, clock, s, 5)
	_, err := store.IndexAt(t.Context(), dir, clock.now().Add(-time.Hour))
	wantIs(t, err, store.ErrClockAhead)
	check(t, s.Close())
}

// What was made before a time can't be told of updates that bear a time to come.
func TestIndexAtAfterAClockThatWasAhead(t *testing.T) {
	const dir = "/indexahead"
	clock, _ := dialed(t, dir)
	start := clock.now()
	s := open(t, dir, &diary{}, &store.Options{KeepSnapshots: 99, Logger: slog.New(slog.DiscardHandler)})
	glitched(t, dir, clock, s, 3)
	for _, tt := range []struct {
		at   time.Duration
		want uint64
		err  error
	}{
		{9*time.Hour + 30*time.Minute, 9, nil},
		{12 * time.Hour, 0, store.ErrClockAhead},
		{24 * time.Hour, 0, store.ErrClockAhead},
		{20 * 365 * 24 * time.Hour, 14, nil},
	} {
		got, err := store.IndexAt(t.Context(), dir, start.Add(tt.at))
		if tt.err != nil {
			wantIs(t, err, tt.err)
		} else if err != nil || got != tt.want {
			t.Errorf("%v after the start: update %d, %v, want %d", tt.at, got, err, tt.want)
		}
	}
	check(t, s.Close())
}

// A store that is made of the state of another one has times of its own.
func TestAStoreOfAnotherStateHasTimesOfItsOwn(t *testing.T) {
	const dir, anew = "/stuckahead", "/createdanew"
	clock, _ := dialed(t, dir)
	quiet := &store.Options{Logger: slog.New(slog.DiscardHandler)}
	s := open(t, dir, &diary{}, quiet)
	glitched(t, dir, clock, s, 1)
	last := s.Index()
	check(t, s.Close())
	m := &diary{}
	check(t, store.RestoreAt(t.Context(), dir, m, last, nil))
	state, err := m.Snapshot()
	check(t, err)
	memory(t, anew)
	check(t, store.Create(anew, state, quiet))
	s = open(t, anew, &diary{}, quiet)
	if got := s.Recovery().ClockAhead; got != 0 {
		t.Errorf("commits are %v ahead of the clock", got)
	}
	update(t, s, "x")
	check(t, s.Close())
}

// It is said once that a commit is ahead of the clock, by a store that is open and by one
// that is opened, and again when it has happened again. Open's report says by how much.
func TestACommitThatIsAheadOfTheClockIsSaid(t *testing.T) {
	const dir, what = "/sayahead", "with a clock that was ahead"
	clock, _ := dialed(t, dir)
	opts, lines := logged(store.Options{})
	s := open(t, dir, &diary{}, opts)
	back := func(by time.Duration) {
		clock.move(-by)
		for range 3 {
			update(t, s, "x")
		}
		clock.move(by)
		update(t, s, "x")
	}
	update(t, s, "x")
	back(30 * time.Second) // as clocks are set all the time
	back(time.Hour)
	back(time.Hour)
	clock.move(-2 * time.Hour)
	check(t, s.Close()) // which waits for the lines
	if n := strings.Count(lines(), what); n != 2 {
		t.Errorf("it was said %d times that commits are ahead of the clock, and they were twice", n)
	}
	s = open(t, dir, &diary{}, opts)
	if got := s.Recovery().ClockAhead; got < 2*time.Hour || got > 2*time.Hour+time.Minute {
		t.Errorf("Open reports that commits are %v ahead of the clock", got)
	}
	update(t, s, "x")
	check(t, s.Close())
	if n := strings.Count(lines(), what); n != 1 {
		t.Errorf("it was said %d times when it was opened", n)
	}
}
