package view

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stateio/stateio/store"
)

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
