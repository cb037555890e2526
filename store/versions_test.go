package store_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// Three releases of a program, as docs/EVOLVING.md tells them.

// releaseOne logged names, in JSON, without a version.
type releaseOne = string

// releaseTwo has a number with each name.
type releaseTwo struct {
	Name string
	N    int
}

// releaseThree has the field under another name, and a unit.
type releaseThree struct {
	Name   string
	Amount int
	Unit   string
}

// one, two and three are the codecs of the releases.
var (
	one = store.JSON[releaseOne]{}
	two = store.Versions[releaseTwo]{
		Current: 1,
		Old: map[int]func([]byte) (releaseTwo, error){
			0: store.Upcast(nil, func(name releaseOne) (releaseTwo, error) { return releaseTwo{name, 1}, nil }),
		},
	}
	three = store.Versions[releaseThree]{
		Current: 2,
		Old: map[int]func([]byte) (releaseThree, error){
			0: store.Upcast(nil, func(name releaseOne) (releaseThree, error) { return releaseThree{name, 1, "piece"}, nil }),
			1: store.Upcast(nil, func(u releaseTwo) (releaseThree, error) { return releaseThree{u.Name, u.N, "piece"}, nil }),
		},
	}
)

// shelf is the machine of all releases, which differ in the type of updates.
type shelf[U any] struct {
	store.JSONState[map[string]int]
	read func(U) (name string, n int)
}

func (s *shelf[U]) Apply(u U) (int, error) {
	name, n := s.read(u)
	s.State[name] += n
	return s.State[name], nil
}

func newShelf[U any](read func(U) (string, int)) *shelf[U] {
	return &shelf[U]{store.JSONState[map[string]int]{State: map[string]int{}}, read}
}

// use opens the store with one release, makes updates, and returns the state.
func use[U any](t *testing.T, dir string, codec store.Codec[U], read func(U) (string, int), updates ...U) (map[string]int, error) {
	t.Helper()
	m := newShelf(read)
	s, err := store.OpenTyped[U, int](dir, m, codec, quiet(nil))
	if err != nil {
		return nil, err
	}
	for _, u := range updates {
		if _, err := s.Update(t.Context(), u); err != nil {
			t.Error(err)
		}
	}
	return m.State, s.Close()
}

func readOne(u releaseOne) (string, int)     { return u, 1 }
func readTwo(u releaseTwo) (string, int)     { return u.Name, u.N }
func readThree(u releaseThree) (string, int) { return u.Name, u.Amount }

// Each release reads what those before it have logged, and one before stops at what it
// does not know, with what to do.
func TestThreeReleases(t *testing.T) {
	dir := t.TempDir()
	_, err := use(t, dir, one, readOne, "nut", "bolt")
	check(t, err)
	_, err = use(t, dir, two, readTwo, releaseTwo{"nut", 5})
	check(t, err)
	got, err := use(t, dir, three, readThree, releaseThree{"bolt", 2, "box"})
	check(t, err)
	if want := map[string]int{"nut": 6, "bolt": 3}; !maps.Equal(got, want) {
		t.Errorf("the third release has %v, want %v", got, want)
	}
	_, err = use(t, dir, two, readTwo)
	var replay *store.ReplayError
	if !errors.Is(err, store.ErrUpdateVersion) || !errors.As(err, &replay) || replay.Index != 4 ||
		!strings.Contains(err.Error(), "an update of version 2, and this program knows versions up to 1: run the release that has made it, or a later one") {
		t.Errorf("the second release opens with %v", err)
	}
	if _, err = use(t, dir, one, readOne); err == nil {
		t.Error("the first release opens what the third has logged")
	}
}

// What no decoder is for is refused, and what a decoder refuses, too.
func TestVersions(t *testing.T) {
	statetest.RoundTrip(t, store.Codec[releaseThree](three), nil, releaseThree{}, releaseThree{"a", -1, "b"})
	statetest.RoundTrip(t, store.Codec[[]byte](store.Versions[[]byte]{Current: 300, Codec: plainBytes{}}), nil, []byte{}, []byte{0, 1}, []byte("text"))
	encode := func(version int) []byte {
		b, err := store.Versions[int]{Current: version}.Append([]byte("before"), 7)
		check(t, err)
		return b[len("before"):]
	}
	for _, tt := range []struct {
		v    store.Versions[int]
		data []byte
		want string
	}{
		{store.Versions[int]{Current: 3}, encode(3), ""},
		{store.Versions[int]{Current: 3}, encode(2), "for which Versions.Old has no decoder"},
		{store.Versions[int]{Current: 3}, []byte("7"), "an update without a version"},
		{store.Versions[int]{Current: 3}, nil, "an update without a version"},
		{store.Versions[int]{Current: 3}, []byte{0}, "an update without a version"},
		{store.Versions[int]{}, encode(1), "versions up to 0"},
		{store.Versions[int]{Current: 3}, encode(3)[:2], "end of JSON"},
		{store.Versions[int]{Current: 2, Old: map[int]func([]byte) (int, error){1: func([]byte) (int, error) { return 0, errRefused }}}, encode(1), "an update of version 1: refused"},
	} {
		n, err := tt.v.Decode(tt.data)
		if tt.want == "" && (n != 7 || err != nil) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %q is %d, %v, want %q", tt.v, tt.data, n, err, tt.want)
		}
	}
	if _, err := (store.Versions[int]{}).Append(nil, 1); err == nil {
		t.Error("version 0 is written")
	}
	if _, err := store.Upcast(nil, func(string) (int, error) { return 1, nil })([]byte("{")); err == nil {
		t.Error("what can't be decoded is cast")
	}
}

// plainBytes is a codec of bytes as they are.
type plainBytes struct{}

func (plainBytes) Append(dst []byte, u []byte) ([]byte, error) { return append(dst, u...), nil }
func (plainBytes) Decode(b []byte) ([]byte, error)             { return append([]byte{}, b...), nil }

// docs/EVOLVING.md shows the code of this file.
func TestEvolvingShowsThisCode(t *testing.T) {
	doc, err := os.ReadFile("../docs/EVOLVING.md")
	check(t, err)
	source, err := os.ReadFile("versions_test.go")
	check(t, err)
	blocks := strings.Split(string(doc), "```go\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("the document shows %d pieces of code", len(blocks))
	}
	for _, b := range blocks {
		code, _, _ := strings.Cut(b, "```\n")
		if !strings.Contains(string(source), code) {
			t.Errorf("docs/EVOLVING.md shows code that is not here:\n%s", code)
		}
	}
}

func ExampleVersions() {
	old, err := store.JSON[string]{}.Append(nil, "nut") // logged by the first release
	if err != nil {
		panic(err)
	}
	fmt.Println(three.Decode(old))
	// Output: {nut 1 piece} <nil>
}

func ExampleUpcast() {
	decode := store.Upcast(nil, func(celsius float64) (int, error) { return int(celsius * 1000), nil })
	fmt.Println(decode([]byte("21.5")))
	// Output: 21500 <nil>
}
