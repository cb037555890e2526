package durable

import (
	"bytes"

	"github.com/stateio/stateio/store"
)

// String is a codec for strings of any bytes, which it keeps as they are.
type String struct{}

var _ store.Codec[string] = String{}

// Append implements [store.Codec]. The error is nil.
func (String) Append(dst []byte, value string) ([]byte, error) { return append(dst, value...), nil }

// Decode implements [store.Codec]. The error is nil.
func (String) Decode(data []byte) (string, error) { return string(data), nil }

// Bytes is a codec for bytes, which it keeps as they are. A nil slice becomes an
// empty one.
type Bytes struct{}

var _ store.Codec[[]byte] = Bytes{}

// Append implements [store.Codec]. The error is nil.
func (Bytes) Append(dst, value []byte) ([]byte, error) { return append(dst, value...), nil }

// Decode implements [store.Codec]. The error is nil.
func (Bytes) Decode(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return []byte{}, nil
	}
	return bytes.Clone(data), nil
}
