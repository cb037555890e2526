package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A watchedFS is the file system of the computer, and tells of each read before it is made.
type watchedFS struct {
	fsys.OS
	reading func()
}

func (w *watchedFS) Open(path string, mode fsys.Mode, perm fs.FileMode) (fsys.File, error) {
	f, err := w.OS.Open(path, mode, perm)
	if err != nil {
		return nil, err
	}
	return watchedFile{f, w}, nil
}

type watchedFile struct {
	fsys.File
	fs *watchedFS
}

func (f watchedFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.reading()
	return f.File.ReadAt(p, off)
}

// watch mounts a watchedFS at dir until the test ends.
func watch(t *testing.T, dir string) *watchedFS {
	t.Helper()
	w := &watchedFS{reading: func() {}}
	t.Cleanup(storefs.Mount(dir, w))
	return w
}

// largeUpdates makes a store of few updates, each of many blocks, with a snapshot in the middle
// and damage shortly before it.
func largeUpdates(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "large")
	s, err := store.Open(dir, newBlob(), &store.Options{SnapshotBytes: -1, KeepSnapshots: 9, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if _, err := s.Update(t.Context(), bytes.Repeat([]byte{byte(i)}, 200_000)); err != nil {
			t.Fatal(err)
		}
		if i == 29 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	breakFile(t, dir, "00000000000000000000.log", 5_900_000, 1)
	return dir
}

// inFlight is how many reads end what is begun: an update, damage, or the headers of files,
// and 2 MiB that are read ahead.
const inFlight = 16

// readUntil reads dir in the background, does something at the n-th read, and returns how
// many reads there were once reading has ended. Some may be made ahead, by another goroutine.
func readUntil(t *testing.T, w *watchedFS, s *source, n int64, do func()) (all int64) {
	t.Helper()
	var reads atomic.Int64
	w.reading = func() {
		if reads.Add(1) == n {
			do()
		}
	}
	if _, _, err := s.look(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	reading := s.reading
	s.mu.Unlock()
	if reading != nil {
		<-reading
	}
	return reads.Load()
}

// Wherever reading is, it ends soon when nobody has asked for a minute, or when all is to be
// read again: it does not go on with the next update, file or check.
func TestReadingEnds(t *testing.T) {
	dir := largeUpdates(t)
	w := watch(t, dir)
	first := int64(0) // reads of a look
	w.reading = func() { first++ }
	if _, err := inspect.OpenMap(dir); err != nil {
		t.Fatal(err)
	}
	all := int64(0)
	synctest.Test(t, func(t *testing.T) { all = readUntil(t, w, newSource(dir), 0, nil) })
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for name, end := range map[string]func(s *source){
		"nobody asks": func(*source) { time.Sleep(patience + 1) }, // in a bubble
		"again":       func(s *source) { s.again() },
	} {
		ended := 0
		for n := first + 1; n <= all; n += step {
			synctest.Test(t, func(t *testing.T) {
				s := newSource(dir)
				var did atomic.Bool
				reads := readUntil(t, w, s, n, func() { did.Store(true); end(s) })
				if !did.Load() {
					return // what is read ahead is not always the same
				}
				ended++
				if reads > n+inFlight || s.state.known {
					t.Errorf("%s at read %d of %d: %d more, and the verdict is %+v", name, n, all, reads-n, s.state)
				}
			})
		}
		if ended < 8 {
			t.Errorf("%s: the test shows nothing: it was tried at %d reads", name, ended)
		}
	}
}

// Reading goes on for as long as somebody asks, also if one file takes long.
func TestReadingGoesOnWhileSomebodyAsks(t *testing.T) {
	dir := largeUpdates(t)
	w := watch(t, dir)
	synctest.Test(t, func(t *testing.T) {
		s := newSource(dir)
		s.freshness = 24 * time.Hour
		readUntil(t, w, s, 20, func() {
			for range 10 {
				time.Sleep(patience - 1) // in a bubble
				if _, _, err := s.look(); err != nil {
					t.Error(err)
				}
			}
		})
		if !s.state.known || s.state.err != nil {
			t.Errorf("it was not read to its end: %+v", s.state)
		}
	})
}

// A lapse is a context that ends by itself after some looks at it.
type lapse struct {
	context.Context
	looks int
}

func (l *lapse) Err() error {
	if l.looks--; l.looks < 0 {
		return context.Canceled
	}
	return nil
}

// A request that nobody waits for does not look for its place any further.
func TestALookForAPlaceIsGivenUp(t *testing.T) {
	m, err := inspect.OpenMap(bankStore(t, 300))
	if err != nil {
		t.Fatal(err)
	}
	w := walk{ctx: &lapse{t.Context(), 10}, m: m, start: place{File: nameOf(m.Files[0]), Offset: m.Files[0].Size}}
	_, err = w.run(func(_ inspect.MapFile, p inspect.Part) bool {
		t.Errorf("it has come to update %d", p.Index)
		return true
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A payload that nobody waits for is not read to its end.
func TestAPayloadIsGivenUp(t *testing.T) {
	h := Handler(largeUpdates(t), nil)
	r := ask[rows](t, h, "/api/entries?index=1&limit=1").Rows[0]
	url := fmt.Sprintf("/api/payload?file=%s&offset=%d&skip=100000", r.File, r.Offset)
	w := get(h, url, func(r *http.Request) { *r = *r.WithContext(&lapse{t.Context(), 4}) })
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), context.Canceled.Error()) {
		t.Errorf("status %d, %.100s", w.Code, w.Body)
	}
}

// Damage that is found where reading goes on is no sign that the file was written over: it
// would be read from its beginning on, each time.
func TestDamageIsFoundWhereReadingGoesOn(t *testing.T) {
	dir := bankStore(t, 300)
	breakFile(t, dir, "00000000000000000000.log", 5000, 1)
	m, err := inspect.OpenMap(dir)
	if err != nil {
		t.Fatal(err)
	}
	x := newIndex(m.Files[0], maxBuckets)
	x.seen.info = statOf(m.Files[0])
	for !x.whole {
		parts := 0
		if err := x.bring(m, 0, func() bool { parts++; return parts < 10 }); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.damaged) != 1 || x.seen.stale {
		t.Errorf("damage %+v, to be read again: %v", x.damaged, x.seen.stale)
	}
}

// asked asks h in a bubble, in which it must not take much more than a second.
func asked[T any](t *testing.T, h *handler, url string) (answer T) {
	t.Helper()
	begin := time.Now()
	answer = ask[T](t, h, url)
	if took := time.Since(begin); took > 4*workTime { // and a few reads
		t.Errorf("%s has taken %v", url, took)
	}
	return answer
}

// What is asked about a place that is not read yet has an answer within a second or so, which
// leads there once that is read.
func TestAPlaceThatIsNotReadYet(t *testing.T) {
	dir := largeUpdates(t)
	watch(t, dir).reading = func() { time.Sleep(workTime / 2) } // in a bubble: a slow disk
	const file, from = "00000000000000000030.log", 5_500_000
	for _, test := range []struct {
		name string
		ask  func(t *testing.T, h *handler) (there bool)
	}{
		{"entries", func(t *testing.T, h *handler) bool {
			a := asked[rows](t, h, fmt.Sprintf("/api/entries?file=%s&offset=%d&one=1&limit=2", file, from))
			if len(a.Rows) == 0 && (a.Next == nil || *a.Next != place{file, from, 0}) {
				t.Fatalf("it goes on at %+v", a.Next)
			}
			return len(a.Rows) > 0 && a.Rows[0].Offset >= from
		}},
		{"search", func(t *testing.T, h *handler) bool {
			a := asked[rows](t, h, fmt.Sprintf("/api/search?q=0x3a&file=%s&offset=%d&one=1", file, from))
			if len(a.Rows) == 0 && (a.Next == nil || *a.Next != place{file, from, 0}) {
				t.Fatalf("it goes on at %+v", a.Next)
			}
			return len(a.Rows) > 0 && a.Rows[0].Index == 0x3a+1
		}},
		{"cells", func(t *testing.T, h *handler) bool {
			a := asked[cells](t, h, fmt.Sprintf("/api/cells?file=%s&from=%d&to=%d&n=400", file, from, from+400))
			return a.Kinds[0] == int(inspect.ContentUpdate) && a.Kinds[399] == int(inspect.ContentUpdate)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := unread(t, dir)
				if test.ask(t, h) {
					t.Error("it was read at once")
				}
				s := h.source
				for i, x := range s.indexes {
					if _, err := x.walk(s.m, i, func() bool { return true }); err != nil {
						t.Fatal(err)
					}
				}
				if !test.ask(t, h) {
					t.Error("it is not there, though all was read")
				}
			})
		})
	}
}

// unread returns the handler of a store of which nothing is read, nor will be by itself.
func unread(t *testing.T, dir string) *handler {
	t.Helper()
	h := Handler(dir, nil).(*handler)
	m, err := inspect.OpenMap(dir)
	if err != nil {
		t.Fatal(err)
	}
	h.source.m, h.source.looked, h.source.freshness = m, time.Now(), 24*time.Hour
	for _, f := range m.Files {
		h.source.indexes = append(h.source.indexes, newIndex(f, maxBuckets))
	}
	return h
}
