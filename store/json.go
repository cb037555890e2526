package store

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"unicode/utf8"
)

// JSON is the Codec that [OpenTyped] uses by default: package encoding/json,
// which passes over much in silence, made strict. An error stops a loss while
// nothing is lost yet: an update that fails to encode or decode is not applied,
// and [Open] fails when it replays one, before the state is wrong.
//
// Append refuses text that is not valid UTF-8: encoding/json replaces each
// wrong byte by U+FFFD, so that two keys become one. Hold such text in a []byte.
// It also refuses the escape \ufffd in what a MarshalJSON method returns: the
// method may have called json.Marshal in turn. A json.RawMessage may hold it.
//
// Decode refuses
//
//   - a field that U does not have: an earlier version of the program wrote it,
//     and it has another name now or is gone;
//   - a field whose name differs only in case from one that U has;
//   - two members of one object with the same name, such as two keys of a map
//     with the same MarshalText;
//   - an array with more elements than its Go array;
//   - an integer that a float32 or float64 can't hold, such as a large int64
//     that was encoded from a variable of type any;
//   - text that is not valid UTF-8, and halves of surrogate pairs.
//
// Values of a type with an UnmarshalJSON method, and those of type
// json.RawMessage, are left to that type. A field that U has and the update does
// not is zero, so fields can be added.
//
// JSON can't know what U leaves out of its encoding: unexported fields, fields
// tagged json:"-", the type of a value in a variable of type any. The machine
// sees each update as it was decoded, the first time as in every replay, so such
// a loss shows at once. The function RoundTrip of package statetest finds it.
type JSON[U any] struct {
	// AllowUnknownFields has Decode pass over fields that U does not have. Set it
	// when a field was removed and what it held no longer matters. A name that
	// differs only in case is still refused.
	AllowUnknownFields bool
	// AllowInvalidUTF8 has Append and Decode replace what is not valid UTF-8 by
	// U+FFFD, as encoding/json does.
	AllowInvalidUTF8 bool
}

// Append implements Codec. On an error it returns dst as it was.
func (c JSON[U]) Append(dst []byte, update U) ([]byte, error) {
	b, err := json.Marshal(update)
	if err == nil && !c.AllowInvalidUTF8 {
		err = checkEncoded(b, reflect.ValueOf(&update).Elem())
	}
	if err != nil {
		return dst, err
	}
	if cap(dst) == 0 {
		return b, nil
	}
	return append(dst, b...), nil
}

// Decode implements Codec. On an error it returns the zero value.
func (c JSON[U]) Decode(data []byte) (U, error) {
	var update, zero U
	if err := json.Unmarshal(data, &update); err != nil {
		return zero, err
	}
	check := jsonChecker{data: data, allowUnknown: c.AllowUnknownFields, allowInvalid: c.AllowInvalidUTF8}
	if err := check.all(shapeOf(reflect.TypeFor[U]())); err != nil {
		return zero, err
	}
	return update, nil
}

var errInvalidUTF8 = errors.New("text that is not valid UTF-8: hold it in a []byte, or set AllowInvalidUTF8 of store.JSON to have it replaced by U+FFFD")

// replacement is what json.Marshal writes for a byte that is not valid UTF-8: the
// escape \ufffd, which it writes for nothing else, or, if encoding/json is built
// on its second version, the character.
var replacement = func() []byte {
	b, _ := json.Marshal("\xff")
	return bytes.Trim(b, `"`)
}()

// checkEncoded returns an error if json.Marshal, which has made b of v, has
// replaced text.
func checkEncoded(b []byte, v reflect.Value) error {
	// Only a json.RawMessage or a MarshalJSON method can make b invalid. Looking
	// through v costs more than making b did, and is seldom needed.
	if !utf8.Valid(b) || bytes.Contains(b, replacement) && replacedIn(v) {
		return errInvalidUTF8
	}
	return nil
}

// replacedIn reports whether json.Marshal replaces text in v.
func replacedIn(v reflect.Value) bool {
	if !v.IsValid() || v.Type() == rawMessageType { // which is copied as it is
		return false
	}
	if p := reflect.PointerTo(v.Type()); p.Implements(marshalerType) || p.Implements(textMarshalerType) {
		if v.CanAddr() {
			v = v.Addr()
		}
		b, err := json.Marshal(v.Interface()) // the method may have called it, too
		return err != nil || bytes.Contains(b, replacement)
	}
	switch v.Kind() {
	case reflect.String:
		return !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		return replacedIn(v.Elem())
	case reflect.Array, reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return false // many
		}
		for i := range v.Len() {
			if replacedIn(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for key, elem := range v.Seq2() {
			if replacedIn(key) || replacedIn(elem) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if marshaled(v.Type().Field(i)) && replacedIn(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

var (
	rawMessageType    = reflect.TypeFor[json.RawMessage]()
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)
