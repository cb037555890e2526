package durable_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

func TestLinesAreReadable(t *testing.T) {
	m := openMap[string, user](t, t.TempDir(), nil)
	put(t, m, "b<>", user{Name: "B & C"})
	put(t, m, "a", user{Tags: []string{"x"}})
	put(t, m, "\xff", user{})
	want := `{"key":"a","value":{"Name":"","Tags":["x"],"Seen":null}}
{"key":"b<>","value":{"Name":"B \u0026 C","Tags":null,"Seen":null}}
{"key64":"/w==","value":{"Name":"","Tags":null,"Seen":null}}
`
	expect(t, "lines", exported(t, m), want)
	to := openMap[string, user](t, t.TempDir(), nil)
	if n, err := to.ImportJSONL(t.Context(), strings.NewReader("\n"+want+"\n  \n")); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	expect(t, "lines of the copy", exported(t, to), want)
}

// Every number that can be a key can be exported, those as well that JSON has no number for.
func TestLinesOfNumbers(t *testing.T) {
	type degrees float32
	m := openMap[degrees, int](t, t.TempDir(), nil)
	for _, key := range []degrees{degrees(math.Inf(1)), degrees(math.Inf(-1)), degrees(math.Copysign(0, -1)), 0.1, math.MaxFloat32} {
		put(t, m, key, 1)
	}
	want := `{"key":"-Inf","value":1}
{"key":0,"value":1}
{"key":0.1,"value":1}
{"key":3.4028235e+38,"value":1}
{"key":"+Inf","value":1}
`
	expect(t, "lines", exported(t, m), want)
	to := openMap[degrees, int](t, t.TempDir(), nil)
	if n, err := to.ImportJSONL(t.Context(), strings.NewReader(want)); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	expect(t, "lines of the copy", exported(t, to), want)
	expect(t, "the copy has the key", to.Has(degrees(math.Inf(-1))), true)
	for _, wrong := range []string{
		`{"key":"NaN","value":1}`, `{"key":"Inf","value":1}`, `{"key":"1","value":1}`, `{"key":1e999,"value":1}`, `{"key":null,"value":1}`,
		`{"key":1,"key":2,"value":1}`, `{"value":1}`, `{"key64":"YQ==","value":1}`, `{"key":[1],"value":1}`,
	} {
		if _, err := to.ImportJSONL(t.Context(), strings.NewReader(wrong)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	texts := openMap[string, int](t, t.TempDir(), nil)
	put(t, texts, "+Inf", 1)
	expect(t, "a text", exported(t, texts), `{"key":"+Inf","value":1}`+"\n")
}

// With any codec, what is exported can be imported.
func TestLinesOfOtherCodecs(t *testing.T) {
	opts := &durable.MapOptions[string, []byte]{Codec: durable.Bytes{}}
	m := openMap(t, t.TempDir(), opts)
	put(t, m, "a", []byte("\x00\xff{}"))
	put(t, m, "empty", nil)
	want := `{"key":"a","data":"AP97fQ=="}
{"key":"empty","data":""}
`
	expect(t, "lines", exported(t, m), want)
	to := openMap(t, t.TempDir(), opts)
	put(t, to, "a", []byte("old"))
	put(t, to, "other", []byte("old"))
	n, err := to.ImportJSONL(t.Context(), strings.NewReader(want+`{"key":"json","value":"anNvbg=="}`)) // of a map with JSON
	if n != 3 || err != nil {
		t.Fatal(n, err)
	}
	expect(t, "lines of the copy", exported(t, to), `{"key":"a","data":"AP97fQ=="}
{"key":"empty","data":""}
{"key":"json","data":"anNvbg=="}
{"key":"other","data":"b2xk"}
`)
}

// A large import is made in pieces, each of them one update.
func TestImportOfManyLines(t *testing.T) {
	m := openMap[int, string](t, t.TempDir(), nil)
	var b bytes.Buffer
	from := openMap[int, string](t, t.TempDir(), nil)
	err := from.Txn(t.Context(), func(tx *durable.Tx[int, string]) error {
		for i := range 10_000 {
			tx.Put(i, strings.Repeat("x", 100))
		}
		return nil
	})
	if err == nil {
		err = from.ExportJSONL(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.ImportJSONL(t.Context(), &b)
	if n != 10_000 || err != nil || m.Len() != n {
		t.Fatalf("%d lines, %v, %d keys", n, err, m.Len())
	}
	if updates := m.Store().Index(); updates < 2 || updates > 20 {
		t.Errorf("%d updates", updates)
	}
}

// Whatever was exported can be imported into a map with the same options: no update is larger
// than it may be, but for a single line, which is as large as a Put of it.
func TestImportKeepsToTheLargestUpdate(t *testing.T) {
	const most = 4 << 10
	opts := &durable.MapOptions[string, string]{Codec: durable.String{}, Store: quiet}
	opts.Store.MaxUpdate = most
	open := func() *durable.Map[string, string] {
		m, err := durable.OpenMap(t.TempDir(), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeIt(t, m) })
		return m
	}
	from := open()
	put(t, from, "largest", strings.Repeat("l", most-len("largest")-2)) // with head and length of the key
	if err := from.Put(t.Context(), "largest", strings.Repeat("l", most-len("largest")-1)); !errors.Is(err, store.ErrTooLarge) {
		t.Fatalf("a larger one: %v", err)
	}
	for i := range 1000 {
		put(t, from, fmt.Sprint("k", i), strings.Repeat("v", i%200))
	}
	for i := range 5 {
		put(t, from, fmt.Sprint("large", i), strings.Repeat("w", most/2+i))
	}
	lines := exported(t, from)
	to := open()
	n, err := to.ImportJSONL(t.Context(), strings.NewReader(lines))
	if n != 1006 || err != nil || exported(t, to) != lines {
		t.Fatalf("%d lines imported of 1006, %v", n, err)
	}
	if updates := to.Store().Index(); updates > 200 {
		t.Errorf("the import took %d updates", updates)
	}
	// One that fits no update, after lines that do.
	tooLarge := openMap(t, t.TempDir(), &durable.MapOptions[string, string]{Codec: durable.String{}})
	put(t, tooLarge, "a", "1")
	put(t, tooLarge, "b", strings.Repeat("x", most))
	n, err = open().ImportJSONL(t.Context(), strings.NewReader(exported(t, tooLarge)))
	if n != 1 || !errors.Is(err, store.ErrTooLarge) || !strings.Contains(err.Error(), "importing line 2:") {
		t.Errorf("a line that is too large: %d, %v", n, err)
	}
}

// A large line does not make the update of those before it larger.
func TestImportOfALineThatIsAsLargeAsAnUpdateMayBe(t *testing.T) {
	opts := &durable.MapOptions[string, string]{Codec: durable.String{}, Store: quiet}
	opts.Store.MaxUpdate = 300 << 10
	m, err := durable.OpenMap(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, m)
	for i := range 5 {
		put(t, m, fmt.Sprint("a", i), strings.Repeat("v", 200<<10))
	}
	put(t, m, "b", strings.Repeat("w", 300<<10-3))
	lines := exported(t, m)
	to, err := durable.OpenMap(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, to)
	if n, err := to.ImportJSONL(t.Context(), strings.NewReader(lines)); n != 6 || err != nil || exported(t, to) != lines {
		t.Errorf("%d lines imported of 6, %v", n, err)
	}
	if updates := to.Store().Index(); updates != 6 {
		t.Errorf("%d updates, want one for each line: two are too large", updates)
	}
}

func TestImportNamesTheLineThatIsWrong(t *testing.T) {
	for _, wrong := range []string{
		`{`, `{}`, `[]`, `"a"`, `{"key":"a"}`, `{"value":1}`, `{"key":null,"value":1}`, `{"key":1,"value":1}`,
		`{"key":"a","value":"x"}`, `{"key":"a","value":1,"more":1}`, `{"key":"a","key":"b","value":1}`,
		`{"key":"a","key64":"YQ==","value":1}`, `{"key":"a","value":1,"data":"MQ=="}`, `{"key":"a","data":"eA=="}`,
		`{"key":"a","value":1} {"key":"b","value":1}`, `{"key":"a","value":null}`, `{"key":"a","value": null }`, "{\"key\":\"\xff\",\"value\":1}",
	} {
		m := openMap[string, int](t, t.TempDir(), nil)
		n, err := m.ImportJSONL(t.Context(), strings.NewReader(`{"key":"first","value":1}`+"\n"+wrong+"\n"))
		if err == nil || !strings.Contains(err.Error(), "line 2") || n != 0 {
			t.Errorf("%s: %d, %v", wrong, n, err)
		}
	}
	ints := openMap[int, int](t, t.TempDir(), nil)
	if _, err := ints.ImportJSONL(t.Context(), strings.NewReader(`{"key64":"YQ==","value":1}`)); err == nil {
		t.Error("key64 for keys that are no text: no error")
	}
	lists := openMap[string, []int](t, t.TempDir(), nil)
	if n, err := lists.ImportJSONL(t.Context(), strings.NewReader(`{"key":"a","value":null}`)); n != 1 || err != nil {
		t.Errorf("null for a list: %d, %v", n, err)
	}
}

func TestImportTellsWhatWentWrong(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	broken := io.MultiReader(strings.NewReader(`{"key":"a","value":1}`+"\n"), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := m.ImportJSONL(t.Context(), broken); !errors.Is(err, io.ErrClosedPipe) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a reader that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.ImportJSONL(ctx, strings.NewReader(`{"key":"a","value":1}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	put(t, m, "a", 1)
	if err := m.ExportJSONL(failingWriter{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a writer that fails: %v", err)
	}
	closeIt(t, m)
	if _, err := m.ImportJSONL(t.Context(), strings.NewReader(`{"key":"a","value":1}`)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a closed map: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

type (
	folded string // whose text is that of other keys
	hidden int    // whose JSON tells nothing
)

func (f folded) MarshalText() ([]byte, error)  { return []byte(strings.ToLower(string(f))), nil }
func (f *folded) UnmarshalText(b []byte) error { *f = folded(strings.ToUpper(string(b))); return nil }
func (hidden) MarshalJSON() ([]byte, error)    { return []byte(`"***"`), nil }
func (*hidden) UnmarshalJSON([]byte) error     { return nil }

// The methods of the type of keys, which may make one text of two of them, have no part in lines.
func TestLinesHaveTheKeysThatTheMapHas(t *testing.T) {
	testKeys[folded](t, "ann", "Ann", "ANN", "\xff")
	testKeys[hidden](t, 1, 2, -3)
	testKeys[json.Number](t, "", "0", "1e2", "100")
	testKeys[time.Duration](t, time.Second, -1)
	testKeys[float32](t, 0.1, -1, math.MaxFloat32, math.SmallestNonzeroFloat32)
	m := openMap[folded, int](t, t.TempDir(), nil)
	put(t, m, "Ann", 1)
	expect(t, "a line", exported(t, m), `{"key":"Ann","value":1}`+"\n")
	hide := openMap[hidden, int](t, t.TempDir(), nil)
	put(t, hide, 7, 1)
	expect(t, "a line", exported(t, hide), `{"key":7,"value":1}`+"\n")
}

// A key that the map can't hold exactly is refused, and not cut.
func TestImportRefusesKeysThatDoNotFit(t *testing.T) {
	refuses := func(of string, imp func(io.Reader) error, keys ...string) {
		for _, key := range keys {
			err := imp(strings.NewReader(`{"key":` + key + `,"value":1}`))
			if err == nil || !strings.Contains(err.Error(), "importing line 1: the key "+key+":") {
				t.Errorf("%s, key %s: %v", of, key, err)
			}
		}
	}
	small, whole := openMap[int8, int](t, t.TempDir(), nil), openMap[uint16, int](t, t.TempDir(), nil)
	short, long := openMap[float32, int](t, t.TempDir(), nil), openMap[float64, int](t, t.TempDir(), nil)
	text := openMap[string, int](t, t.TempDir(), nil)
	refuses("int8", func(r io.Reader) error { _, err := small.ImportJSONL(t.Context(), r); return err }, `128`, `1.5`, `"1"`, `1e1`, `99999999999999999999`)
	refuses("uint16", func(r io.Reader) error { _, err := whole.ImportJSONL(t.Context(), r); return err }, `65536`, `-1`, `[]`)
	refuses("float32", func(r io.Reader) error { _, err := short.ImportJSONL(t.Context(), r); return err }, `1e39`, `16777217`, `"1"`)
	refuses("float64", func(r io.Reader) error { _, err := long.ImportJSONL(t.Context(), r); return err }, `9007199254740993`)
	refuses("string", func(r io.Reader) error { _, err := text.ImportJSONL(t.Context(), r); return err }, `"\ud800"`, `1`, `true`, `{"a":1}`)
}

// Of two lines with one key only one would be kept.
func TestImportRefusesAKeyThatIsThereTwice(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	n, err := m.ImportJSONL(t.Context(), strings.NewReader(`{"key":"a","value":1}`+"\n"+`{"key":"b","value":2}`+"\n"+`{"key64":"YQ==","value":3}`))
	if err == nil || !strings.Contains(err.Error(), "importing line 3: its key is that of line 1") || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	zeros := openMap[float64, int](t, t.TempDir(), nil)
	if _, err := zeros.ImportJSONL(t.Context(), strings.NewReader(`{"key":0,"value":1}`+"\n"+`{"key":-0,"value":2}`)); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("0 and -0: %v", err)
	}
	put(t, m, "a", 1)
	if n, err := m.ImportJSONL(t.Context(), strings.NewReader(`{"key":"a","value":2}`)); n != 1 || err != nil {
		t.Errorf("a key that the map has already: %d, %v", n, err)
	}
}
