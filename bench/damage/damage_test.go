package damage

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/bench/child"
	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

func TestMain(m *testing.M) {
	child.Main([]engine.Engine{engine.Store, honest, mild, forgetful, silent, shaky, broken})
	os.Exit(m.Run())
}

func run(t *testing.T, e engine.Engine) report.Damage {
	t.Helper()
	d, err := Test{Engine: e, Dir: t.TempDir(), Kills: 2, Updates: 50, Places: 12}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []report.Outcome{d.Kill, d.Torn, d.Flipped} {
		if o.Trials != o.Whole+o.Refused+o.Crashed+o.Lost+o.Wrong {
			t.Errorf("there are trials without an end: %+v", o)
		}
	}
	if d.Kill.Trials != 2 || d.Torn.Trials != 12 || d.Flipped.Trials != 12 || !d.Torn.Sampled {
		t.Errorf("%+v", d)
	}
	return d
}

// The store loses nothing, opens with any torn end, and says what a flipped bit did.
func TestTheStore(t *testing.T) {
	d := run(t, engine.Store)
	if d.Kill.Whole != 2 || d.Kill.Acknowledged < 100+200 || d.Torn.Whole != 12 || d.Flipped.Refused != 12 {
		t.Errorf("%+v", d)
	}
	if !strings.HasSuffix(d.Torn.File, ".log") || !strings.Contains(d.Flipped.Example, "corrupt") {
		t.Errorf("%+v", d)
	}
}

// Engines that do it wrong are found out.
func TestEnginesThatAreWrong(t *testing.T) {
	for _, tt := range []struct {
		engine engine.Engine
		about  string
		right  func(d report.Damage) bool
	}{
		{honest, "whole after a kill, refuses the rest", func(d report.Damage) bool {
			return d.Kill.Whole == 2 && d.Torn.Refused == 11 && d.Torn.Whole == 1 && d.Flipped.Refused == 12
		}},
		{mild, "opens with a torn end, and has updates that nobody wrote", func(d report.Damage) bool {
			return d.Torn.Whole == 12 && d.Flipped.Wrong == 12 && d.Flipped.WrongUpdates == 12 && d.Flipped.LostUpdates == 12
		}},
		{forgetful, "loses acknowledged updates of each kill", func(d report.Damage) bool {
			return d.Kill.Lost == 2 && d.Kill.LostUpdates >= 2*16 && d.Flipped.Refused == 12
		}},
		{silent, "loses what came after a flipped bit", func(d report.Damage) bool {
			return d.Torn.Whole == 12 && d.Flipped.Lost == 12 && d.Flipped.LostUpdates > 12
		}},
		{shaky, "crashes", func(d report.Damage) bool {
			return d.Kill.Whole == 2 && d.Flipped.Crashed == 12 && strings.Contains(d.Flipped.Example, "panic: fake: ")
		}},
	} {
		t.Run(tt.engine.Name, func(t *testing.T) {
			if d := run(t, tt.engine); !tt.right(d) {
				t.Errorf("it %s: %+v", tt.about, d)
			}
		})
	}
}

// An engine that can't even write has no result.
func TestBrokenEngine(t *testing.T) {
	_, err := Test{Engine: broken, Dir: t.TempDir(), Kills: 1, Updates: 3, Places: 3}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it does not open") {
		t.Errorf("%v", err)
	}
}

// An image is what was there, with holes and without.
func TestImage(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	files := map[string][]byte{
		"empty":    {},
		"short":    []byte("abc"),
		"zeros":    make([]byte, 3*blockSize+5),
		"sub/text": append(make([]byte, 2*blockSize), bytes.Repeat([]byte("x"), blockSize+1)...),
	}
	if err := os.Mkdir(filepath.Join(from, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(from, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i, err := take(from)
	if err != nil || len(i) != len(files) {
		t.Fatalf("%d files: %v", len(i), err)
	}
	if err := i.put(to); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, not those %d: %v", name, len(got), len(want), err)
		}
	}
	if used := i["sub/text"].used(); used != 3*blockSize+1 {
		t.Errorf("%d bytes are used", used)
	}
	if len(i["zeros"].blocks) != 0 {
		t.Error("zeros are kept")
	}
}

// contentsOf returns b as contents.
func contentsOf(t *testing.T, b []byte) *contents {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readContents(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a write changed is found, and cut short byte by byte, whether the file grew or not.
func TestChangesAndCuts(t *testing.T) {
	for _, n := range []int{1, blockSize - 1, blockSize, blockSize + 1, 2*blockSize + 7} {
		old := bytes.Repeat([]byte{1}, n)
		grown := append(bytes.Clone(old), 0, 2, 3, 0)
		c := contentsOf(t, grown)
		if start, end := c.changed(contentsOf(t, old), 1<<40); start != int64(n) || end != int64(n+4) {
			t.Errorf("%d bytes and 4: changed from %d to %d", n, start, end)
		}
		space := append(bytes.Clone(old), make([]byte, 2*blockSize)...)
		full := append(bytes.Clone(grown), make([]byte, 2*blockSize-4)...)
		before, after := contentsOf(t, space), contentsOf(t, full)
		if start, end := after.changed(before, 1<<40); start != int64(n+1) || end != int64(n+3) {
			t.Errorf("%d bytes and 4 of space: changed from %d to %d", n, start, end)
		}
		if start, end := after.changed(before, int64(n)); start != 0 || end != 0 {
			t.Errorf("nothing changed below %d, but from %d to %d", n, start, end)
		}
		for cut := n; cut <= n+4; cut++ {
			want := append(bytes.Clone(full[:cut]), space[cut:]...)
			torn := after.with(after.size, int64(cut), int64(n+4), before.at)
			for i, b := range want {
				if torn.at(int64(i)) != b {
					t.Fatalf("%d bytes, cut at %d: byte %d is %d, not %d", n, cut, i, torn.at(int64(i)), b)
				}
			}
			if shorter := c.with(int64(cut), int64(cut), int64(n+4), before.at); shorter.size != int64(cut) || shorter.at(int64(cut)) != 0 || shorter.at(int64(cut-1)) != grown[cut-1] {
				t.Fatalf("%d bytes, cut off at %d: %d", n, cut, shorter.size)
			}
		}
		if flipped := after.flip(int64(n-1), 4); flipped.at(int64(n-1)) != 1^16 || after.at(int64(n-1)) != 1 || flipped.size != after.size {
			t.Errorf("%d bytes: the last is %d", n, flipped.at(int64(n-1)))
		}
	}
}

func TestSpaced(t *testing.T) {
	if got := spaced(10, 14, 64); len(got) != 4 || got[0] != 10 || got[3] != 13 {
		t.Errorf("all of 10 to 13: %v", got)
	}
	if got := spaced(0, 100, 4); len(got) != 4 || got[3] != 75 {
		t.Errorf("a sample of 100: %v", got)
	}
	if got := spaced(5, 5, 4); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
