package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// The summary of a sound store says so, and has its figures.
func TestSummaryOfASoundStore(t *testing.T) {
	dir := bankStore(t, 300)
	s := settled(t, Handler(dir, &Options{Machine: newBank}))
	if s.Verdict.Level != "ok" || s.Updates != 300 || s.First != 1 || s.Last != 300 || len(s.Files) != 6 || len(s.Damages) != 0 ||
		!s.Store || s.States != "any" || s.Live || s.Size == 0 || s.Read != s.Size || !s.Until.After(s.Since) {
		t.Errorf("the summary is %+v", s)
	}
}

// The page says of each damage what package store does: whether the store can be opened,
// and which updates are lost.
func TestVerdictOnDamage(t *testing.T) {
	whole := bankStore(t, 300)
	files, err := filepath.Glob(filepath.Join(whole, "*.*"))
	if err != nil || len(files) != 6 {
		t.Fatalf("files %q, %v", files, err)
	}
	levels := map[string]int{}
	try := func(path string, damage func(b []byte) []byte) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "bank")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(dir, filepath.Base(path))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b = damage(b); b == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		levels[compareVerdict(t, dir)]++
	}
	for _, path := range files {
		try(path, func([]byte) []byte { return nil })
		try(path, func(b []byte) []byte { return b[:0] })
		try(path, func(b []byte) []byte { return b[:50] })
		try(path, func(b []byte) []byte { b[30] ^= 8; return b }) // in the header
		try(path, func(b []byte) []byte { return append(b, 7) })
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		try(files[rnd.IntN(len(files))], func(b []byte) []byte { b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8); return b })
	}
	if levels["bad"] == 0 || levels["warn"] == 0 || levels["ok"] == 0 {
		t.Errorf("only these verdicts were tried: %v", levels)
	}
}

// compareVerdict compares the verdict on the store in dir with what package store makes of
// it, and returns its level.
func compareVerdict(t *testing.T, dir string) (level string) {
	t.Helper()
	s := settled(t, Handler(dir, nil))
	reports, err := store.Check(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.ContainsFunc(reports, func(r store.FileReport) bool { return len(r.Damage) > 0 })
	opened, oerr := store.Open(dir, newBank(), &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if oerr == nil {
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	level = "ok"
	switch {
	case damaged && oerr != nil:
		level = "bad"
	case damaged:
		level = "warn"
	}
	if s.Verdict.Level != level || (len(s.Damages) > 0) != damaged {
		t.Errorf("%s: the verdict is %+v with %+v, Check finds %+v, Open says %v", dir, s.Verdict, s.Damages, reports, oerr)
	}
	return level
}

// A backup is whole, or it is none: what was cut off, its entries do not tell.
func TestVerdictOnABackup(t *testing.T) {
	m := newBank()
	s, err := store.Open(bankStore(t, 50), m, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if _, err := s.Backup(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{whole.Len(), whole.Len() - 1, whole.Len() - 100, whole.Len() / 2} {
		path := filepath.Join(t.TempDir(), "bank.backup")
		if err := os.WriteFile(path, whole.Bytes()[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		level, text := "bad", "This backup is not whole: "
		if n == whole.Len() {
			level, text = "ok", "Sound"
		}
		if v := settled(t, Handler(path, nil)).Verdict; v.Level != level || !strings.HasPrefix(v.Text, text) {
			t.Errorf("of %d bytes %d: the verdict is %+v", whole.Len(), n, v)
		}
	}
}

// A store whose newest state is damaged names the updates that are lost, and what to do.
func TestVerdictNamesWhatIsLost(t *testing.T) {
	dir := bankStore(t, 300)
	breakFile(t, dir, "00000000000000000200.log", 1000, 1)
	s := settled(t, Handler(dir, nil))
	d := s.Damages[0]
	lost := fmt.Sprintf("Update %d can't be read.", d.LostFirst)
	if s.Verdict.Level != "bad" || !strings.Contains(s.Verdict.Text, lost) || !strings.Contains(s.Verdict.Todo, "stateio repair DIR NEWDIR") ||
		d.LostFirst != d.LostLast || d.LostFirst <= 200 || d.After.IsZero() {
		t.Errorf("the verdict is %+v, the damage %+v", s.Verdict, d)
	}
}

// Of a running store the figures are looked at first.
func TestVerdictOnARunningStore(t *testing.T) {
	dir := bankStore(t, 9)
	cause := errors.New("the cause")
	for _, c := range []struct {
		stats store.Stats
		level string
		text  string
		todo  string
	}{
		{store.Stats{}, "ok", "Sound", ""},
		{store.Stats{Err: fmt.Errorf("%w: %w", store.ErrFailed, cause)}, "bad", "has failed", todoFailed},
		{store.Stats{Err: store.ErrClosed}, "note", "closed", ""},
		{store.Stats{SpaceError: cause}, "bad", "full", todoNoSpace},
		{store.Stats{SnapshotError: cause}, "warn", "snapshot could not be made", todoSnapshot},
		{store.Stats{RetainError: cause}, "warn", "could not be removed", todoRetain},
	} {
		h := Handler(dir, &Options{Stats: func() store.Stats { return c.stats }})
		v := settled(t, h).Verdict
		if v.Level != c.level || !strings.Contains(v.Text, c.text) || !strings.Contains(v.Todo, c.todo) {
			t.Errorf("%+v: the verdict is %+v", c.stats, v)
		}
		if because := errors.Is(c.stats.Err, store.ErrFailed) || c.level == "warn"; because && !strings.Contains(v.Text, "the cause") {
			t.Errorf("the verdict %+v does not name the cause", v)
		}
	}
}

// The advice is that of docs/OPERATING.md.
func TestAdviceIsThatOfTheDocuments(t *testing.T) {
	b, err := os.ReadFile("../docs/OPERATING.md")
	if err != nil {
		t.Skipf("not run: here is only this module: %v", err)
	}
	text := strings.ToLower(strings.Join(strings.Fields(string(b)), " "))
	for _, advice := range []string{todoFailed, todoNoSpace, todoSnapshot, todoRetain, todoDisk, todoNewer, todoRepair} {
		if !strings.Contains(text, strings.ToLower(advice)) {
			t.Errorf("docs/OPERATING.md does not say %q", advice)
		}
	}
}

// The picture of a file is the same whether it comes from the index or from a walk, and
// has a red cell exactly where there is damage.
func TestCells(t *testing.T) {
	dir := bankStore(t, 900)
	const name = "00000000000000000300.log"
	breakFile(t, dir, name, 9000, 50)
	h := Handler(dir, nil)
	s := settled(t, h)
	d := s.Damages[0]
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 10, 80, 1000, 4096} { // cells of more and of less than a bucket
		c := ask[cells](t, h, fmt.Sprintf("/api/cells?file=%s&n=%d", name, n))
		if c.To != info.Size() || int64(len(c.Kinds)) != (c.To+c.Size-1)/c.Size {
			t.Fatalf("%d cells of %d bytes, to %d of %d", len(c.Kinds), c.Size, c.To, info.Size())
		}
		for i, k := range c.Kinds {
			from, to := int64(i)*c.Size, (int64(i)+1)*c.Size
			exact := c.Size < leastBucket
			touches := from < d.Offset+d.Length && to > d.Offset
			near := from < d.Offset+d.Length+leastBucket && to > d.Offset-leastBucket
			if red := k == int(inspect.ContentDamage); exact && red != touches || red && !near {
				t.Errorf("cell %d of %d, from %d to %d, has content %d; the damage is %d bytes at %d", i, n, from, to, k, d.Length, d.Offset)
			}
			if k == 0 {
				t.Errorf("cell %d of %d is not known", i, n)
			}
		}
		if !slices.Contains(c.Kinds, int(inspect.ContentDamage)) || !slices.IsSorted(slices.DeleteFunc(slices.Clone(c.Indexes), func(i uint64) bool { return i == 0 })) {
			t.Errorf("%d cells: no damage is shown, or the indexes are not in order: %v", n, c.Indexes)
		}
	}
}

// The list can be entered at an index, at a time and at an offset, and goes on from page to
// page, from log to log.
func TestEntries(t *testing.T) {
	dir := bankStore(t, 300)
	h := Handler(dir, nil)
	settled(t, h)
	for from := range uint64(300) {
		first := ask[rows](t, h, fmt.Sprintf("/api/entries?limit=1&index=%d", from+1)).Rows[0]
		at := ask[rows](t, h, fmt.Sprintf("/api/entries?limit=1&at=%d", first.Time.UnixMilli())).Rows[0]
		here := ask[rows](t, h, fmt.Sprintf("/api/entries?limit=1&file=%s&offset=%d", first.File, first.Offset)).Rows[0]
		if first.Index != from+1 || at.Time.UnixMilli() != first.Time.UnixMilli() || here.Index != first.Index {
			t.Fatalf("asked for update %d: got %d, by its time %d, by its offset %d", from+1, first.Index, at.Index, here.Index)
		}
	}
	var all []uint64
	url := "/api/entries?limit=77&index=0"
	for url != "" {
		page := ask[rows](t, h, url)
		for _, r := range page.Rows {
			if r.Content == "update" {
				all = append(all, r.Index)
			}
		}
		if url = ""; page.Next != nil {
			url = fmt.Sprintf("/api/entries?limit=77&file=%s&offset=%d&nth=%d", page.Next.File, page.Next.Offset, page.Next.Nth)
		}
	}
	if len(all) != 300 || !slices.IsSorted(all) || all[0] != 1 || all[299] != 300 {
		t.Errorf("page by page there are the updates %v", all)
	}
}

// A search finds what contains the text in any case, or the bytes, and nothing else.
func TestSearch(t *testing.T) {
	h := Handler(bankStore(t, 300), nil)
	settled(t, h)
	for q, want := range map[string]int{
		"ORDER 1007%22":          1,
		"order 10":               50, // and there are more
		"0x6f726465722031303037": 1,
		"order 5007":             0,
	} {
		page := ask[rows](t, h, "/api/search?index=0&q="+strings.ReplaceAll(q, " ", "+"))
		if len(page.Rows) != want || (page.Next != nil) != (want == maxHits) {
			t.Errorf("%q: %d hits, goes on at %v", q, len(page.Rows), page.Next)
		}
		for _, r := range page.Rows {
			if want == 1 && r.Index != 8 {
				t.Errorf("%q: found update %d", q, r.Index)
			}
		}
	}
	f := finder{want: []byte("needle"), buf: make([]byte, 8)}
	for _, text := range []string{"xxxxneedle", "needle", "neeneedle", strings.Repeat("n", 99) + "needle" + strings.Repeat("e", 50)} {
		if found, err := f.in(strings.NewReader(text)); !found || err != nil {
			t.Errorf("%q: %v, %v", text, found, err)
		}
	}
	if found, _ := f.in(strings.NewReader(strings.Repeat("needl", 40))); found {
		t.Error("found what is not there")
	}
}

// A payload comes in pieces.
func TestPayload(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, nothing{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 100_000)
	for i := range want {
		want[i] = byte(i * 7)
	}
	if _, err := s.Update(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(t.Context(), func(tx *store.Tx) error {
		for _, text := range []string{"first", "second", "third"} {
			if err := tx.Append([]byte(text)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h := Handler(dir, nil)
	settled(t, h)
	list := ask[rows](t, h, "/api/entries?index=1").Rows
	if len(list) < 4 || list[0].Size != 100_000 || list[3].Index != 4 || list[3].Nth != 2 {
		t.Fatalf("the list is %+v", list)
	}
	type answer struct {
		Data []byte `json:"data"`
	}
	got := ask[answer](t, h, fmt.Sprintf("/api/payload?file=%s&offset=%d&skip=90000&n=500", list[0].File, list[0].Offset)).Data
	if string(got) != string(want[90_000:90_500]) {
		t.Errorf("%d bytes, not those from 90,000 on", len(got))
	}
	for i, text := range []string{"first", "second", "third"} {
		r := list[i+1]
		if got := ask[answer](t, h, fmt.Sprintf("/api/payload?file=%s&offset=%d&nth=%d", r.File, r.Offset, r.Nth)).Data; string(got) != text {
			t.Errorf("update %d is %q", r.Index, got)
		}
	}
}

// A search ends in the middle of a payload when nobody waits for it any more.
func TestASearchIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := finder{want: []byte("needle"), buf: make([]byte, 64<<10)}
	reads := 0
	endless := readFunc(func(p []byte) (int, error) {
		if reads++; reads == 3 {
			cancel()
		}
		return len(p), nil
	})
	if found, err := f.in(wanted{ctx, endless}); found || !errors.Is(err, context.Canceled) || reads != 3 {
		t.Errorf("found %v after %d reads: %v", found, reads, err)
	}
}

// A readFunc is a reader.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Requests that cost much wait for each other, unless nobody waits for them any more.
func TestCostlyRequestsTakeTurns(t *testing.T) {
	h := blobHandler(t, "one", "two")
	for name, url := range map[string]string{"state": "/api/state?index=1", "diff": "/api/diff?a=1&b=2", "search": "/api/search?q=one"} {
		turns := h.turns[name]
		for range cap(turns) {
			if err := turns.take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if w := get(h, url, func(r *http.Request) { *r = *r.WithContext(ctx) }); w.Body.Len() > 0 {
			t.Errorf("%s: without a turn: %s", name, w.Body)
		}
		answered := make(chan int)
		go func() { answered <- get(h, url, nil).Code }()
		turns.give()
		if code := <-answered; code != http.StatusOK {
			t.Errorf("%s: status %d", name, code)
		}
		for range cap(turns) - 1 {
			turns.give()
		}
		if len(turns) > 0 {
			t.Errorf("%s: %d turns are not given back", name, len(turns))
		}
	}
}

// A state file has its entries in the list and its damage in the verdict, too.
func TestStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := w.Update(fmt.Appendf(nil, "line %d", i)); err != nil {
			t.Fatal(err)
		}
		if i == 99 {
			if err := w.Snapshot([]byte("a state")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s := settled(t, Handler(path, nil))
	if s.Verdict.Level != "ok" || s.Updates != 200 || s.Store || s.Files[0].States != 1 {
		t.Errorf("the summary is %+v", s)
	}
	h := Handler(path, nil)
	if hits := ask[rows](t, h, "/api/search?one=1&file=app.state&q=line+150").Rows; len(hits) != 1 {
		t.Errorf("hits: %v", hits)
	}
	for level, at := range map[string]int64{"warn": 500, "bad": 4000} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Dir(path))); err != nil {
			t.Fatal(err)
		}
		breakFile(t, dir, "app.state", at, 1)
		s := settled(t, Handler(filepath.Join(dir, "app.state"), nil))
		if s.Verdict.Level != level || len(s.Damages) != 1 {
			t.Errorf("byte %d is broken: %+v, %+v", at, s.Verdict, s.Damages)
		}
	}
}

// A file is asked for by the name that the summary has, whatever bytes are in it; and that name
// can be seen.
func TestAFileWhoseNameIsNotUTF8(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app\xff\ufffd\u202e.state")
	var file bytes.Buffer
	if err := stateio.NewWriter(&file, 0, 0).Update([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Skipf("no file can have such a name here: %v", err)
	}
	h := Handler(path, nil)
	s := settled(t, h)
	if want := `app\xff` + "\ufffd" + `\u202e.state`; s.Files[0].Name != want || !strings.HasSuffix(s.Path, want) {
		t.Errorf("the file is called %q, at %q", s.Files[0].Name, s.Path)
	}
	query := url.Values{"file": {s.Files[0].Name}}.Encode()
	if got := ask[rows](t, h, "/api/entries?"+query); len(got.Rows) != 1 || string(got.Rows[0].Prefix) != "one" {
		t.Errorf("it holds %+v", got.Rows)
	}
}
