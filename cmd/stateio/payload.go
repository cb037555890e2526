package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
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
// it as JSON, if it is known and is that, and no reader of JSON refuses it.
func payloadOf(prefix []byte, size int64) jsonPayload {
	begin := prefix[:min(len(prefix), inspect.PrefixSize)]
	p := jsonPayload{Size: size, Preview: string(begin)}
	if int64(len(begin)) < size {
		p.Preview = string(wholeRunes(begin))
	}
	if !utf8.ValidString(p.Preview) {
		p.Hex = hex.EncodeToString(begin)
	}
	if int64(len(prefix)) == size && size <= maxValue && utf8.Valid(prefix) && json.Valid(prefix) && readable(prefix) {
		p.Value = prefix
	}
	return p
}

// maxNesting is how deep the arrays and objects of a payload may be nested that is printed as
// JSON: jq 1.6, for one, reads 256 levels.
const maxNesting = 200

// maxDigits is how long a number may be in a payload that is printed as JSON: Python refuses
// one of more than 4300 digits.
const maxDigits = 4300

// readable reports whether readers take a valid text of JSON. Many refuse one with half a
// surrogate pair, nested too deep, or with a number that is too long or too large for a
// float64, and then all that comes after it.
func readable(text []byte) bool {
	inString, depth := false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case c == '\\':
			r := escapedRune(text[i:])
			if r >= 0 && utf16.IsSurrogate(r) {
				if utf16.DecodeRune(r, escapedRune(text[i+6:])) == utf8.RuneError {
					return false
				}
				i += 6
			}
			i++ // what is escaped
		case inString:
		case c == '-' || c >= '0' && c <= '9':
			n := numberIn(text[i:])
			if _, err := strconv.ParseFloat(string(text[i:i+n]), 64); err != nil || n > maxDigits {
				return false
			}
			i += n - 1
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
		if depth > maxNesting {
			return false
		}
	}
	return true
}

// numberIn returns the length of the number that text begins with.
func numberIn(text []byte) int {
	n := bytes.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) })
	if n < 0 {
		return len(text)
	}
	return n
}

// escapedRune returns the number in the escape \uXXXX that text begins with, or -1.
func escapedRune(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// startsAsJSON reports whether a payload may be a JSON value.
func startsAsJSON(prefix []byte) bool {
	b := bytes.TrimLeft(prefix, " \t\r\n")
	return len(b) == 0 || bytes.IndexByte([]byte(`{["-0123456789tfn`), b[0]) >= 0
}
