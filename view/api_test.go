package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

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

// nothing is a machine without a state.
type nothing struct{ blind }

// The state at an index is what the machine then was, and the difference is what the
// updates between changed.
func TestStates(t *testing.T) {
	dir := bankStore(t, 30)
	h := Handler(dir, &Options{Machine: newBank})
	for _, index := range []uint64{0, 1, 17, 30} {
		m := newBank().(*bank)
		if err := store.RestoreAt(t.Context(), dir, m, index, nil); err != nil {
			t.Fatal(err)
		}
		got := ask[stateText](t, h, fmt.Sprintf("/api/state?index=%d", index))
		if got.Kind != "json" || strings.Count(got.Text, ":") != len(m.Accounts) {
			t.Errorf("the state of %d is %s of %v", index, got.Text, m.Accounts)
		}
		for name, amount := range m.Accounts {
			if !strings.Contains(got.Text, fmt.Sprintf("%q: %d", name, amount)) {
				t.Errorf("the state of %d lacks %d of %s:\n%s", index, amount, name, got.Text)
			}
		}
	}
	if late := ask[map[string]any](t, h, "/api/state?index=31"); !strings.Contains(fmt.Sprint(late["error"]), "ends with update 30") {
		t.Errorf("a state that is not there yet: %v", late)
	}
	shown := Handler(dir, &Options{Machine: newBank, Show: func(w io.Writer, m store.Machine) error {
		_, err := fmt.Fprintf(w, "%d accounts", len(m.(*bank).Accounts))
		return err
	}})
	if got := ask[stateText](t, shown, "/api/state?index=0"); got.Text != "0 accounts" || got.Kind != "text" {
		t.Errorf("with Show the first state is %+v", got)
	}
	for index := uint64(25); index <= 30; index++ {
		var made transfer
		if err := json.Unmarshal(ask[rows](t, h, fmt.Sprintf("/api/entries?limit=1&index=%d", index)).Rows[0].Prefix, &made); err != nil {
			t.Fatal(err)
		}
		d := ask[struct{ Lines []line }](t, h, fmt.Sprintf("/api/diff?a=%d&b=%d", index-1, index))
		for _, l := range d.Lines {
			theirs := strings.Contains(l.Text, made.From) || strings.Contains(l.Text, made.To)
			if changed := l.Kind == onlyFirst || l.Kind == onlyAfter; changed && !theirs {
				t.Errorf("the transfer %+v changed %q", made, l)
			}
		}
		if made.From != made.To && len(d.Lines) == 0 {
			t.Errorf("the transfer %+v changed nothing", made)
		}
	}
}

// Without a machine there are the states in snapshots, as they are on the disk, unless they
// are damaged.
func TestStatesInSnapshots(t *testing.T) {
	dir := bankStore(t, 300)
	h, with := Handler(dir, nil), Handler(dir, &Options{Machine: newBank})
	if s := settled(t, h); s.States != "snapshots" {
		t.Errorf("the states that can be shown are %q", s.States)
	}
	got, want := ask[stateText](t, h, "/api/state?index=200"), ask[stateText](t, with, "/api/state?index=200")
	if got.Text != want.Text || got.Kind != "json" || got.Size != want.Size {
		t.Errorf("in the snapshot is %+v, the state is %+v", got, want)
	}
	if w := get(h, "/api/state?index=201", nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "there is no snapshot of update 201") {
		t.Errorf("of an update without a snapshot: %d, %s", w.Code, w.Body)
	}
	breakFile(t, dir, "00000000000000000100.snap", 250, 1)
	if w := get(h, "/api/state?index=100", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"error":"store: `) {
		t.Errorf("of a damaged snapshot: %d, %s", w.Code, w.Body)
	}
}

// A state that is long, or no text, is cut, or shown as bytes.
func TestStatesThatAreNoText(t *testing.T) {
	for _, c := range []struct {
		state string
		kind  string
		cut   bool
		text  string
	}{
		{`{"b":1,"a":[2]}`, "json", false, "{\n  \"b\": 1,\n  \"a\": [\n    2\n  ]\n}"},
		{"plain\n", "text", false, "plain\n"},
		{"", "text", false, ""},
		{"\x00\xffA", "hex", false, "00000000  00 ff 41                                         ..A\n"},
		{strings.Repeat("é", maxState), "text", true, strings.Repeat("é", maxState/2)},
		{"x" + strings.Repeat("é", maxState), "text", true, "x" + strings.Repeat("é", maxState/2-1)},
	} {
		b := &bounded{}
		if _, err := b.Write([]byte(c.state)); err != nil {
			t.Fatal(err)
		}
		if got := textOf(b); got.Kind != c.kind || got.Truncated != c.cut || got.Text != c.text || got.Size != int64(len(c.state)) {
			t.Errorf("%.20q is shown as %s, cut %v, of %d bytes, %.60q", c.state, got.Kind, got.Truncated, got.Size, got.Text)
		}
	}
}

// A difference is a way from one text to the other, and the shortest one.
func TestDifference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		text := func() string {
			lines := make([]string, rnd.IntN(9))
			for i := range lines {
				lines[i] = string(rune('a' + rnd.IntN(3)))
			}
			return strings.Join(lines, "\n")
		}
		a, b := text(), text()
		x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
		var before, after []string
		edits := 0
		for _, l := range shortest(x, y) {
			if l.Kind != onlyAfter {
				before = append(before, l.Text)
			}
			if l.Kind != onlyFirst {
				after = append(after, l.Text)
			}
			if l.Kind != both {
				edits++
			}
		}
		if !slices.Equal(before, x) || !slices.Equal(after, y) || edits != len(x)+len(y)-2*common(x, y) {
			t.Fatalf("from %q to %q: %d edits, %q, %q", x, y, edits, before, after)
		}
		if got, whole := difference(a, b); !whole || (len(got) == 0) != (a == b) || a != b && !leads(got, x, y) {
			t.Fatalf("from %q to %q: %v", a, b, got)
		}
	}
	long := strings.Repeat("same\n", 1000)
	got, whole := difference(long+"old\n"+long, long+"new\n"+long)
	if !whole || len(got) != 10 || got[0] != (line{leftOut, "997 lines"}) || got[4].Text != "old" {
		t.Errorf("of one line in two thousand: %v", got)
	}
}

// leads reports whether lines lead from x to y, whatever was left out.
func leads(lines []line, x, y []string) bool {
	for _, l := range lines {
		n := 1
		if l.Kind == leftOut {
			if _, err := fmt.Sscanf(l.Text, "%d line", &n); err != nil || n > min(len(x), len(y)) || !slices.Equal(x[:n], y[:n]) {
				return false
			}
			x, y = x[n:], y[n:]
			continue
		}
		if l.Kind != onlyAfter {
			if len(x) == 0 || x[0] != l.Text {
				return false
			}
			x = x[1:]
		}
		if l.Kind != onlyFirst {
			if len(y) == 0 || y[0] != l.Text {
				return false
			}
			y = y[1:]
		}
	}
	return len(x)+len(y) == 0
}

// A difference of long texts is bounded, and says so.
func TestADifferenceIsBounded(t *testing.T) {
	many := func(s string) string { return strings.Repeat(s+"\n", 1<<20) }
	wide := strings.Repeat("é", maxLine)
	for name, c := range map[string][2]string{
		"lines":       {many("old"), many("new")},
		"wide lines":  {wide + "x", wide + "y"},
		"wide longer": {"x" + wide, "x" + wide + wide},
	} {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lines, whole := difference(c[0], c[1])
		runtime.ReadMemStats(&after)
		if whole || len(lines) == 0 || len(lines) > maxLines+1 {
			t.Errorf("%s: %d lines, all of it %v", name, len(lines), whole)
		}
		for _, l := range lines {
			if len(l.Text) > maxLine+100 || !utf8.ValidString(l.Text) {
				t.Errorf("%s: a line of %d bytes", name, len(l.Text))
			}
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: it took %d MiB", name, took>>20)
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

// common is the length of the longest common subsequence.
func common(x, y []string) int {
	best := make([][]int, len(x)+1)
	for i := range best {
		best[i] = make([]int, len(y)+1)
	}
	for i := range x {
		for j := range y {
			if best[i+1][j+1] = max(best[i][j+1], best[i+1][j]); x[i] == y[j] {
				best[i+1][j+1] = best[i][j] + 1
			}
		}
	}
	return best[len(x)][len(y)]
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
