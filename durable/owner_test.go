package durable_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// What a program does to values that it has put in or taken out changes no map. state
// is compared as text, since the values are pointed into.

func exported[K cmp.Ordered, V any](t *testing.T, m *durable.Map[K, V]) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.ExportJSONL(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// testOwner puts what make returns, changes it by spoil in all places where it is
// handed out, and sees that the map is as it was.
func testOwner[V any](t *testing.T, opts *durable.MapOptions[string, V], make func() V, spoil func(V)) {
	dir := t.TempDir()
	m := openMap(t, dir, opts)
	in := make()
	put(t, m, "a", in)
	want := exported(t, m)
	spoil(in)
	check := func(where string) {
		t.Helper()
		if got := exported(t, m); got != want {
			t.Fatalf("a value of %s was changed, and the map with it:\n%s, not\n%s", where, got, want)
		}
	}
	check("Put")
	index := durable.NewIndex(m, func(_ string, v V) []int { spoil(v); return []int{1} })
	check("NewIndex")
	put(t, m, "b", make())
	want = exported(t, m)
	outOf := func(where string, seq func(func(string, V) bool)) {
		t.Helper()
		n := 0
		for _, v := range seq {
			spoil(v)
			n++
		}
		check(where)
		if n == 0 {
			t.Fatalf("%s returned nothing", where)
		}
	}
	v, _ := m.Get("a")
	spoil(v)
	check("Get")
	v, _ = m.View().Get("a")
	spoil(v)
	check("View.Get")
	outOf("All", m.All())
	outOf("Range", m.Range("a", "z"))
	outOf("From", m.From("a"))
	outOf("Backward", m.Backward())
	outOf("Before", m.Before("z"))
	outOf("Index.Get", index.Get(1))
	outOf("Index.Range", index.Range(0, 2))
	err := m.Txn(t.Context(), func(tx *durable.Tx[string, V]) error {
		v, _ := tx.Get("a")
		spoil(v)
		outOf("Tx.All", tx.All())
		c := make()
		tx.Put("c", c)
		tx.Put("d", make())
		spoil(c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a, c := fmt.Sprint(exportedOf(t, m, "a")), fmt.Sprint(exportedOf(t, m, "c"))
	expect(t, "what a transaction has put", c, a)
	want = exported(t, m)
	for ch, err := range m.Watch(t.Context(), 1, nil) {
		if err != nil {
			t.Fatal(err)
		}
		spoil(ch.Value)
		if ch.Key == "d" {
			break
		}
	}
	check("Watch")
	closeIt(t, m)
	m = openMap(t, dir, opts)
	check("an earlier use")
}

// exportedOf returns the value of key as it is exported.
func exportedOf[V any](t *testing.T, m *durable.Map[string, V], key string) string {
	t.Helper()
	for line := range bytes.Lines([]byte(exported(t, m))) {
		var l struct {
			Key         string
			Value, Data json.RawMessage
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l.Key == key {
			return string(l.Value) + string(l.Data)
		}
	}
	t.Fatalf("no key %s", key)
	return ""
}

type (
	plain struct {
		N    int
		S    string
		At   time.Time
		Addr netip.Addr
		Arr  [3]float64
	}
	deep struct {
		Plain  plain
		Bytes  []byte
		Lists  [][]string
		Map    map[string][]int
		Ptr    *plain
		PtrPtr **[]int
		Arr    [2]*int
		Nil    *deep2
		Empty  []int
	}
	deep2     struct{ M map[int]*plain }
	recursive struct {
		N    int
		Next *recursive
	}
)

func newDeep() deep {
	n, list := 7, []int{1, 2}
	ptr := &list
	return deep{
		Bytes: []byte("bytes"), Lists: [][]string{{"a"}, {"b", "c"}}, Map: map[string][]int{"x": {1}},
		Ptr: &plain{N: 1}, PtrPtr: &ptr, Arr: [2]*int{&n, nil}, Nil: &deep2{map[int]*plain{1: {N: 2}}}, Empty: []int{},
	}
}

func spoilDeep(d deep) {
	if d.Bytes == nil {
		return
	}
	d.Bytes[0]++
	d.Lists[1][0] = "spoilt"
	d.Lists[0] = nil
	d.Map["x"][0]++
	d.Map["y"] = nil
	d.Ptr.N++
	(**d.PtrPtr)[0]++
	*d.PtrPtr = nil
	*d.Arr[0]++
	d.Nil.M[1].N++
	delete(d.Nil.M, 1)
}

func TestNobodyChangesAMapByItsValues(t *testing.T) {
	t.Run("no references", func(t *testing.T) {
		testOwner(t, nil, func() plain { return plain{N: 1, S: "s", At: time.Unix(1, 0).UTC(), Addr: netip.MustParseAddr("::1")} }, func(plain) {})
	})
	t.Run("slices, maps and pointers", func(t *testing.T) { testOwner(t, nil, newDeep, spoilDeep) })
	t.Run("a pointer", func(t *testing.T) {
		testOwner(t, nil, func() *deep { d := newDeep(); return &d }, func(d *deep) {
			if d != nil {
				spoilDeep(*d)
				*d = deep{}
			}
		})
	})
	t.Run("bytes", func(t *testing.T) {
		testOwner(t, &durable.MapOptions[string, []byte]{Codec: durable.Bytes{}}, func() []byte { return []byte("abc") }, func(b []byte) {
			if len(b) > 0 {
				b[0]++
			}
		})
	})
	t.Run("any", func(t *testing.T) {
		testOwner(t, nil, func() any { return map[string]any{"list": []any{"a"}} }, func(v any) {
			if m, ok := v.(map[string]any); ok {
				m["list"].([]any)[0] = "spoilt"
			}
		})
	})
	t.Run("unexported references", func(t *testing.T) {
		testOwner(t, nil, func() *big.Int { return big.NewInt(1234567) }, func(i *big.Int) {
			if i != nil {
				i.Bits()[0]++
			}
		})
	})
	t.Run("itself", func(t *testing.T) {
		testOwner(t, nil, func() recursive { return recursive{1, &recursive{2, nil}} }, func(r recursive) {
			if r.Next != nil {
				r.Next.N++
			}
		})
	})
	t.Run("the user's Clone", func(t *testing.T) {
		clones := 0
		opts := &durable.MapOptions[string, []int]{Clone: func(v []int) []int { clones++; return append([]int{}, v...) }}
		testOwner(t, opts, func() []int { return []int{1} }, func(v []int) {
			if v != nil {
				v[0]++
			}
		})
		if clones == 0 {
			t.Error("it was never called")
		}
	})
}

func TestNobodyChangesAValueByACopy(t *testing.T) {
	initial := newDeep()
	v := openValue(t, t.TempDir(), initial)
	text := func() string {
		b, err := json.Marshal(v.Get())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := text()
	spoilDeep(initial)
	spoilDeep(v.Get())
	expect(t, "the value", text(), want)
	var kept *deep
	if err := v.Update(t.Context(), func(d *deep) error { kept = d; d.Ptr.N = 99; return nil }); err != nil {
		t.Fatal(err)
	}
	want = text()
	spoilDeep(*kept)
	expect(t, "the value after an update", text(), want)
}

// Nil and empty slices and maps stay what they are in copies.
func TestCopiesKeepNil(t *testing.T) {
	m := openMap[string, deep](t, t.TempDir(), nil)
	put(t, m, "a", deep{Empty: []int{}})
	d, _ := m.Get("a")
	if d.Empty == nil || d.Lists != nil || d.Map != nil || d.Ptr != nil {
		t.Errorf("%#v", d)
	}
}

// onceJSON is a codec whose values can be decoded, but not encoded again.
type onceJSON struct{ store.JSON[any] }

func (c onceJSON) Append(dst []byte, v any) ([]byte, error) {
	if v == "decoded" {
		return nil, fmt.Errorf("only once")
	}
	return c.JSON.Append(dst, v)
}

func (c onceJSON) Decode(b []byte) (any, error) {
	if _, err := c.JSON.Decode(b); err != nil {
		return nil, err
	}
	return "decoded", nil
}

// A value that can't be copied does not come into the map.
func TestAValueThatCanNotBeCopiedIsRefused(t *testing.T) {
	m := openMap(t, t.TempDir(), &durable.MapOptions[string, any]{Codec: onceJSON{}})
	if err := m.Put(t.Context(), "a", 1); err == nil || m.Len() != 0 {
		t.Errorf("Put: %v, %d keys", err, m.Len())
	}
}
