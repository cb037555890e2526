package view

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

// fresh returns the page of path, which looks at the files for each request.
func fresh(path string, opts *Options) *handler {
	h := Handler(path, opts).(*handler)
	h.source.freshness = 0
	return h
}

// noticed returns the summary of h once it has looked at the files a few times: the first
// look may be of a reading that had begun before, the next one notices, one more reads.
func noticed(t *testing.T, h *handler) summary {
	t.Helper()
	for range 4 {
		read(t, h)
	}
	s := settled(t, h)
	h.source.mu.Lock()
	reading := h.source.reading
	h.source.mu.Unlock()
	if reading != nil {
		<-reading
	}
	return s
}

// logsOf returns the logs of a store.
func logsOf(t *testing.T, dir string) []string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) < 2 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	return logs
}

// overwrite writes a file in place, a second later than it was written.
func overwrite(t *testing.T, path string, b []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err == nil {
		err = os.Chtimes(path, time.Time{}, info.ModTime().Add(time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// flipped returns the bytes of a file, with some in the middle inverted, and as they are.
func flipped(t *testing.T, path string) (bad, good []byte) {
	t.Helper()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad = bytes.Clone(good)
	for i := range 40 {
		bad[2000+i] ^= 0xff
	}
	return bad, good
}

// Damage that is done to a file after it was read, in place, is noticed: in a log that is
// sealed, in the newest one, and in a snapshot.
func TestAFileThatWasWrittenOverIsReadAnew(t *testing.T) {
	for _, name := range []string{"00000000000000000000.log", "00000000000000000600.log", "00000000000000000600.snap"} {
		dir := bankStore(t, 900)
		path := filepath.Join(dir, name)
		h := fresh(dir, nil)
		if s := noticed(t, h); s.Verdict.Level != "ok" {
			t.Fatalf("at first: %+v", s.Verdict)
		}
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[150] ^= 0xff
		overwrite(t, path, bad)
		if s := noticed(t, h); s.Verdict.Level == "ok" || len(s.Damages) == 0 {
			t.Errorf("%s: damaged in place: %+v", name, s.Verdict)
		}
		overwrite(t, path, good)
		if s := noticed(t, h); s.Verdict.Level != "ok" || len(s.Damages) > 0 {
			t.Errorf("%s: repaired in place: %+v, %+v", name, s.Verdict, s.Damages)
		}
	}
}

// A good file that takes the place of a damaged one is read.
func TestAFileThatWasReplacedIsReadAnew(t *testing.T) {
	dir := bankStore(t, 200)
	path := logsOf(t, dir)[0]
	bad, good := flipped(t, path)
	overwrite(t, path, bad)
	h := fresh(dir, nil)
	if s := noticed(t, h); s.Verdict.Level == "ok" {
		t.Fatalf("damaged: %+v", s.Verdict)
	}
	if err := os.WriteFile(path+".new", good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if s := noticed(t, h); s.Verdict.Level != "ok" || len(s.Damages) > 0 {
		t.Errorf("restored: %+v, %+v", s.Verdict, s.Damages)
	}
}

// A store that takes the place of another is shown, with its states.
func TestAStoreThatWasReplacedIsReadAnew(t *testing.T) {
	dir, other := bankStore(t, 50), bankStore(t, 200)
	h := fresh(dir, &Options{Machine: newBank})
	if s := noticed(t, h); s.Updates != 50 {
		t.Fatalf("%d updates", s.Updates)
	}
	ask[stateText](t, h, "/api/state?index=50")
	want := ask[stateText](t, Handler(other, &Options{Machine: newBank}), "/api/state?index=66")
	h.states.keep(&stateText{Index: 66, Text: "of the store that was here"})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, dir); err != nil {
		t.Fatal(err)
	}
	if s := noticed(t, h); s.Updates != 200 || s.Verdict.Level != "ok" || len(s.Damages) > 0 {
		t.Errorf("%d updates, %+v, %+v", s.Updates, s.Verdict, s.Damages)
	}
	if got := ask[stateText](t, h, "/api/state?index=66"); got.Text != want.Text {
		t.Errorf("the state is %.100s, want %.100s", got.Text, want.Text)
	}
}

// A state file that takes the place of another is read, also if it is larger, and the file
// system gives it the number that the other had.
func TestAStateFileThatWasReplacedIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.state")
	write := func(n, size int, rename bool) {
		t.Helper()
		var b bytes.Buffer
		w := stateio.NewWriter(&b, 0, 0)
		err := w.Snapshot([]byte("s"))
		for i := 0; i < n && err == nil; i++ {
			err = w.Update(fmt.Append(nil, n, i, strings.Repeat("x", size)))
		}
		if err == nil && rename {
			err = os.Remove(path)
		}
		if err == nil {
			err = os.WriteFile(path, b.Bytes(), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(10, 100, false)
	h := fresh(path, nil)
	if s := noticed(t, h); s.Updates != 10 {
		t.Fatalf("%d updates", s.Updates)
	}
	for i, n := range []int{20, 40, 80} {
		write(n, 100+7*i, i%2 == 0)
		if s := noticed(t, h); s.Updates != uint64(n) || s.Verdict.Level != "ok" || len(s.Damages) > 0 {
			t.Errorf("%d updates, not %d: %+v, %+v", s.Updates, n, s.Verdict, s.Damages)
		}
	}
}

// Damage that no time tells of, as of a disk, is seen once all is read again, for which the
// page asks. Pages of other sites can't.
func TestReadAgain(t *testing.T) {
	dir := bankStore(t, 200)
	path := logsOf(t, dir)[0]
	h := fresh(dir, nil)
	first := noticed(t, h)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	bad, _ := flipped(t, path)
	overwrite(t, path, bad)
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if s := noticed(t, h); s.Verdict.Level != "ok" || !s.Begun.Equal(first.Begun) {
		t.Fatalf("before: %+v", s.Verdict)
	}
	if w := get(h, "/api/again", nil); w.Code != http.StatusBadRequest {
		t.Errorf("without the header: status %d: %s", w.Code, w.Body)
	}
	w := get(h, "/api/again", func(r *http.Request) { r.Header.Set(askedByPage, "again") })
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if s := noticed(t, h); s.Verdict.Level == "ok" || !s.Begun.After(first.Begun) {
		t.Errorf("after: %+v, read at %v, not after %v", s.Verdict, s.Begun, first.Begun)
	}
}

// All indexes together have a bounded number of buckets and damages, also when more files
// come.
func TestIndexesShare(t *testing.T) {
	buckets := 0
	for _, n := range []int{1, 6, 100, 1000, maxBuckets / leastShare, 1_000_000} {
		most, damages := shares(n)
		if n*most > maxBuckets && most != leastShare || damages > maxDamage || n*damages > maxDamages && damages != leastDamage {
			t.Errorf("%d files: %d buckets and %d damages each", n, most, damages)
		}
		buckets = most
	}
	if buckets != leastShare {
		t.Errorf("of a million files each has %d buckets", buckets)
	}
	dir := bankStore(t, 900)
	breakFile(t, dir, "00000000000000000000.log", 5000, 1)
	m, err := inspect.OpenMap(dir)
	if err != nil {
		t.Fatal(err)
	}
	x := indexOf(t, m, 0, maxBuckets, 1<<30)
	bytes, had := sum(x), len(x.buckets)
	x.share(2000)
	if most, _ := shares(2000); had <= most || len(x.buckets) > most || cap(x.buckets) > 2*most || sum(x) != bytes {
		t.Errorf("of %d buckets there are %d, room for %d", had, len(x.buckets), cap(x.buckets))
	}
	for range 20 {
		x.damage(inspect.Part{Offset: int64(len(x.damaged)+x.more) * 10, Content: inspect.ContentDamage})
	}
	if _, most := shares(2000); len(x.damaged) != most || x.more == 0 {
		t.Errorf("%d damages are kept, %d more counted", len(x.damaged), x.more)
	}
}
