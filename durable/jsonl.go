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
type line[K any] struct {
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
// what the codec has made of it, in base64. Times to live are left out. A key that is text
// but not valid UTF-8 is in "key64", in base64. The keys that are infinite, which no number
// of JSON is, are the strings "+Inf" and "-Inf". The error is the first one of w, or of the
// codec.
func (v *View[K, V]) ExportJSONL(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	var err error
	v.tree.Scan(func(key K, c cell[V]) bool {
		var l line[K]
		if l, err = v.m.lineOf(key, c.v); err == nil {
			err = lines.Encode(encodable(l, v.m.keys))
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

// How keys are written that are infinite.
const (
	plusInf  = "+Inf"
	minusInf = "-Inf"
)

// encodable returns what is to be encoded for l.
func encodable[K cmp.Ordered](l line[K], keys keyCodec[K]) any {
	if l.Key == nil {
		return l
	}
	text := ""
	switch {
	case keys.inf(*l.Key, 1):
		text = plusInf
	case keys.inf(*l.Key, -1):
		text = minusInf
	default:
		return l
	}
	return line[string]{Key: &text, Value: l.Value, Data: l.Data}
}

// decodeLine decodes a line.
func (m *machine[K, V]) decodeLine(text []byte) (l line[K], err error) {
	if m.keys.class != floatKeys {
		return store.JSON[line[K]]{}.Decode(text)
	}
	raw, err := store.JSON[line[json.RawMessage]]{}.Decode(text)
	l = line[K]{Key64: raw.Key64, Value: raw.Value, Data: raw.Data}
	if err != nil || raw.Key == nil {
		return l, err
	}
	var key K
	switch string(*raw.Key) {
	case `"` + plusInf + `"`:
		err = m.keys.setInf(&key, 1)
	case `"` + minusInf + `"`:
		err = m.keys.setInf(&key, -1)
	default:
		key, err = store.JSON[K]{}.Decode(*raw.Key)
	}
	l.Key = &key
	return l, err
}

// parseLine returns the key of a line, and the value as the codec encodes it.
func (m *machine[K, V]) parseLine(text []byte) (key K, value []byte, err error) {
	l, err := m.decodeLine(text)
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
