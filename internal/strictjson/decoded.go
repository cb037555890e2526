package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Rules say what is let pass.
type Rules struct {
	AllowUnknownFields bool // members of an object that the struct does not have
	AllowInvalidUTF8   bool // text that encoding/json has replaced by U+FFFD
}

// Decoded returns an error if json.Unmarshal, which has made a value of type t of data, has
// dropped or changed something.
func Decoded(data []byte, t reflect.Type, r Rules) error {
	c := checker{data: data, Rules: r}
	return c.all(shapeOf(t))
}

// A checker goes through a text that json.Unmarshal has decoded, and finds
// what that has dropped or changed.
type checker struct {
	data []byte // valid JSON
	at   int    // the next byte
	Rules
}

// all checks the whole text, of a value of shape s.
func (c *checker) all(s *shape) error {
	if !c.AllowInvalidUTF8 && !utf8.Valid(c.data) {
		return errInvalidUTF8
	}
	return c.value(s)
}

// next passes over white space, and returns the byte after it.
func (c *checker) next() byte {
	for {
		switch b := c.data[c.at]; b {
		case ' ', '\t', '\r', '\n':
			c.at++
		default:
			return b
		}
	}
}

// value passes over a value of shape s.
func (c *checker) value(s *shape) error {
	switch c.next() {
	case '{':
		return c.object(s)
	case '[':
		return c.array(s)
	case '"':
		return c.text(s.kind != shapeOpaque)
	}
	return c.literal(s)
}

// object passes over an object.
func (c *checker) object(s *shape) error {
	names := names{unchecked: s.kind == shapeOpaque}
	for c.at++; c.next() != '}'; {
		at := c.at
		name, err := c.memberName(s.kind != shapeOpaque)
		if err != nil {
			return err
		}
		f, err := c.member(s, name, at)
		if err != nil {
			return err
		}
		if again := names.add(name, f.number); again {
			return fmt.Errorf("%q stands twice in the object at byte %d: only one of the two would be kept", name, at)
		}
		c.next()
		c.at++ // the colon
		if err := c.value(f.shape); err != nil {
			return err
		}
		if c.next() == ',' {
			c.at++
		}
	}
	c.at++
	if again := names.twice(); again != nil {
		return fmt.Errorf("%q stands twice in the object that ends at byte %d: only one of the two would be kept", again, c.at)
	}
	return nil
}

// member returns the field of a struct, or what stands for it elsewhere: then
// its number is negative.
func (c *checker) member(s *shape, name []byte, at int) (field, error) {
	switch s.kind {
	case shapeDynamic:
		return field{-1, s}, nil
	case shapeMap:
		return field{-1, s.elem}, nil
	case shapeStruct:
	default:
		return field{-1, opaque}, nil
	}
	if f, ok := s.fields[string(name)]; ok {
		return *f, nil
	}
	for known := range s.fields {
		if strings.EqualFold(known, string(name)) {
			return field{}, fmt.Errorf("the field %q at byte %d differs only in case from the field %q of %s: "+
				"give the field the name that it had when the update was made", name, at, known, s.name)
		}
	}
	if !c.AllowUnknownFields {
		return field{}, fmt.Errorf("the field %q at byte %d is none of %s: it is misspelt, or was removed or renamed since this was written; "+
			"put it back, or set AllowUnknownFields of store.JSON to drop what it held", name, at, s.name)
	}
	return field{unknownField, opaque}, nil
}

// array passes over an array.
func (c *checker) array(s *shape) error {
	elem := opaque
	switch s.kind {
	case shapeDynamic:
		elem = s
	case shapeList:
		elem = s.elem
	}
	start, n := c.at, 0
	for c.at++; c.next() != ']'; n++ {
		if err := c.value(elem); err != nil {
			return err
		}
		if c.next() == ',' {
			c.at++
		}
	}
	c.at++
	if s.kind == shapeList && s.length >= 0 && n > s.length {
		return fmt.Errorf("the array at byte %d has %d elements, and its Go type holds %d: the rest would be lost", start, n, s.length)
	}
	return nil
}

// literal passes over a number, true, false or null.
func (c *checker) literal(s *shape) error {
	start := c.at
	for c.at < len(c.data) && inLiteral(c.data[c.at]) {
		c.at++
	}
	lit := c.data[start:c.at]
	if s.bits > 0 && !exact(lit, s.bits) {
		return fmt.Errorf("the number %s at byte %d can't be held by a float of %d bits: use an integer type or json.Number", lit, start, s.bits)
	}
	return nil
}

// inLiteral reports whether a number, true, false or null goes on with b.
func inLiteral(b byte) bool {
	switch b {
	case ',', ']', '}', ' ', '\t', '\r', '\n':
		return false
	}
	return true
}

// exact reports whether a float of so many bits holds lit, if that is an integer.
func exact(lit []byte, bits int) bool {
	if digits := bits / 4; len(lit) < digits || bytes.ContainsAny(lit, ".eEn") {
		return true
	}
	f, err := strconv.ParseFloat(string(lit), bits)
	return err == nil && string(strconv.AppendFloat(nil, f, 'f', -1, bits)) == string(lit)
}

// text passes over a string. With checked, its escapes must be of valid text.
func (c *checker) text(checked bool) error {
	for c.at++; c.data[c.at] != '"'; c.at++ {
		if c.data[c.at] != '\\' {
			continue
		}
		if checked && !c.AllowInvalidUTF8 && c.half() {
			return errInvalidUTF8
		}
		c.at++
	}
	c.at++
	return nil
}

// memberName passes over the name of a member and returns it: a part of data,
// unless there are escapes in it.
func (c *checker) memberName(checked bool) ([]byte, error) {
	start := c.at
	if err := c.text(checked); err != nil {
		return nil, err
	}
	name := c.data[start+1 : c.at-1]
	if bytes.IndexByte(name, '\\') < 0 {
		return name, nil
	}
	var s string
	err := json.Unmarshal(c.data[start:c.at], &s)
	return []byte(s), err
}

// half reports whether the escape at c.at is of half a surrogate pair. It passes
// over the first escape of a whole pair.
func (c *checker) half() bool {
	switch r := c.escape(c.at); {
	case r < 0xd800 || r > 0xdfff:
		return false
	case r > 0xdbff:
		return true
	}
	if r := c.escape(c.at + 6); r < 0xdc00 || r > 0xdfff {
		return true
	}
	c.at += 6
	return false
}

// escape returns the number in the escape \uXXXX at i, or 0 if there is none.
func (c *checker) escape(i int) uint64 {
	if i+6 > len(c.data) || c.data[i] != '\\' || c.data[i+1] != 'u' {
		return 0
	}
	r, _ := strconv.ParseUint(string(c.data[i+2:i+6]), 16, 16)
	return r
}

// unknownField is the number of a field that a struct does not have.
const unknownField = -2

// names are those of the members of an object, to find one that is there twice.
type names struct {
	unchecked bool
	fields    [2]uint64        // of a struct, a bit for each of the first 128
	more      map[int]struct{} // the rest
	others    [][]byte
	unsorted  bool // others are not in order
}

// add adds a name, and reports whether it is that of a field that was added
// before. The number is that of the field, negative if it is none.
func (n *names) add(name []byte, number int) (again bool) {
	switch {
	case n.unchecked || number == unknownField:
	case number < 0:
		// json.Marshal writes the keys of a map in order.
		if len(n.others) > 0 && bytes.Compare(n.others[len(n.others)-1], name) >= 0 {
			n.unsorted = true
		}
		n.others = append(n.others, name)
	case number < 64*len(n.fields):
		bit := uint64(1) << (number % 64)
		again = n.fields[number/64]&bit != 0
		n.fields[number/64] |= bit
	default:
		_, again = n.more[number]
		if n.more == nil {
			n.more = map[int]struct{}{}
		}
		n.more[number] = struct{}{}
	}
	return again
}

// twice returns a name, not that of a field, that was added twice, or nil.
func (n *names) twice() []byte {
	if !n.unsorted {
		return nil
	}
	slices.SortFunc(n.others, bytes.Compare)
	for i := range len(n.others) - 1 {
		if bytes.Equal(n.others[i], n.others[i+1]) {
			return n.others[i]
		}
	}
	return nil
}
