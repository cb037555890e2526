package durable

import (
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"github.com/stateio/stateio/store"
)

// A cloner copies values of a map, so that what is handed out shares nothing with
// what is kept. A nil copy: assignment does that already.
type cloner[V any] struct {
	copy func(V) V
	try  func(V) error // why copy can't copy a value; nil if it can copy all
}

// of returns a copy of v.
func (c *cloner[V]) of(v V) V {
	if c.copy == nil {
		return v
	}
	return c.copy(v)
}

// check returns an error if v can't be copied.
func (c *cloner[V]) check(v V) error {
	if c.try == nil {
		return nil
	}
	return c.try(v)
}

// newCloner returns the cloner for V: the user's, if there is one, else the
// cheapest that is right for the type.
func newCloner[V any](users func(V) V, codec store.Codec[V]) cloner[V] {
	if users != nil {
		return cloner[V]{copy: users}
	}
	fix, ok := fixerFor(reflect.TypeFor[V](), nil)
	switch {
	case !ok:
		return recoder(codec)
	case fix == nil:
		return cloner[V]{}
	}
	return cloner[V]{copy: func(v V) V {
		fix(reflect.ValueOf(&v).Elem())
		return v
	}}
}

// recoder returns a cloner that encodes and decodes.
func recoder[V any](codec store.Codec[V]) cloner[V] {
	recode := func(v V) (V, error) {
		b, err := codec.Append(nil, v)
		if err != nil {
			return v, fmt.Errorf("durable: encoding a value that was decoded, to copy it: %w", err)
		}
		if v, err = codec.Decode(b); err != nil {
			return v, fmt.Errorf("durable: decoding a value again, to copy it: %w", err)
		}
		return v, nil
	}
	return cloner[V]{
		copy: func(v V) V {
			c, err := recode(v)
			if err != nil {
				panic(err) // the value was checked before it was put into the map
			}
			return c
		},
		try: func(v V) error { _, err := recode(v); return err },
	}
}

// A fixer makes a shallow copy a deep one: it replaces what v points to by copies.
// v can be set. A nil fixer: a shallow copy is deep.
type fixer func(v reflect.Value)

// immutable are types whose values share memory that nothing changes.
var immutable = map[reflect.Type]bool{
	reflect.TypeFor[time.Time]():      true,
	reflect.TypeFor[netip.Addr]():     true,
	reflect.TypeFor[netip.AddrPort](): true,
	reflect.TypeFor[netip.Prefix]():   true,
}

// fixerFor returns the fixer for t, or false if there is none: its values may hold
// what can't be reached, or hold themselves. The types within which t was met are
// in path.
func fixerFor(t reflect.Type, path []reflect.Type) (fixer, bool) {
	if immutable[t] {
		return nil, true
	}
	for _, outer := range path {
		if outer == t {
			return nil, false
		}
	}
	path = append(path, t)
	switch t.Kind() {
	case reflect.Slice:
		return fixSlice(t, path)
	case reflect.Array:
		return fixArray(t, path)
	case reflect.Map:
		return fixMap(t, path)
	case reflect.Pointer:
		return fixPointer(t, path)
	case reflect.Struct:
		return fixStruct(t, path)
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return nil, false
	default: // numbers and strings
		return nil, true
	}
}

func fixSlice(t reflect.Type, path []reflect.Type) (fixer, bool) {
	elem, ok := fixerFor(t.Elem(), path)
	if elem == nil && ok {
		switch t.Elem().Kind() { // the usual ones, which reflection makes in twice the time
		case reflect.String:
			return fixPlain[string], true
		case reflect.Uint8:
			return fixPlain[byte], true
		case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64, reflect.Float64:
			if t.Elem().Size() == 8 {
				return fixPlain[uint64], true
			}
		}
	}
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		s := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(s, v)
		if elem != nil {
			for i := range s.Len() {
				elem(s.Index(i))
			}
		}
		v.Set(s)
	}, ok
}

// fixPlain copies a slice whose elements have the layout of T.
func fixPlain[T any](v reflect.Value) {
	s := (*[]T)(v.Addr().UnsafePointer())
	if *s != nil {
		*s = append(make([]T, 0, len(*s)), *s...)
	}
}

func fixArray(t reflect.Type, path []reflect.Type) (fixer, bool) {
	elem, ok := fixerFor(t.Elem(), path)
	if elem == nil {
		return nil, ok
	}
	return func(v reflect.Value) {
		for i := range v.Len() {
			elem(v.Index(i))
		}
	}, ok
}

func fixMap(t reflect.Type, path []reflect.Type) (fixer, bool) {
	key, keyOK := fixerFor(t.Key(), path)
	elem, ok := fixerFor(t.Elem(), path)
	if key != nil || !keyOK {
		return nil, false // a pointer in a key is its identity
	}
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		m := reflect.MakeMapWithSize(t, v.Len())
		e := reflect.New(t.Elem()).Elem()
		for it := v.MapRange(); it.Next(); {
			e.Set(it.Value())
			if elem != nil {
				elem(e)
			}
			m.SetMapIndex(it.Key(), e)
		}
		v.Set(m)
	}, ok
}

func fixPointer(t reflect.Type, path []reflect.Type) (fixer, bool) {
	elem, ok := fixerFor(t.Elem(), path)
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(v.Elem())
		if elem != nil {
			elem(p.Elem())
		}
		v.Set(p.Convert(t)) // t may be a defined type
	}, ok
}

func fixStruct(t reflect.Type, path []reflect.Type) (fixer, bool) {
	type field struct {
		i   int
		fix fixer
	}
	var fields []field
	for i := range t.NumField() {
		fix, ok := fixerFor(t.Field(i).Type, path)
		switch {
		case !ok || fix != nil && !t.Field(i).IsExported():
			return nil, false
		case fix != nil:
			fields = append(fields, field{i, fix})
		}
	}
	if fields == nil {
		return nil, true
	}
	return func(v reflect.Value) {
		for _, f := range fields {
			f.fix(v.Field(f.i))
		}
	}, true
}
