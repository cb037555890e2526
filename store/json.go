package store

import (
	"encoding/json"
	"reflect"

	"github.com/stateio/stateio/internal/strictjson"
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
		err = strictjson.Encoded(b, reflect.ValueOf(&update).Elem())
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
	rules := strictjson.Rules{AllowUnknownFields: c.AllowUnknownFields, AllowInvalidUTF8: c.AllowInvalidUTF8}
	if err := strictjson.Decoded(data, reflect.TypeFor[U](), rules); err != nil {
		return zero, err
	}
	return update, nil
}
