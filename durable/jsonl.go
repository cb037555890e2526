package durable

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
	"unsafe"

	"github.com/stateio/stateio/store"
)

// A line is a key and its value, as a JSON object. K is a basic type in one that is written,
// and JSON in one that is read: methods of the type of keys, such as MarshalText, may make one
// text of two keys, and have no part in it.
type line[K any] struct {
	Key   K               `json:"key,omitempty"`
	Key64 []byte          `json:"key64,omitzero"` // a string that is not valid UTF-8
	Value json.RawMessage `json:"value,omitzero"`
	Data  []byte          `json:"data,omitzero"` // what a codec that is not JSON has made
}

// ExportJSONL writes all keys and values to w, in order, a JSON object a line:
//
//	{"key":"ann","value":{"Age":31}}
//
// With a codec that is not [store.JSON] there is a member "data" instead of "value":
// what the codec has made of it, in base64. Times to live are left out. A key is the string
// or the number that it is: its type may have methods such as MarshalJSON, MarshalText and
// String, which are not called, so two keys are never one. A key that is text
// but not valid UTF-8 is in "key64", in base64. The keys that are infinite, which no number
// of JSON is, are the strings "+Inf" and "-Inf". The error is the first one of w, or of the
// codec.
func (v *View[K, V]) ExportJSONL(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	var err error
	v.tree.Scan(func(key K, c cell[V]) bool {
		var l line[any]
		if l, err = v.m.lineOf(key, c.v); err == nil {
			err = lines.Encode(l)
		}
		if err != nil {
			err = fmt.Errorf("durable: exporting key %s: %w", shown(key), err)
		}
		return err == nil
	})
	return errors.Join(err, out.Flush())
}

// ExportJSONL writes the map as it is now, as [View.ExportJSONL] does. Changes go on
// meanwhile.
func (m *Map[K, V]) ExportJSONL(w io.Writer) error { return m.View().ExportJSONL(w) }

func (m *machine[K, V]) lineOf(key K, value V) (l line[any], err error) {
	if l.Key = m.keys.basic(key); m.keys.class == stringKeys {
		if b := m.keys.text(key); !utf8.Valid(b) {
			l.Key, l.Key64 = nil, b
		}
	}
	b, err := m.codec.Append(nil, value)
	if _, ok := m.codec.(store.JSON[V]); ok {
		l.Value = b
	} else {
		l.Data = append([]byte{}, b...)
	}
	return l, err
}

var (
	errLineKey   = errors.New(`a line has either a member "key" or a member "key64", which is for text`)
	errLineValue = errors.New(`a line has either a member "value" or a member "data"`)
	errNull      = errors.New("the value is null, and the type of values has none")
)

// How keys are written that are infinite.
const (
	plusInf  = "+Inf"
	minusInf = "-Inf"
)

// basic returns k as a value of a basic type, which has no methods.
func (c keyCodec[K]) basic(k K) any {
	p := unsafe.Pointer(&k)
	switch {
	case c.class == stringKeys:
		return *(*string)(p)
	case c.class == intKeys:
		return c.int(p)
	case c.class == uintKeys:
		return c.uint(p)
	case c.inf(k, 1):
		return plusInf
	case c.inf(k, -1):
		return minusInf
	case c.size == 4:
		return *(*float32)(p) // shorter than as a float64
	default:
		return *(*float64)(p)
	}
}

// ofJSON returns the key that basic has returned, from its JSON.
func (c keyCodec[K]) ofJSON(text []byte) (k K, err error) {
	p := unsafe.Pointer(&k)
	switch {
	case c.class == stringKeys:
		*(*string)(p), err = store.JSON[string]{}.Decode(text)
	case c.class == intKeys:
		err = setBasic(text, func(n int64) error { return c.setInt(p, n) })
	case c.class == uintKeys:
		err = setBasic(text, func(n uint64) error { return c.setUint(p, n) })
	case string(text) == `"`+plusInf+`"`:
		err = c.setInf(&k, 1)
	case string(text) == `"`+minusInf+`"`:
		err = c.setInf(&k, -1)
	case c.size == 4:
		*(*float32)(p), err = store.JSON[float32]{}.Decode(text)
	default:
		*(*float64)(p), err = store.JSON[float64]{}.Decode(text)
	}
	return k, err
}

// setBasic calls set with the value that text is.
func setBasic[B any](text []byte, set func(B) error) error {
	b, err := store.JSON[B]{}.Decode(text)
	if err != nil {
		return err
	}
	return set(b)
}

// parseLine returns the key of a line, and the value as the codec encodes it.
func (m *machine[K, V]) parseLine(text []byte) (key K, value []byte, err error) {
	l, err := store.JSON[line[*json.RawMessage]]{}.Decode(text)
	if err != nil {
		return key, nil, err
	}
	switch {
	case (l.Key == nil) == (l.Key64 == nil) || l.Key64 != nil && m.keys.class != stringKeys:
		return key, nil, errLineKey
	case (l.Value == nil) == (l.Data == nil):
		return key, nil, errLineValue
	case l.Key64 != nil:
		m.keys.setText(&key, l.Key64)
	default:
		if key, err = m.keys.ofJSON(*l.Key); err != nil {
			return key, nil, fmt.Errorf("the key %s: %w", *l.Key, err)
		}
	}
	if l.Data != nil {
		_, err = m.codec.Decode(l.Data)
		return key, l.Data, err
	}
	value, err = m.parseValue(l.Value)
	return key, value, err
}

// parseValue returns a value that is JSON as the codec encodes it.
func (m *machine[K, V]) parseValue(text []byte) (value []byte, err error) {
	json, ok := m.codec.(store.JSON[V])
	v, err := json.Decode(text)
	if err == nil && string(bytes.TrimSpace(text)) == "null" {
		// encoding/json passes over it, and a number would be 0.
		if again, aerr := json.Append(nil, v); aerr != nil || string(again) != "null" {
			err = errNull
		}
	}
	if err == nil && !ok {
		return m.codec.Append(nil, v)
	}
	return text, err
}
