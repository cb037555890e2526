package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// eventually polls until done reports true, for a minute at most.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after a minute, still not: %s", what)
		}
	}
}

// after makes time pass in a bubble of synctest, when all else waits.
func after(d time.Duration) {
	synctest.Wait()
	<-time.After(d)
}

// Of each commit, the update that came first is timed: from its call until it is
// durable, whether it waited for its turn, for the commit before, or for its own.
func TestStatsTimeUpdatesFromCallToDurable(t *testing.T) {
	submits := func(s *store.Store) error {
		ticket, err := s.Submit([]byte("submitted"))
		if err != nil {
			return err
		}
		return ticket.Wait(context.Background())
	}
	updates := func(s *store.Store) error {
		_, err := s.Update(context.Background(), []byte("updated"))
		return err
	}
	for name, first := range map[string]func(*store.Store) error{"Update": updates, "Submit": submits} {
		synctest.Test(t, func(t *testing.T) {
			dir := "/waits" + name
			_, fs := memory(t, dir)
			s := open(t, dir, &journal{}, nil)
			release := hold(fs)
			ended := make(chan error, 3)
			go func() { ended <- first(s) }() // its commit takes 4 s
			after(time.Second)
			go func() { ended <- updates(s) }() // 3 s until the next commit begins
			after(time.Second)
			go func() { ended <- submits(s) }() // in the same commit: not timed
			after(2 * time.Second)
			release()
			for range cap(ended) {
				check(t, <-ended)
			}
			st := s.Stats()
			if st.UpdateWaits.Count != 2 || st.UpdateWaits.Max != 4*time.Second || st.UpdateWaits.Sum != 7*time.Second {
				t.Errorf("%s: %d updates waited %v, at most %v; want 2, 7s and 4s",
					name, st.UpdateWaits.Count, st.UpdateWaits.Sum, st.UpdateWaits.Max)
			}
			check(t, s.Close())
		})
	}
}

// What is timed is in its place in the histogram.
func TestStatsCountCommitsInTheRightBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/buckets"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		took := time.Duration(0)
		fs.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpDatasync && strings.HasSuffix(op.Path, ".log") {
				<-time.After(took)
			}
		})
		var want store.Histogram
		for i := range len(want.Buckets) - 1 {
			for _, took = range []time.Duration{want.Bound(i), want.Bound(i) + 1} {
				update(t, s, "x")
			}
			want.Buckets[i]++
			want.Buckets[i+1]++
		}
		st := s.Stats()
		if st.Commits.Buckets != want.Buckets {
			t.Errorf("commits:\n%v\nwant\n%v", st.Commits.Buckets, want.Buckets)
		}
		if st.UpdateWaits.Buckets != want.Buckets {
			t.Errorf("updates:\n%v\nwant\n%v", st.UpdateWaits.Buckets, want.Buckets)
		}
		check(t, s.Close())
	})
}

// updateInView makes n updates while a View keeps them from being applied, one after
// the other, and calls then before that ends. What comes of them is sent to ended.
func updateInView(ctx context.Context, t *testing.T, s *store.Store, n int, then func()) (ended chan error) {
	t.Helper()
	ended = make(chan error, n)
	check(t, s.View(func() error {
		for i := range n {
			go func() {
				_, err := s.Update(ctx, []byte("x"))
				ended <- err
			}()
			eventually(t, "the update is queued", func() bool { return s.Stats().Queued == i+1 })
		}
		then()
		return nil
	}))
	return ended
}

// An update that waits to be applied is queued, and it is timed from then on.
func TestStatsCountQueuedUpdates(t *testing.T) {
	const dir = "/queued"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	var queued time.Time
	ended := updateInView(context.Background(), t, s, 2, func() {
		queued = time.Now()
		if n := s.Index(); n != 0 {
			t.Errorf("%d updates are applied in a View", n)
		}
		eventually(t, "time passes", func() bool { return time.Since(queued) > 10*time.Millisecond })
	})
	check(t, <-ended)
	check(t, <-ended)
	st := s.Stats()
	if st.Queued != 0 || st.UpdateWaits.Max < 10*time.Millisecond {
		t.Errorf("then %d are queued, and one has waited for %v", st.Queued, st.UpdateWaits.Max)
	}
	check(t, s.Close())
}

// An update that was timed and given up keeps none of a later commit from being timed.
func TestStatsTimeUpdatesAfterOneThatWasGivenUp(t *testing.T) {
	const dir = "/givenup"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := updateInView(ctx, t, s, 1, func() {
		cancel()
		eventually(t, "nothing is queued", func() bool { return s.Stats().Queued == 0 })
	})
	wantIs(t, <-ended, context.Canceled)
	update(t, s, "not timed")
	update(t, s, "timed")
	if n := s.Stats().UpdateWaits.Count; n != 1 {
		t.Errorf("%d updates were timed, want 1", n)
	}
	check(t, s.Close())
}

// An update that is refused takes the timing of its commit with it, and what was noted of
// an earlier one counts for none.
func TestStatsTimeNoUpdateByTheClockOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/refusedtime"
		memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		update(t, s, "timed")
		after(time.Minute)
		_, err := s.Update(t.Context(), []byte("refuse"))
		if !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		after(time.Minute)
		update(t, s, "not timed")
		update(t, s, "timed")
		if w := s.Stats().UpdateWaits; w.Count != 2 || w.Max != 0 {
			t.Errorf("%d updates were timed, the longest took %v; want 2, none of which took any time", w.Count, w.Max)
		}
		check(t, s.Close())
	})
}

func TestStatsTellOfAFullDisk(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		const dir = "/statsfull"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
		update(t, s, "x")
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpPreallocate, Err: syscall.ENOSPC, Forever: true})
		for range 2 {
			_, err := s.Update(t.Context(), make([]byte, 64<<10))
			wantIs(t, err, store.ErrNoSpace)
		}
		if st := s.Stats(); st.NoSpace != 2 || st.UpdateErrors != 0 {
			t.Errorf("%d updates had no space, %d were refused by Apply; want 2, 0", st.NoSpace, st.UpdateErrors)
		}
		check(t, s.Close())
	})
	t.Run("applied", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, fs, outcome := stallWithMore(t, "/statsstalled")
			wantIs(t, s.Stats().SpaceError, store.ErrNoSpace)
			fs.Heal()
			check(t, <-outcome)
			check(t, <-outcome)
			check(t, s.Stats().SpaceError)
			check(t, s.Close())
		})
	})
}

func TestStatsCountFollowers(t *testing.T) {
	const dir = "/followers"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 3)
	for range cap(ended) {
		go func() {
			for range s.Updates(ctx, 1) {
			}
			ended <- struct{}{}
		}()
	}
	eventually(t, "three followers", func() bool { return s.Stats().Followers == 3 })
	cancel()
	for range cap(ended) {
		<-ended
	}
	if n := s.Stats().Followers; n != 0 {
		t.Errorf("%d followers are left", n)
	}
	check(t, s.Close())
}

// lengths returns the bytes of all logs and snapshots in dir.
func lengths(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, pattern := range []string{"*.log", "*.snap"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		check(t, err)
		for _, path := range paths {
			info, err := os.Stat(path)
			check(t, err)
			n += info.Size()
		}
	}
	return n
}

// DiskBytes are the lengths of the store's files: of a new store, while the log grows
// and snapshots come and go, and of one that is opened again.
func TestStatsMeasureFiles(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
		same := func(when string) {
			t.Helper()
			if got, want := s.Stats().DiskBytes, lengths(t, dir); got != want || got == 0 && round > 0 {
				t.Errorf("round %d, %s: %d bytes, the files have %d", round, when, got, want)
			}
		}
		same("when opened")
		for range 4 {
			update(t, s, strings.Repeat("x", 100<<10))
			same("after an update")
			check(t, s.Snapshot(t.Context()))
			same("after a snapshot")
		}
		check(t, s.Close())
	}
}

// Where the files can't be measured, what came and went is counted.
func TestStatsCountASnapshotThatCantBeMeasured(t *testing.T) {
	const dir = "/unmeasured"
	mem, fs := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, strings.Repeat("x", 100<<10))
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpList, Err: syscall.EIO, Forever: true})
	check(t, s.Snapshot(t.Context()))
	wantIs(t, s.Stats().RetainError, syscall.EIO)
	found, err := mem.List(dir)
	check(t, err)
	var want int64
	for _, e := range found {
		info, err := mem.Stat(filepath.Join(dir, e.Name))
		check(t, err)
		want += info.Size // LOCK is empty
	}
	if got := s.Stats().DiskBytes; got != want || s.Stats().SnapshotBytes == 0 {
		t.Errorf("%d bytes, the files have %d", got, want)
	}
	check(t, s.Close())
}

// stopper is a machine whose snapshot waits to be told to end.
type stopper struct {
	nothing
	wrote, goOn chan struct{}
}

func (m *stopper) Snapshot() (io.WriterTo, error) { return m, nil }

func (m *stopper) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, 2<<20))
	close(m.wrote)
	<-m.goOn
	return int64(n), err
}

// While a snapshot is written, its file counts as far as it was written.
func TestStatsShowASnapshotThatIsBeingMade(t *testing.T) {
	dir := t.TempDir()
	m := &stopper{wrote: make(chan struct{}), goOn: make(chan struct{})}
	s := open(t, dir, m, nil)
	update(t, s, "x")
	before := s.Stats()
	if before.SnapshotRunning || before.SnapshotWritten != 0 || !before.SnapshotTime.IsZero() {
		t.Errorf("before the first snapshot: running %v, %d bytes, time %v", before.SnapshotRunning, before.SnapshotWritten, before.SnapshotTime)
	}
	ended := make(chan error)
	go func() { ended <- s.Snapshot(context.Background()) }()
	<-m.wrote
	st := s.Stats()
	if !st.SnapshotRunning || st.SnapshotWritten < 1<<20 {
		t.Errorf("while a snapshot is made: running %v, %d bytes", st.SnapshotRunning, st.SnapshotWritten)
	}
	if want := lengths(t, dir) + st.SnapshotWritten; st.DiskBytes != want {
		t.Errorf("while a snapshot is made: %d bytes, want %d", st.DiskBytes, want)
	}
	start := time.Now()
	close(m.goOn)
	check(t, <-ended)
	eventually(t, "no snapshot is made", func() bool { return !s.Stats().SnapshotRunning })
	st = s.Stats()
	if st.SnapshotWritten != 0 || st.SnapshotTime.Before(start) || time.Now().Before(st.SnapshotTime) {
		t.Errorf("after it: %d bytes, made at %v, between %v and now", st.SnapshotWritten, st.SnapshotTime, start)
	}
	check(t, s.Close())
}

// A restart does not make the last snapshot younger.
func TestStatsTellTheAgeOfASnapshotOfAnEarlierRun(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &journal{}, nil)
	update(t, s, "x")
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	at := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	check(t, os.Chtimes(filepath.Join(dir, "00000000000000000001.snap"), at, at))
	s = open(t, dir, &journal{}, nil)
	if got := s.Stats().SnapshotTime; !got.Equal(at) {
		t.Errorf("the snapshot was made at %v, want %v", got, at)
	}
	check(t, s.Close())
}

// Each field of Stats has a name of its own in JSON, in snake_case, and errors are
// there as text.
func TestStatsInJSON(t *testing.T) {
	const dir = "/statsjson"
	_, fs := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "x")
	got := asJSON(t, s)
	if got["index"] != 1.0 || got["commits"] != 1.0 || got["failed"] != false || got["log_bytes"] == 0.0 {
		t.Errorf("after an update: %v", got)
	}
	if d, ok := got["commit_durations"].(map[string]any); !ok || d["count"] != 1.0 {
		t.Errorf("commit_durations: %v", got["commit_durations"])
	}
	for _, name := range []string{"error", "snapshot_error", "retain_error", "space_error", "snapshot_time"} {
		if v, ok := got[name]; ok {
			t.Errorf("without an error, %s is %v", name, v)
		}
	}
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpSync, Path: "*.snap.tmp", Err: syscall.EIO})
	wantIs(t, s.Snapshot(t.Context()), syscall.EIO)
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Path: "*.log", Err: syscall.EIO})
	_, err := s.Update(t.Context(), []byte("y"))
	wantIs(t, err, store.ErrFailed)
	got = asJSON(t, s)
	for _, name := range []string{"error", "snapshot_error"} {
		if text, _ := got[name].(string); !strings.Contains(text, syscall.EIO.Error()) {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	if got["failed"] != true {
		t.Error("a store that has failed does not say so")
	}
	_ = s.Close() // it has failed
}

func asJSON(t *testing.T, s *store.Store) (fields map[string]any) {
	t.Helper()
	b, err := json.Marshal(s.Stats())
	check(t, err)
	check(t, json.Unmarshal(b, &fields))
	return fields
}

func TestEveryFieldOfStatsIsInJSON(t *testing.T) {
	st := store.Stats{SnapshotTime: time.Now()}
	all := errors.New("wrong")
	st.Err, st.SpaceError, st.SnapshotError, st.RetainError = all, all, all, all
	b, err := json.Marshal(st)
	check(t, err)
	var fields map[string]json.RawMessage
	check(t, json.Unmarshal(b, &fields))
	for _, f := range reflect.VisibleFields(reflect.TypeFor[store.Stats]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name != strings.ToLower(name) || fields[name] == nil {
			t.Errorf("%s is not in JSON as %q", f.Name, name)
		}
	}
	if len(fields) != reflect.TypeFor[store.Stats]().NumField()+1 { // failed
		t.Errorf("%d names in JSON: %s", len(fields), b)
	}
}
