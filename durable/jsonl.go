package durable

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/stateio/stateio/store"
)

// A line is a key and its value, as a JSON object.
type line[K cmp.Ordered] struct {
	Key   *K              `json:"key,omitempty"`
	Key64 []byte          `json:"key64,omitzero"` // a string that is not valid UTF-8
	Value json.RawMessage `json:"value,omitzero"`
	Data  []byte          `json:"data,omitzero"` // what a codec that is not JSON has made
}

// ExportJSONL writes all keys and values to w, in order, a JSON object a line:
//
//	{"key":"ann","value":{"Age":31}}
//
// With a codec that is not [store.JSON] there is a member "data" instead of "value":
// what the codec has made of it, in base64. Times to live are left out. A key that is text but not valid UTF-8 is in
// "key64", in base64. The error is the first one of w, or of the codec.
func (v *View[K, V]) ExportJSONL(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	var err error
	v.tree.Scan(func(key K, c cell[V]) bool {
		var l line[K]
		if l, err = v.m.lineOf(key, c.v); err == nil {
			err = lines.Encode(l)
		}
		if err != nil {
			err = fmt.Errorf("durable: exporting key %v: %w", key, err)
		}
		return err == nil
	})
	return errors.Join(err, out.Flush())
}

// ExportJSONL writes the map as it is now, as [View.ExportJSONL] does. Changes go on
// meanwhile.
func (m *Map[K, V]) ExportJSONL(w io.Writer) error { return m.View().ExportJSONL(w) }

func (m *machine[K, V]) lineOf(key K, value V) (line[K], error) {
	l := line[K]{Key: &key}
	if m.keys.class == stringKeys {
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
)

// parseLine returns the key of a line, and the value as the codec encodes it.
func (m *machine[K, V]) parseLine(text []byte) (key K, value []byte, err error) {
	l, err := store.JSON[line[K]]{}.Decode(text)
	if err != nil {
		return key, nil, err
	}
	switch {
	case (l.Key == nil) == (l.Key64 == nil) || l.Key64 != nil && m.keys.class != stringKeys:
		return key, nil, errLineKey
	case (l.Value == nil) == (l.Data == nil):
		return key, nil, errLineValue
	case l.Key != nil:
		key = *l.Key
	default:
		m.keys.setText(&key, l.Key64)
	}
	if l.Data != nil {
		_, err = m.codec.Decode(l.Data)
		return key, l.Data, err
	}
	json, ok := m.codec.(store.JSON[V])
	v, err := json.Decode(l.Value)
	if err == nil && !ok {
		value, err = m.codec.Append(nil, v)
		return key, value, err
	}
	return key, l.Value, err
}
