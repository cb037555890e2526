package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"

	"github.com/stateio/stateio/inspect"
)

// maxValue is the length in bytes up to which a payload is printed as JSON.
const maxValue = 1 << 20

// A jsonPayload is what --json tells of a payload.
type jsonPayload struct {
	Size    int64           `json:"size"`
	Preview string          `json:"preview"`
	Hex     string          `json:"hex,omitempty"`
	Value   json.RawMessage `json:"value,omitempty"`
}

// payloadOf returns what is told of a payload of size bytes, of which prefix is known: the
// beginning of it as text, in hexadecimal digits, too, if that loses something, and all of
// it as JSON, if it is known and is that.
func payloadOf(prefix []byte, size int64) jsonPayload {
	begin := prefix[:min(len(prefix), inspect.PrefixSize)]
	p := jsonPayload{Size: size, Preview: string(begin)}
	if int64(len(begin)) < size {
		p.Preview = string(wholeRunes(begin))
	}
	if !utf8.ValidString(p.Preview) {
		p.Hex = hex.EncodeToString(begin)
	}
	if int64(len(prefix)) == size && size <= maxValue && utf8.Valid(prefix) && json.Valid(prefix) {
		p.Value = prefix
	}
	return p
}

// startsAsJSON reports whether a payload may be a JSON value.
func startsAsJSON(prefix []byte) bool {
	b := bytes.TrimLeft(prefix, " \t\r\n")
	return len(b) == 0 || bytes.IndexByte([]byte(`{["-0123456789tfn`), b[0]) >= 0
}
