package statetest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/stateio/stateio/store"
)

// RoundTrip fails t, by t.Errorf, unless codec decodes each update to what it was
// encoded from. A nil codec stands for [store.JSON]. Let the updates have a value
// in every field, since a zero value that is lost is not missed.
//
// A store applies each update as it was decoded, so what a codec loses, the
// machine never sees: unexported fields, fields tagged json:"-", the difference
// between a nil and an empty slice, the monotonic clock of a time.Time, the type
// of a value in a variable of type any. Updates are compared with equal, or with
// reflect.DeepEqual if it is nil; give equal where such a loss is meant.
//
// RoundTrip also fails t if Append changes the bytes before the update, or Decode
// keeps or changes the slice it is given. An update that Append refuses passes:
// a store does not apply it. RoundTrip may be called from several tests at once.
func RoundTrip[U any](t testing.TB, codec store.Codec[U], equal func(a, b U) bool, updates ...U) {
	t.Helper()
	if codec == nil {
		codec = store.JSON[U]{}
	}
	if equal == nil {
		equal = func(a, b U) bool { return reflect.DeepEqual(a, b) }
	}
	for i, u := range updates {
		if err := guarded(func() error { return roundTrip(codec, equal, u) }); err != nil {
			t.Errorf("statetest: update %d: %v\n  %+v", i+1, err, u)
		}
	}
}

// roundTrip returns what is wrong with the way of one update.
func roundTrip[U any](codec store.Codec[U], equal func(a, b U) bool, u U) error {
	prefix := []byte("what stands before")
	b, err := codec.Append(slices.Clone(prefix), u)
	if err != nil {
		return nil //nolint:nilerr // it is refused
	}
	data, ok := bytes.CutPrefix(b, prefix)
	if !ok {
		return fmt.Errorf("the codec's Append does not append to the slice it is given, it returns %s", quote(b))
	}
	given := bytes.Clone(data)
	decoded, err := codec.Decode(given)
	if err != nil {
		return fmt.Errorf("the codec's Decode refuses what Append has made, %s: %w", quote(data), err)
	}
	if !bytes.Equal(given, data) {
		return fmt.Errorf("the codec's Decode has changed the bytes it was given, %s", quote(data))
	}
	if !equal(decoded, u) {
		where := losses{}.lost(reflect.ValueOf(&decoded).Elem(), reflect.ValueOf(&u).Elem())
		return fmt.Errorf("it is another one once it was encoded as %s and decoded: the update%s was %s and is %s",
			quote(data), where.path, where.was, where.is)
	}
	for i := range given {
		given[i] ^= 0xff
	}
	if !equal(decoded, u) {
		return fmt.Errorf("the codec's Decode keeps the slice it is given: what it returned has changed with that")
	}
	return nil
}

// A lostPart is where two values begin to differ.
type lostPart struct{ path, was, is string }

// losses are the pairs of pointers that are looked into: values may hold themselves.
type losses map[[2]uintptr]bool

// lost returns the first part of two values that differs, or the whole of them.
func (l losses) lost(is, was reflect.Value) lostPart {
	if !is.IsValid() || !was.IsValid() || is.Type() != was.Type() {
		return lostPart{"", showTyped(was), showTyped(is)}
	}
	if p, ok := l.within(is, was); ok {
		return p
	}
	return lostPart{"", show(was), show(is)}
}

// within looks for the first part of two values that differs.
func (l losses) within(is, was reflect.Value) (lostPart, bool) {
	part := func(name string, is, was reflect.Value) (lostPart, bool) {
		if l.again(is, was) || sameValue(is, was) {
			return lostPart{}, false
		}
		p := l.lost(is, was)
		p.path = name + p.path
		return p, true
	}
	switch is.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !is.IsNil() && !was.IsNil() {
			return part("", is.Elem(), was.Elem())
		}
	case reflect.Struct:
		for i := range is.NumField() {
			if p, ok := part("."+is.Type().Field(i).Name, is.Field(i), was.Field(i)); ok {
				return p, true
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range min(is.Len(), was.Len()) {
			if p, ok := part(fmt.Sprintf("[%d]", i), is.Index(i), was.Index(i)); ok {
				return p, true
			}
		}
	}
	return lostPart{}, false
}

// again reports whether two values are pointers that are looked into already.
func (l losses) again(is, was reflect.Value) bool {
	if is.Kind() != reflect.Pointer || was.Kind() != reflect.Pointer {
		return false
	}
	pair := [2]uintptr{is.Pointer(), was.Pointer()}
	again := l[pair]
	l[pair] = true
	return again
}

// sameValue compares values. Those of unexported fields can only be printed.
func sameValue(a, b reflect.Value) bool {
	if a.CanInterface() && b.CanInterface() {
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
	return show(a) == show(b)
}

// show returns a value as Go writes it.
func show(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	return fmt.Sprintf("%#v", v)
}

// showTyped is show for where the types differ.
func showTyped(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	return fmt.Sprintf("%v(%s)", v.Type(), show(v))
}
