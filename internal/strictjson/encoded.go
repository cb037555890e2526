package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"unicode/utf8"
)

var errInvalidUTF8 = errors.New("text that is not valid UTF-8: hold it in a []byte, or set AllowInvalidUTF8 of store.JSON to have it replaced by U+FFFD")

// replacement is what json.Marshal writes for a byte that is not valid UTF-8: the
// escape \ufffd, which it writes for nothing else, or, if encoding/json is built
// on its second version, the character.
var replacement = func() []byte {
	b, _ := json.Marshal("\xff")
	return bytes.Trim(b, `"`)
}()

// Encoded returns an error if json.Marshal, which has made b of v, has
// replaced text.
func Encoded(b []byte, v reflect.Value) error {
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
