package view

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// A blob is a machine whose state is the last update.
type blob struct{ b []byte }

func newBlob() store.Machine { return &blob{} }

func (m *blob) Apply(update []byte) (any, error) {
	m.b = bytes.Clone(update)
	return nil, nil
}

func (m *blob) Snapshot() (io.WriterTo, error) { return bytes.NewReader(m.b), nil }

func (m *blob) Restore(r io.Reader) (err error) {
	m.b, err = io.ReadAll(r)
	return err
}

// blobHandler returns the page of a store that had these states.
func blobHandler(t *testing.T, states ...string) *handler {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "blob")
	s, err := store.Open(dir, newBlob(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states {
		if _, err := s.Update(t.Context(), []byte(state)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return Handler(dir, &Options{Machine: newBlob}).(*handler)
}

// A small state that is nested deeply makes no large answer: it is shown as it is.
func TestDeepNestingIsShownAsItIs(t *testing.T) {
	deep := strings.Repeat("[", 9990) + strings.Repeat("]", 9990)
	row := strings.Repeat("[", maxDepth-1) + strings.Repeat("1,", 100_000) + "1" + strings.Repeat("]", maxDepth-1)
	states := []string{"[" + deep + "," + deep + "]", row}
	h := blobHandler(t, states...)
	for i, state := range states {
		got := ask[stateText](t, h, "/api/state?index="+string(rune('1'+i)))
		if got.Text != state || got.Kind != "text" || got.Truncated {
			t.Errorf("a state of %d bytes is shown as %d bytes of %s", len(state), len(got.Text), got.Kind)
		}
	}
}

// What indenting makes is never larger than was reckoned.
func TestIndentedSize(t *testing.T) {
	for _, s := range []string{
		"1", `"a\"{[,"`, "[]", "{}", `{"a":[1,2,{"b":null}],"c":"\\"}`, " [ 1 , [ [ ] , { } ] ]\n",
		strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth),
	} {
		var want bytes.Buffer
		if err := json.Indent(&want, []byte(s), "", "  "); err != nil {
			t.Fatal(err)
		}
		n, ok := indentedSize([]byte(s))
		if got := indented([]byte(s)); !ok || n < want.Len() || string(got) != want.String() {
			t.Errorf("%s: %d bytes, %v, want %d: %s", s, n, ok, want.Len(), got)
		}
	}
	for _, s := range []string{strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), "nothing", ""} {
		if got := indented([]byte(s)); got != nil {
			t.Errorf("%.20s: %.100s", s, got)
		}
	}
}

// States are kept as long as they are few and not large.
func TestKeptStatesAreBounded(t *testing.T) {
	s := &states{}
	for i := range uint64(10) {
		s.keep(&stateText{Index: i})
	}
	if len(s.kept) != keptStates || s.kept[keptStates-1].Index != 9 {
		t.Errorf("%d states are kept", len(s.kept))
	}
	large := strings.Repeat("x", maxPretty)
	for i := range uint64(4) {
		s.keep(&stateText{Index: 10 + i, Text: large})
	}
	if n := keptBytes / maxPretty; len(s.kept) != n || s.kept[n-1].Index != 13 {
		t.Errorf("%d large states are kept, want %d", len(s.kept), n)
	}
}
