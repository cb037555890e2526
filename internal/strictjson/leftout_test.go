package strictjson_test

import (
	"encoding/json"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/strictjson"
)

type hidden struct{ count int }

type half struct {
	Name  string
	count int
}

type consents struct {
	Name  string
	count int `json:"-"` //nolint:unused // left out, and never set
}

type locked struct {
	sync.Mutex
	rw   sync.RWMutex //nolint:unused // a lock
	more [2]struct {  //nolint:unused // locks
		once sync.Once
		_    [64]byte
	}
	Wait *sync.WaitGroup
	_    int
	none struct{} //nolint:unused // nothing
	N    int
}

type pair[A, B any] struct {
	First  A
	Second B
}

type tree struct {
	Left, Right *tree
	Under       map[string][]tree
	Value       int
}

type hiddenTree struct {
	Left  *hiddenTree
	value int
}

type base struct{ ID int }

// Other has a field of the name that base has.
type Other struct{ ID int }

type twice struct {
	base
	Other
}

// settled has a field of its own in place of the two.
type settled struct {
	base
	Other
	ID int
}

type embedsHidden struct{ hidden }

type number int

type embedsNumber struct{ number }

// byPointer is encoded by a method that only a pointer to it has.
type byPointer struct{ n int }

func (b *byPointer) MarshalJSON() ([]byte, error)    { return json.Marshal(b.n) }
func (b *byPointer) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &b.n) }

// byValue is encoded by a method.
type byValue struct{ n int }

func (b byValue) MarshalText() ([]byte, error)     { return json.Marshal(b.n) }
func (b *byValue) UnmarshalText(data []byte) error { return json.Unmarshal(data, &b.n) }

// times embeds two types with methods, so that it has none, and their fields are its own.
type times struct {
	time.Time
	*big.Int
}

func TestFieldsThatJSONLeavesOutAreFound(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, c := range []struct {
		value any
		want  string // "": nothing is left out
	}{
		{7, ""},
		{map[string][]int{"a": {1}}, ""},
		{tree{Left: &tree{Value: 1}, Under: map[string][]tree{"a": {{Value: 2}}}}, ""},
		{pair[string, *big.Int]{"a", big.NewInt(1)}, ""},
		{[]big.Int{*big.NewInt(1)}, ""},
		{&struct{ N big.Int }{*big.NewInt(1)}, ""},
		{struct{ At time.Time }{at}, ""},
		{map[byValue]byValue{{1}: {2}}, ""},
		{&byPointer{1}, ""},
		{settled{ID: 1}, ""},
		{struct{ consents }{consents{Name: "a"}}, ""},
		{struct{ X any }{"a"}, ""},
		{struct{ base }{base{1}}, ""},
		{&locked{N: 1, Wait: new(sync.WaitGroup)}, ""},

		{hidden{1}, "field count of strictjson_test.hidden is not exported"},
		{half{"a", 1}, "field count of strictjson_test.half "},
		{map[string]*[]half{"a": {{count: 1}}}, "field count of strictjson_test.half "},
		{[2]hidden{{1}, {2}}, "field count of strictjson_test.hidden "},
		{struct{ In struct{ n int } }{struct{ n int }{1}}, "field n of the struct in field In of a struct without a name "},
		{struct{ n int }{1}, "field n of a struct without a name "},
		{hiddenTree{value: 1}, "field value of strictjson_test.hiddenTree "},
		{pair[int, hidden]{Second: hidden{1}}, "field count of strictjson_test.hidden "},
		{embedsHidden{hidden{1}}, "field count of strictjson_test.hidden "},
		{embedsNumber{1}, "field number of strictjson_test.embedsNumber "},
		{twice{base{1}, Other{2}}, `several fields of strictjson_test.twice are named "ID"`},
		{&struct{ N *atomic.Int64 }{atomicOf(1)}, " of atomic.Int64 is not exported"},
		{struct{ u url.URL }{url.URL{Host: "a"}}, "field u of a struct"},
		{url.URL{User: url.User("ann")}, "field username of url.Userinfo "},
		{byPointer{1}, "or hold a pointer: JSON calls the methods of *strictjson_test.byPointer"},
		{map[string]struct{ B byPointer }{"a": {byPointer{1}}}, "field n of strictjson_test.byPointer "},
		{struct{ N big.Int }{*big.NewInt(1)}, "field neg of big.Int "},
		{times{at, big.NewInt(1)}, "field wall of time.Time "},
		{struct {
			mu *sync.Mutex
		}{new(sync.Mutex)}, "field mu of a struct"},
	} {
		typ := reflect.TypeOf(c.value)
		err := strictjson.LeftOut(typ)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: %v, want %q", typ, err, c.want)
		}
		if back := coded(t, c.value); reflect.DeepEqual(back, c.value) != (c.want == "") {
			t.Errorf("%v: it is not so: what comes back is %+v", typ, back)
		}
	}
	named := reflect.StructField{Name: "count", PkgPath: "main", Type: reflect.TypeFor[int](), Tag: `json:"count"`}
	if strictjson.LeftOut(reflect.StructOf([]reflect.StructField{named})) == nil {
		t.Error("a name in a tag exports no field")
	}
}

func atomicOf(n int64) *atomic.Int64 {
	var a atomic.Int64
	a.Store(n)
	return &a
}

// coded returns what comes back of v, which may be another one.
func coded(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	back := reflect.New(reflect.TypeOf(v))
	if err := json.Unmarshal(b, back.Interface()); err != nil {
		return err
	}
	return back.Elem().Interface()
}
