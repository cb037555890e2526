package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A dial is a clock that tests set.
type dial struct {
	mu sync.Mutex
	t  time.Time
}

func (d *dial) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.t
}

func (d *dial) move(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t = d.t.Add(by)
}

// dialed mounts a file system with a clock.
func dialed(t *testing.T, dir string) (*dial, *memfs.FS) {
	d := &dial{t: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	mem := memfs.New(memfs.Options{Now: d.now})
	mount(t, dir, mem)
	return d, mem
}

// diary is a machine whose state is what ApplyAt was called with.
type diary struct {
	store.NoApply
	Entries []diaryEntry
}

type diaryEntry struct {
	At    time.Time
	Index uint64
	Text  string
}

func (d *diary) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	if string(update) == "refuse" {
		return nil, errRefused
	}
	d.Entries = append(d.Entries, diaryEntry{at, index, string(update)})
	return at, nil
}

func (d *diary) Snapshot() (io.WriterTo, error) {
	b, err := json.Marshal(d.Entries)
	return bytes.NewReader(b), err
}

func (d *diary) Restore(r io.Reader) error {
	d.Entries = nil
	return json.NewDecoder(r).Decode(&d.Entries)
}

// wantOrder fails unless the indexes are those from 1 on and times never go back.
func wantOrder(t *testing.T, d *diary) {
	t.Helper()
	for i, e := range d.Entries {
		if e.Index != uint64(i+1) || i > 0 && e.At.Before(d.Entries[i-1].At) || e.At.IsZero() || e.At.Location() != time.UTC {
			t.Errorf("entry %d is %+v, after %+v", i, e, d.Entries[max(i-1, 0)])
		}
	}
}

// Each update is replayed with the time and index that it had when it was made,
// whatever the clock does, with snapshots, refusals and many callers, and Updates tells
// the same time.
func TestApplyAtGetsTheSameTimeInEachReplay(t *testing.T) {
	const dir = "/diary"
	clock, _ := dialed(t, dir)
	opts := quiet(&store.Options{KeepSnapshots: 9})
	live := &diary{}
	for life := range 3 {
		m := &diary{}
		s := open(t, dir, m, opts)
		if !slices.Equal(m.Entries, live.Entries) {
			t.Fatalf("life %d: recovered %v, want %v", life, m.Entries, live.Entries)
		}
		live = m
		for round := range 6 {
			clock.move([]time.Duration{time.Second, -time.Hour, time.Minute}[round%3])
			var callers sync.WaitGroup
			for i := range 8 {
				callers.Go(func() {
					if i == 3 {
						if _, err := s.Update(t.Context(), []byte("refuse")); !errors.Is(err, errRefused) {
							t.Errorf("refused with %v", err)
						}
						return
					}
					result, err := s.Update(t.Context(), fmt.Appendf(nil, "%d/%d", round, i))
					if at, ok := result.(time.Time); err != nil || !ok || at.IsZero() {
						t.Errorf("got %v, %v", result, err)
					}
				})
			}
			callers.Wait()
			if round == 3 {
				check(t, s.Snapshot(t.Context()))
			}
		}
		check(t, s.Close())
		wantOrder(t, live)
	}
	i := 0
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		check(t, err)
		if want := live.Entries[i]; u.Index != want.Index || !u.Time.Equal(want.At) || string(u.Data) != want.Text {
			t.Errorf("update %d of %v is %q, want %+v", u.Index, u.Time, u.Data, want)
		}
		i++
	}
	if i != len(live.Entries) || i != 3*6*7 {
		t.Errorf("%d updates were read, of %d", i, len(live.Entries))
	}
}

// A commit has one time, which is fixed before its first update is applied.
func TestTheUpdatesOfACommitHaveOneTime(t *testing.T) {
	const dir = "/onetime"
	d := &dial{t: time.Unix(1e9, 0)}
	fs := faultfs.New(memfs.New(memfs.Options{Now: d.now}))
	mount(t, dir, fs)
	m := &diary{}
	s := open(t, dir, m, nil)
	submit := func(text string) {
		d.move(time.Second)
		_, err := s.Submit([]byte(text))
		check(t, err)
	}
	reached, gate := make(chan struct{}), make(chan struct{})
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			fs.OnOp(nil)
			close(reached)
			<-gate
		}
	})
	submit("first")
	<-reached // its commit is on its way
	submit("second")
	submit("third")
	close(gate)
	check(t, s.Sync(t.Context()))
	for i, want := range []int64{1e9 + 1, 1e9 + 2, 1e9 + 2} {
		if got := m.Entries[i].At.Unix(); got != want {
			t.Errorf("update %d was made at %d, want %d", i+1, got, want)
		}
	}
	check(t, s.Close())
	again := &diary{}
	check(t, open(t, dir, again, nil).Close())
	if !slices.Equal(again.Entries, m.Entries) {
		t.Errorf("replayed %v, want %v", again.Entries, m.Entries)
	}
}

// The time goes on from that of a snapshot whose logs are gone, and from that of a
// backup, on a machine whose clock is behind.
func TestTheTimeNeverGoesBack(t *testing.T) {
	const dir, other = "/back", "/other"
	clock, _ := dialed(t, dir)
	opts := quiet(&store.Options{KeepSnapshots: 1})
	m := &diary{}
	s := open(t, dir, m, opts)
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	var backup bytes.Buffer
	_, err := s.Backup(t.Context(), &backup)
	check(t, err)
	check(t, s.Close())
	clock.move(-100 * time.Hour)
	s = open(t, dir, m, opts)
	update(t, s, "two")
	check(t, s.Close())
	wantOrder(t, m)

	early := &dial{t: time.Unix(1, 0)}
	mount(t, other, memfs.New(memfs.Options{Now: early.now}))
	check(t, store.Import(other, bytes.NewReader(backup.Bytes()), int64(backup.Len())))
	m = &diary{}
	s = open(t, other, m, opts)
	update(t, s, "two")
	check(t, s.Close())
	wantOrder(t, m)
	if len(m.Entries) != 2 {
		t.Errorf("the import holds %v", m.Entries)
	}
}

// IndexAt finds the last update made until a time, over logs, as far back as they go.
func TestIndexAt(t *testing.T) {
	const dir = "/indexat"
	clock, _ := dialed(t, dir)
	start := clock.now()
	s := open(t, dir, &diary{}, &store.Options{KeepSnapshots: 2, SnapshotBytes: -1})
	for i := range 12 {
		clock.move(time.Hour)
		update(t, s, fmt.Sprint(i+1)) // update i is made in hour i
		if i%3 == 2 && i < 9 {
			check(t, s.Snapshot(t.Context())) // after 3, 6, 9; the ones of 6 and 9 are kept
		}
	}
	defer s.Close()
	for _, tt := range []struct {
		after time.Duration
		want  uint64
	}{
		{6 * time.Hour, 6}, {7*time.Hour - 1, 6}, {7 * time.Hour, 7}, {9 * time.Hour, 9}, {9*time.Hour + 1, 9}, {12 * time.Hour, 12}, {99 * time.Hour, 12},
	} {
		got, err := store.IndexAt(t.Context(), dir, start.Add(tt.after))
		if err != nil || got != tt.want {
			t.Errorf("%v after the start: update %d, %v, want %d", tt.after, got, err, tt.want)
		}
		m := &diary{}
		if err := store.RestoreAt(t.Context(), dir, m, got, nil); err != nil || uint64(len(m.Entries)) != tt.want {
			t.Errorf("restored %d updates, %v", len(m.Entries), err)
		}
	}
	_, err := store.IndexAt(t.Context(), dir, start.Add(6*time.Hour-1))
	wantIs(t, err, store.ErrNotRetained)
	if want := "goes back to " + start.Add(6*time.Hour).UTC().Format(time.RFC3339Nano); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("the error is %v, without %q", err, want)
	}
}

// A store that has all its logs goes back to its beginning, and one that is empty has no
// more than that.
func TestIndexAtTheBeginning(t *testing.T) {
	const dir = "/indexat0"
	clock, _ := dialed(t, dir)
	_, err := store.IndexAt(t.Context(), dir, clock.now())
	if err == nil {
		t.Error("an index in a directory that holds no store")
	}
	s := open(t, dir, &diary{}, nil)
	for range 2 {
		if got, err := store.IndexAt(t.Context(), dir, clock.now()); err != nil || got != 0 {
			t.Errorf("before the first update: %d, %v", got, err)
		}
		update(t, s, "one")
		clock.move(-time.Second)
	}
	check(t, s.Close())
}

// KeepFor keeps what leads to any state of that time.
func TestRetentionByAge(t *testing.T) {
	const dir = "/keepfor"
	clock, mem := dialed(t, dir)
	s := open(t, dir, &diary{}, &store.Options{KeepSnapshots: 1, KeepFor: 5 * time.Hour})
	for i := range 20 {
		clock.move(time.Hour)
		update(t, s, fmt.Sprint(i+1))
		check(t, s.Snapshot(t.Context()))
		oldest, err := store.IndexAt(t.Context(), dir, clock.now().Add(-5*time.Hour))
		if err != nil && i > 5 {
			t.Errorf("five hours before %v: %v", clock.now(), err)
		}
		if err == nil {
			check(t, store.RestoreAt(t.Context(), dir, &diary{}, oldest, nil))
		}
	}
	if n := len(readFiles(t, mem, dir)); n > 2*6 {
		t.Errorf("%d files are kept, for six snapshots and their logs", n)
	}
	check(t, s.Close())
	if _, err := store.Open(dir, &diary{}, &store.Options{KeepFor: -1}); err == nil {
		t.Error("a negative KeepFor is taken")
	}
}

// typedDiary is a diary of numbers.
type typedDiary struct {
	store.NoTypedApply[int, time.Time]
	diary
}

func (d *typedDiary) Apply(u int) (time.Time, error) { return d.NoTypedApply.Apply(u) }

func (d *typedDiary) ApplyAt(at time.Time, index uint64, n int) (time.Time, error) {
	_, err := d.diary.ApplyAt(at, index, fmt.Append(nil, n))
	return at, err
}

func TestATypedMachineGetsTheTime(t *testing.T) {
	const dir = "/typedtime"
	clock, mem := dialed(t, dir)
	defer storefs.Mount("/elsewhere", mem)()
	m := &typedDiary{}
	s, err := store.OpenTyped[int, time.Time](dir, m, nil, quiet(nil))
	check(t, err)
	at, err := s.Update(t.Context(), 7)
	if err != nil || !at.Equal(clock.now()) {
		t.Errorf("made at %v, %v, want %v", at, err, clock.now())
	}
	check(t, s.Close())
	again := &typedDiary{}
	check(t, store.RestoreAt(t.Context(), dir, store.Untyped[int, time.Time](again, nil), 1, nil))
	if want := []diaryEntry{{at, 1, "7"}}; !slices.Equal(again.Entries, want) {
		t.Errorf("replayed %v, want %v", again.Entries, want)
	}
}

// NoApply says what is wrong when a machine is used without the time.
func TestNoApply(t *testing.T) {
	if _, err := (&diary{}).Apply(nil); err == nil {
		t.Error("no error")
	}
	if _, err := (&typedDiary{}).Apply(1); err == nil {
		t.Error("no error")
	}
}

// A clock that is further away than files can hold the time of gives the last time that they
// can hold, or none, and never one of another age.
func TestAClockThatIsFurtherAwayThanFilesHold(t *testing.T) {
	for now, want := range map[time.Time]time.Time{
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC): time.Unix(0, 1<<63-1).UTC(),
		time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC): time.Unix(0, 1<<63-1).UTC(),
		time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC): time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC): {},
		{}: {},
	} {
		dir := "/age" + now.Format("2006")
		clock, _ := dialed(t, dir)
		clock.mu.Lock()
		clock.t = now
		clock.mu.Unlock()
		m := &diary{}
		s := open(t, dir, m, nil)
		update(t, s, "one")
		update(t, s, "two")
		for _, e := range m.Entries {
			if !e.At.Equal(want) {
				t.Errorf("at %v: an update bears %v, want %v", now, e.At, want)
			}
		}
		if len(m.Entries) != 2 {
			t.Errorf("at %v: %d updates", now, len(m.Entries))
		}
		check(t, s.Close())
	}
}

// What is made of a store whose first commits had a clock before 1970 has their times, which
// are the zero time.
func TestCopiesKeepTheTimesOfAClockBefore1970(t *testing.T) {
	const old = "/before1970"
	d, mem := dialed(t, old)
	d.t = time.Unix(-5, 0)
	s := open(t, old, &diary{}, nil)
	update(t, s, "one")
	update(t, s, "two")
	d.move(10 * time.Second)
	update(t, s, "three")
	check(t, s.Close())
	want := &diary{}
	check(t, open(t, old, want, nil).Close())
	if n := len(want.Entries); n != 3 || !want.Entries[1].At.IsZero() || !want.Entries[2].At.Equal(time.Unix(5, 0)) {
		t.Fatalf("the store has %v", want.Entries)
	}
	d.move(time.Hour)
	for dst, make := range map[string]func(dst string) error{
		"/copied1970": func(dst string) error { _, err := store.Copy(t.Context(), old, dst, nil); return err },
		"/repaired1970": func(dst string) error {
			report, err := store.Repair(t.Context(), old, dst, nil)
			if !report.Exact {
				t.Errorf("the repaired store is not exact: %+v", report)
			}
			return err
		},
	} {
		mount(t, dst, mem)
		check(t, make(dst))
		got := &diary{}
		check(t, open(t, dst, got, nil).Close())
		if !slices.Equal(got.Entries, want.Entries) {
			t.Errorf("%s has %v, want %v", dst, got.Entries, want.Entries)
		}
	}
}
