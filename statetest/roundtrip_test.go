package statetest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

type order struct {
	Customer string
	Lines    []string
	secret   string
	Hidden   int `json:"-"`
	Extra    any
	At       time.Time
	Part     *order
}

func says[U any](t *testing.T, codec store.Codec[U], equal func(a, b U) bool, u U, texts ...string) {
	t.Helper()
	r := &recorder{}
	statetest.RoundTrip(r, codec, equal, u)
	if len(texts) == 0 && len(r.errors) > 0 || len(texts) > 0 && len(r.errors) != 1 {
		t.Errorf("%+v: RoundTrip says %q", u, r.errors)
		return
	}
	for _, s := range texts {
		if !strings.Contains(r.errors[0], s) {
			t.Errorf("%+v: RoundTrip does not say %q: %s", u, s, r.errors[0])
		}
	}
}

func TestWhatACodecLosesIsFound(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	says(t, nil, nil, order{Customer: "ann", Lines: []string{"a"}, At: at, Extra: "x", Part: &order{}})
	says(t, nil, nil, order{secret: "s"}, "statetest: update 1: ", `the update.secret was "s" and is ""`)
	says(t, nil, nil, order{Part: &order{Hidden: 7}}, "the update.Part.Hidden was 7 and is 0")
	says(t, nil, nil, order{Extra: 7}, "the update.Extra was int(7) and is float64(7)", "encoded as `{")
	says(t, nil, nil, order{Part: &order{}, Lines: []string{"a"}, Extra: map[string]any{"a": nil}, Hidden: 1}, "the update.Hidden was 1 and is 0")
	says(t, nil, nil, map[string][]int{"a": {}, "b": nil})
	says(t, nil, nil, []map[string]int{{"a": 1}, {}})
	says(t, nil, nil, order{At: time.Now()}, "the update.At.")
	says(t, nil, func(a, b order) bool { return a.At.Equal(b.At) }, order{At: time.Now(), secret: "meant"})
	says(t, nil, nil, "\xff") // refused
}

// wrong is a codec with one mistake.
type wrong struct {
	append func(dst []byte, u []byte) ([]byte, error)
	decode func(data []byte) ([]byte, error)
}

func (w wrong) Append(dst []byte, u []byte) ([]byte, error) {
	if w.append != nil {
		return w.append(dst, u)
	}
	return append(dst, u...), nil
}

func (w wrong) Decode(data []byte) ([]byte, error) {
	if w.decode != nil {
		return w.decode(data)
	}
	return []byte(string(data)), nil
}

func TestWrongCodecsAreFound(t *testing.T) {
	says[[]byte](t, wrong{}, nil, []byte("x"))
	says[[]byte](t, wrong{append: func(_, u []byte) ([]byte, error) { return json.Marshal(u) }}, nil, []byte("x"), "Append does not append")
	says[[]byte](t, wrong{decode: func(data []byte) ([]byte, error) { return data, nil }}, nil, []byte("x"), "Decode keeps the slice")
	says[[]byte](t, wrong{decode: func(data []byte) ([]byte, error) { data[0] = 0; return []byte("x"), nil }}, nil, []byte("x"), "Decode has changed the bytes")
	says[[]byte](t, wrong{decode: func([]byte) ([]byte, error) { return nil, errors.New("no") }}, nil, []byte("x"), "Decode refuses what Append has made", "no")
	says[[]byte](t, wrong{decode: func([]byte) ([]byte, error) { panic("no") }}, nil, []byte("x"), "panicked: no")
	says[[]byte](t, wrong{append: func([]byte, []byte) ([]byte, error) { return nil, errors.New("no") }}, nil, []byte("x"))
}

// A ring is a value that holds itself.
type ring struct {
	Next *ring
	V    int
}

// ringCodec keeps a ring, and loses its number.
type ringCodec struct{}

func (ringCodec) Append(dst []byte, _ *ring) ([]byte, error) { return append(dst, 1), nil }

func (ringCodec) Decode([]byte) (*ring, error) {
	r := &ring{}
	r.Next = r
	return r, nil
}

func TestWhatIsLostOfAValueThatHoldsItselfIsFound(t *testing.T) {
	r := &ring{V: 5}
	r.Next = r
	says[*ring](t, ringCodec{}, nil, r, "V was 5 and is 0")
}

func ExampleRoundTrip() {
	type deposit struct {
		Account string
		Cents   int64
	}
	t := &testing.T{} // that of the test
	statetest.RoundTrip(t, store.JSON[deposit]{}, nil,
		deposit{"ann", 500},
		deposit{"bob", -1},
	)
	// Output:
}
