package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Readers of JSON refuse all of the output for half a surrogate pair, for a number that is too
// large or too long, or for arrays in arrays in arrays: a payload that is such is not in it as a value.
func TestAPayloadThatReadersOfJSONRefuseIsNoValue(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for payload, want := range map[string]bool{
		`{"k":"\ud83d\ude00"}`: true, `"\\ud800"`: true, `"\\\\ud800"`: true, `"\u00e9\"["`: true, `"\ue000\ud7ff"`: true,
		`{"k":"\ud800"}`: false, `{"\udc00":1}`: false, `"\ud800\ud800\udc00"`: false, `"\ud800x"`: false, `"\uD83D\n"`: false, `"\\\uDFFF"`: false,
		nested(maxNesting): true, objects(maxNesting): true, nested(maxNesting + 1): false, objects(maxNesting + 1): false,
		`[-1.5e3,0,{"1e999":"1e999"},1e308]`: true, `[1,1e999]`: false, `-1e999`: false, `1e-999`: true,
		strings.Repeat("1", maxDigits+1): false, "0." + strings.Repeat("1", maxDigits-2): true,
		"[" + strings.Repeat("[],", 1000) + "1]":     true,
		fmt.Sprintf("%q", strings.Repeat("[", 1000)): true,
	} {
		p := payloadOf([]byte(payload), int64(len(payload)))
		if (p.Value != nil) != want {
			t.Errorf("%.40s: the value is %.40q", payload, p.Value)
		}
		if !json.Valid([]byte(payload)) || !strings.HasPrefix(payload, p.Preview) || p.Preview == "" {
			t.Errorf("%.40s: the preview is %q", payload, p.Preview)
		}
	}
}
