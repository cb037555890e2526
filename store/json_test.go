package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// payment is an update; later releases of the program have another one.
type payment struct {
	To     string
	Amount int64 `json:"amount"`
}

type renamedPayment struct {
	To    string
	Cents int64 `json:"amount_cents"`
}

type recasedPayment struct {
	To     string
	Amount int64 `json:"AMOUNT"`
}

type extendedPayment struct {
	To     string
	Amount int64 `json:"amount"`
	Note   string
}

// sums is a typed machine: what was paid to each.
type sums[U any] struct {
	of  map[string]int64
	get func(U) (string, int64)
}

func newSums[U any](get func(U) (string, int64)) *sums[U] {
	return &sums[U]{map[string]int64{}, get}
}

func (m *sums[U]) Apply(u U) (int64, error) {
	to, n := m.get(u)
	m.of[to] += n
	return m.of[to], nil
}

func (m *sums[U]) Snapshot() (io.WriterTo, error) { return balances(m.of), nil }

func (m *sums[U]) Restore(io.Reader) error { return errors.New("no snapshot is made") }

// paid returns a directory in which a payment of 500 was made by the first release.
func paid(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.OpenTyped(dir, newSums(func(p payment) (string, int64) { return p.To, p.Amount }), nil, quiet(nil))
	check(t, err)
	_, err = s.Update(t.Context(), payment{"ann", 500})
	check(t, err)
	check(t, s.Close())
	return dir
}

// openAs opens a directory as another release does.
func openAs[U any](t *testing.T, dir string, codec store.Codec[U], get func(U) (string, int64)) (map[string]int64, error) {
	t.Helper()
	m := newSums(get)
	s, err := store.OpenTyped(dir, m, codec, quiet(nil))
	if err == nil {
		check(t, s.Close())
	}
	return m.of, err
}

func TestAFieldThatWasRenamedStopsOpen(t *testing.T) {
	dir := paid(t)
	cents := func(p renamedPayment) (string, int64) { return p.To, p.Cents }
	_, err := openAs(t, dir, nil, cents)
	if err == nil {
		t.Fatal("a renamed field was replayed as zero")
	}
	for _, want := range []string{"replaying update 1", ".log", `"amount"`, "renamedPayment", "AllowUnknownFields"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not tell %q", err, want)
		}
	}
	_, err = openAs(t, dir, nil, func(p recasedPayment) (string, int64) { return p.To, p.Amount })
	if err == nil || !strings.Contains(err.Error(), "differs only in case") {
		t.Errorf("a field whose name differs in case: %v", err)
	}
	// Nothing has changed: the first release reads it, and so does one with more fields.
	got, err := openAs(t, dir, nil, func(p extendedPayment) (string, int64) { return p.To + p.Note, p.Amount })
	if err != nil || got["ann"] != 500 {
		t.Errorf("a release with one more field: %v, %v", got, err)
	}
	got, err = openAs(t, dir, store.JSON[renamedPayment]{AllowUnknownFields: true}, cents)
	if err != nil || len(got) != 1 || got["ann"] != 0 {
		t.Errorf("with AllowUnknownFields: %v, %v", got, err)
	}
}

func TestTextThatIsNotUTF8IsRefusedBeforeItIsApplied(t *testing.T) {
	m := newSums(func(p payment) (string, int64) { return p.To, p.Amount })
	dir := t.TempDir()
	s, err := store.OpenTyped(dir, m, nil, quiet(nil))
	check(t, err)
	for _, key := range []string{"caf\xe9", "caf\xe8"} {
		_, err := s.Update(t.Context(), payment{key, 1})
		if err == nil || !strings.Contains(err.Error(), "store: encoding an update: text that is not valid UTF-8") {
			t.Errorf("%+q: %v", key, err)
		}
		if _, err := s.Submit(payment{key, 1}); err == nil {
			t.Errorf("%+q was submitted", key)
		}
	}
	// What is valid is kept, U+FFFD and what looks like its escape included.
	valid := []string{"\ufffd", `\ufffd`, `\\ufffd`, "\u2028<&>", "\x00\x7f", "😀"}
	for _, key := range valid {
		if _, err := s.Update(t.Context(), payment{key, 1}); err != nil {
			t.Errorf("%+q: %v", key, err)
		}
	}
	if s.Index() != uint64(len(valid)) || len(m.of) != len(valid) {
		t.Errorf("%d updates were made and there are %d keys, want %d", s.Index(), len(m.of), len(valid))
	}
	check(t, s.Close())

	s, err = store.OpenTyped(dir, m, store.JSON[payment]{AllowInvalidUTF8: true}, quiet(nil))
	check(t, err)
	_, err = s.Update(t.Context(), payment{"caf\xe9", 1})
	check(t, err)
	if m.of["caf\ufffd"] != 1 {
		t.Errorf("with AllowInvalidUTF8, the keys are %v", m.of)
	}
	check(t, s.Close())
}

// codecs for the tables below.
func encode[U any](u U) ([]byte, error)   { return store.JSON[U]{}.Append(nil, u) }
func decode[U any](s string) (any, error) { return store.JSON[U]{}.Decode([]byte(s)) }

// textKey encodes to the same text whatever it is.
type textKey struct{ N int }

func (textKey) MarshalText() ([]byte, error)  { return []byte("key"), nil }
func (k *textKey) UnmarshalText([]byte) error { return nil }

// shouted marshals with a method that calls json.Marshal in turn.
type shouted struct{ text string }

func (s shouted) MarshalJSON() ([]byte, error)  { return json.Marshal(s.text + "!") }
func (s *shouted) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &s.text) }
func (s shouted) also() map[string]json.RawMessage {
	return map[string]json.RawMessage{"a": []byte(`"x"`)}
}

type raw struct {
	Name string
	Raw  json.RawMessage
	List []any `json:",omitempty"`
}

func TestWhatJSONWouldLoseIsRefusedWhenItIsEncoded(t *testing.T) {
	type named struct{ M map[string]string }
	for what, encode := range map[string]func() ([]byte, error){
		"a string":                   func() ([]byte, error) { return encode("\xff") },
		"a key":                      func() ([]byte, error) { return encode(map[string]int{"a\xff": 1}) },
		"a string in any":            func() ([]byte, error) { return encode[any]([]any{1, "\xff"}) },
		"a nested string":            func() ([]byte, error) { return encode(&named{map[string]string{"a": `\` + "\xff"}}) },
		"text from MarshalJSON":      func() ([]byte, error) { return encode(shouted{"\xff"}) },
		"a RawMessage":               func() ([]byte, error) { return encode(json.RawMessage("\"\xff\"")) },
		"a string by a RawMessage":   func() ([]byte, error) { return encode(raw{Name: "\xff", Raw: json.RawMessage(`"\ufffd"`)}) },
		"a string after a backslash": func() ([]byte, error) { return encode("\\\xff") },
		"a number that is none":      func() ([]byte, error) { return encode(math.NaN()) },
	} {
		if b, err := encode(); err == nil || len(b) > 0 {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	for what, encode := range map[string]func() ([]byte, error){
		"a RawMessage with the escape": func() ([]byte, error) { return encode(raw{Raw: json.RawMessage(`{"a":"\ufffd\\ufffd"}`)}) },
		"RawMessages within":           func() ([]byte, error) { return encode([]any{shouted{}.also(), &raw{Raw: json.RawMessage(`"\ufffd"`)}}) },
		"the character":                func() ([]byte, error) { return encode("\ufffd") },
	} {
		if b, err := encode(); err != nil || !json.Valid(b) {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
}

type inner struct {
	A int `json:"a"`
	B *inner
}

type outer struct {
	inner
	M    map[string]inner
	Any  any
	Pair [2]int
	F    float64
	F32  float32
	Raw  json.RawMessage
	When time.Time
	Text map[textKey]int
	N    json.Number
}

func TestWhatJSONWouldLoseIsRefusedWhenItIsDecoded(t *testing.T) {
	for _, tt := range []struct{ text, says string }{
		{`{"a":1,"c":2}`, `"c" at byte 7 is none of store_test.outer`},
		{`{"B":{"B":{"c":2}}}`, `"c" at byte 11 is none of store_test.inner`},
		{`{"M":{"x":{"a":1},"y":{"c":1}}}`, `"c"`},
		{`{"M":{"x":{"A":1}}}`, `"A" at byte 11 differs only in case from the field "a" of store_test.inner`},
		{`{"a":1,"A":2}`, `differs only in case`},
		{`{"a":1,"F":2,"a":1}`, `"a" stands twice in the object at byte 13`},
		{`{"M":{"x":{},"w":{},"x":{}}}`, `"x" stands twice`},
		{`{"M":{"x":{},"\u0078":{}}}`, `"x" stands twice`},
		{`{"Any":[{"x":{"y":1,"y":2}}]}`, `"y" stands twice`},
		{`{"Text":{"key":1,"key":2}}`, `"key" stands twice`},
		{`{"Pair":[1,2,3]}`, `the array at byte 8 has 3 elements, and its Go type holds 2`},
		{`{"Any":9007199254740993}`, `9007199254740993`},
		{`{"Any":{"x":[12345678901234567890]}}`, `json.Number`},
		{`{"F":-9007199254740993}`, `can't be held by a float of 64 bits`},
		{`{"F32":16777217}`, `can't be held by a float of 32 bits`},
		{`{"Any":"` + "\xff" + `"}`, `not valid UTF-8`},
		{`{"Any":"\ud800"}`, `not valid UTF-8`},
		{`{"Any":"\udc00"}`, `not valid UTF-8`},
		{`{"Any":"\ud800\ud800"}`, `not valid UTF-8`},
		{`{"Any":"\ud800x"}`, `not valid UTF-8`},
		{`{"M":{"\ud800":{}}}`, `not valid UTF-8`},
		{`{"a":1} {}`, `after top-level value`},
		{`{"a":"1"}`, `cannot unmarshal`},
		{`{"a":1`, `unexpected end`},
		{``, `unexpected end`},
	} {
		got, err := decode[outer](tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want one that says %q", tt.text, err, tt.says)
		} else if got.(outer).A != 0 {
			t.Errorf("%s: an error, and a value", tt.text)
		}
	}
	for _, text := range []string{
		`null`, `{}`, ` { } `, "{\"a\" :\t1 ,\n\"F\"\r: 2 }",
		`{"a":1,"B":{"a":2,"B":null},"M":{"a":{},"A":{"a":-3}},"Any":[1,"\ud83d\ude00\n",{"b":[],"a":{}}]}`,
		`{"Pair":[1],"F":100000000000000000000,"F32":16777216,"When":"2026-01-02T15:04:05Z"}`,
		`{"Any":[0.1234567890123456789,9007199254740992,-0,true,false,null]}`,
		`{"Raw":{"x":1,"x":2,"y":"\ud800","n":9007199254740993}}`,
		`{"N":12345678901234567890123}`,
	} {
		if _, err := decode[outer](text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	type pair struct{ A, B int }
	if got, err := (store.JSON[pair]{AllowUnknownFields: true}).Decode([]byte(`{"X":{"x":1,"x":1},"A":1,"X":0}`)); err != nil || got.A != 1 {
		t.Errorf("with AllowUnknownFields: %v, %v", got, err)
	}
	if _, err := (store.JSON[pair]{AllowUnknownFields: true}).Decode([]byte(`{"a":1}`)); err == nil {
		t.Error("with AllowUnknownFields, a name that differs in case was taken for a field")
	}
	if got, err := (store.JSON[string]{AllowInvalidUTF8: true}).Decode([]byte(`"` + "\xff" + `\ud800"`)); err != nil || got != "\ufffd\ufffd" {
		t.Errorf("with AllowInvalidUTF8: %q, %v", got, err)
	}
}

// What is null is zero where the type has no nil, like what is missing: docs/EVOLVING.md.
func TestNullIsZeroWhereThereIsNoNil(t *testing.T) {
	type aged struct {
		Age  int
		Name *string
	}
	if got, err := (store.JSON[aged]{}).Decode([]byte(`{"Age":null,"Name":null}`)); err != nil || got != (aged{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A type that contains itself is checked at every depth, whichever of its fields
// is looked at first.
func TestFieldsAreCheckedAtEveryDepth(t *testing.T) {
	type deep1 struct{ Next *deep1 }
	type deep2 struct{ Next map[string]*deep2 }
	type deep3 struct{ Next **[]deep3 }
	for depth := range 5 {
		for _, tt := range []struct {
			decode      func(string) (any, error)
			open, close string
		}{
			{decode[deep1], `{"Next":`, `}`},
			{decode[deep2], `{"Next":{"x":`, `}}`},
			{decode[deep3], `{"Next":[`, `]}`},
			{decode[listOfLists], `[`, `]`},
			{decode[mapOfMaps], `{"x":`, `}`},
		} {
			text := strings.Repeat(tt.open, depth+1) + `{"Next":null,"Next":null}` + strings.Repeat(tt.close, depth+1)
			if _, err := tt.decode(text); err == nil {
				t.Errorf("%s was accepted", text)
			}
		}
	}
}

// Keys of a map that are the same once encoded lose nothing: the update is
// refused before it is applied.
func TestKeysThatAreTheSameOnceEncodedAreRefused(t *testing.T) {
	applied := 0
	m := newSums(func(map[textKey]int) (string, int64) { applied++; return "", 0 })
	s, err := store.OpenTyped(t.TempDir(), m, nil, quiet(nil))
	check(t, err)
	_, err = s.Update(t.Context(), map[textKey]int{{1}: 1, {2}: 2})
	if err == nil || !strings.Contains(err.Error(), `"key" stands twice`) || applied > 0 || s.Index() > 0 {
		t.Errorf("%v; %d applied, index %d", err, applied, s.Index())
	}
	check(t, s.Close())
}

// What Go takes for the fields of a struct is what encoding/json takes for them.
func TestFieldsAreThoseOfEncodingJSON(t *testing.T) {
	sameFields[outer](t)
	sameFields[struct {
		deepA
		*deepB
		Deep3 `json:"deep3"`
		Named string `json:"name,omitempty"`
		//lint:ignore SA5008 encoding/json of Go 1.26 takes the name of the field
		Bad string `json:"a\\b"` //nolint:staticcheck // encoding/json takes the name of the field
		//lint:ignore SA5008 what the name is, versions of Go differ about
		Quote string `json:"it's,omitempty"` //nolint:staticcheck // as above
		Euro  string `json:"€"`              // as here
		//lint:ignore SA5008 the name is a dash
		Dash  string `json:"-,"` //nolint:staticcheck // the name is a dash
		Gone  string `json:"-"`
		gone  string
		Punct string `json:"$%-/ ü"`
		error
		Time time.Time
	}](t)
	sameFields[struct { // twice by way of others, so neither counts
		LeftOf
		RightOf
	}](t)
	sameFields[recursive](t)
}

type (
	deepA struct{ Shared, OnlyA, Tagged string }
	deepB struct {
		Shared, OnlyB string
		Other         string `json:"Tagged"`
	}
)

type (
	Deep3   struct{ In3 string }
	base    struct{ Base, Second string }
	LeftOf  struct{ base }
	RightOf struct {
		base
		Second string
	}
)

type recursive struct {
	//lint:ignore U1000 it is the shape that counts
	*recursive
	L  listOfLists
	M  mapOfMaps
	P  pointless
	Of []*recursive
}
type (
	listOfLists []listOfLists
	mapOfMaps   map[string]*mapOfMaps
	pointless   *pointless
)

// sameFields asks encoding/json for each name that there might be.
func sameFields[T any](t *testing.T) {
	t.Helper()
	names := strings.Fields("Shared OnlyA OnlyB Tagged Other Deep3 deep3 In3 Named name Bad a\\\\b Dash - Gone gone Punct error Time base Base Second " +
		"Quote it's it Euro € LeftOf RightOf recursive L M P Of a A B inner M Any Pair F F32 Raw When Text N nothing")
	for _, name := range append(names, "$%-/ ü") {
		text := fmt.Sprintf(`{"%s":null}`, name)
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		want := d.Decode(new(T))
		_, err := decode[T](text)
		if (err == nil) != (want == nil) && !strings.Contains(fmt.Sprint(err), "differs only in case") {
			t.Errorf("%s of %T: %v, and encoding/json says %v", text, *new(T), err, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":1,"B":{"a":2}}`, `{"Any":[{"x":"\ud800\udc00"},1e5]}`, `{"M":{"x":{},"\u0078":{}}}`, "\"\xff\"", `{"Raw":{"x":"\ufffd"}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// What is accepted is what encoding/json makes of it, and encodes to the same.
		got, err := store.JSON[outer]{}.Decode([]byte(text))
		if err != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		var want outer
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q was accepted, and encoding/json says %v", text, err)
		}
		b, err := store.JSON[outer]{}.Append(nil, got)
		if err != nil {
			t.Fatalf("%q was accepted, and not taken back: %v", text, err)
		}
		again, err := store.JSON[outer]{}.Decode(b)
		if err != nil {
			t.Fatalf("%q: its own encoding %q is refused: %v", text, b, err)
		}
		if b2, _ := (store.JSON[outer]{}).Append(nil, again); string(b2) != string(b) {
			t.Fatalf("%q became %q", b, b2)
		}
	})
}

// The cost of strictness, beside encoding/json alone.
func BenchmarkJSON(b *testing.B) {
	type order struct {
		ID       uint64 `json:"id"`
		Customer string `json:"customer"`
		Lines    []struct {
			SKU   string `json:"sku"`
			Count int    `json:"count"`
			Price int64  `json:"price"`
		} `json:"lines"`
		Labels map[string]string `json:"labels,omitempty"`
		Note   string            `json:"note"`
	}
	benchmarkJSON(b, "payment", payment{"account-17", 12345})
	var o order
	if err := json.Unmarshal([]byte(`{"id":7,"customer":"ann","lines":[{"sku":"a-1","count":2,"price":199},{"sku":"b-1","count":1,"price":5}],`+
		`"labels":{"channel":"web","region":"eu"},"note":"`+strings.Repeat("leave it at the door ", 5)+`"}`), &o); err != nil {
		b.Fatal(err)
	}
	benchmarkJSON(b, "order", o)
	benchmarkJSON(b, "text", strings.Repeat("héllo wörld\n", 5000))
}

func benchmarkJSON[U any](b *testing.B, name string, u U) {
	text, err := json.Marshal(u)
	if err != nil {
		b.Fatal(err)
	}
	run := func(what string, f func() error) {
		b.Run(name+"/"+what, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("Append", func() error { _, err := store.JSON[U]{}.Append(nil, u); return err })
	run("Marshal alone", func() error { b, err := json.Marshal(u); _ = append([]byte(nil), b...); return err })
	run("Decode", func() error { _, err := store.JSON[U]{}.Decode(text); return err })
	run("Unmarshal alone", func() error { var u U; return json.Unmarshal(text, &u) })
}

// hides is a type of which JSON would leave out a field.
type hides struct {
	Name  string
	count int
}

// hiding is a machine with such a state.
type hiding struct {
	store.JSONState[map[string]hides]
}

func (h *hiding) Apply(name string) (int, error) {
	s := hides{name, h.State[name].count + 1}
	h.State[name] = s
	return s.count, nil
}

// hidingAll is one that keeps it by itself.
type hidingAll struct{ hiding }

func (*hidingAll) CheckType() error { return nil }

// A store is not opened, and no directory made, where updates or a state would lose fields.
func TestTypesThatJSONWouldLoseFieldsOfAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	get := func(h hides) (string, int64) { return h.Name, 1 }
	open := func(codec store.Codec[hides]) (*store.Typed[hides, int64], error) {
		return store.OpenTyped(dir, newSums(get), codec, quiet(nil))
	}
	for name, refused := range map[string]func() error{
		"the updates: ": func() error { _, err := open(nil); return err },
		"the updates":   func() error { _, err := open(store.Versions[hides]{Current: 1}); return err },
		"the state: ":   func() error { _, err := store.OpenTyped[string, int](dir, &hiding{}, nil, quiet(nil)); return err },
		"the state":     func() error { _, err := store.OpenMemory(store.Untyped[string, int](&hiding{}, nil), nil); return err },
	} {
		err := refused()
		if err == nil || !strings.HasPrefix(err.Error(), "store: "+name) || !strings.Contains(err.Error(), "field count of store_test.hides is not exported") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: the directory was made: %v", name, err)
		}
	}
	allowed, err := open(store.JSON[hides]{AllowUnexportedFields: true})
	check(t, err)
	check(t, allowed.Close())
	own, err := store.OpenMemory(store.Untyped[string, int](&hidingAll{}, nil), quiet(nil))
	check(t, err)
	check(t, own.Close())
}
