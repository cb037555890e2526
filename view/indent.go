package view

import (
	"bytes"
	"encoding/json"
)

const (
	// maxPretty is how many bytes JSON may have once it is indented. Deep nesting makes
	// that the square of what it was.
	maxPretty = 2 * maxState
	// maxDepth is how deep JSON may be nested to be indented.
	maxDepth = 100
)

// indented returns data with a line for each value, if it is JSON, and nil if it is not, or
// would then be too large.
func indented(data []byte) []byte {
	n, ok := indentedSize(data)
	if !ok {
		return nil
	}
	pretty := bytes.NewBuffer(make([]byte, 0, n))
	if json.Indent(pretty, data, "", "  ") != nil {
		return nil
	}
	return pretty.Bytes()
}

// indentedSize returns how many bytes json.Indent makes of data, at most, and reports
// whether that is within bounds. Of what is no JSON the number means nothing.
func indentedSize(data []byte) (n int, ok bool) {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		n++
		c := data[i]
		switch {
		case text && c == '\\':
			i++
			n++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
			n += 1 + 2*depth
		case c == '}' || c == ']':
			depth = max(0, depth-1)
			n += 1 + 2*depth
		case c == ',':
			n += 1 + 2*depth
		case c == ':':
			n++
		}
		if n > maxPretty || depth > maxDepth {
			return n, false
		}
	}
	return n, true
}
