package strictjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unicode"
)

// A shape is what encoding/json takes for a Go type.
type shape struct {
	kind   shapeKind
	name   string            // of a struct's type, for errors
	fields map[string]*field // of a struct, by name
	elem   *shape            // of the elements of an array, slice or map
	length int               // of an array, and -1 of a slice
	bits   int               // of a float
}

type field struct {
	number int // of the fields of the struct, from 0
	shape  *shape
}

type shapeKind uint8

const (
	shapeOpaque  shapeKind = iota // left to a method of the type, or kept as it is
	shapeScalar                   // a string, an integer, a bool
	shapeFloat                    // a float of so many bits
	shapeDynamic                  // any: whatever comes
	shapeStruct
	shapeMap
	shapeList
)

var (
	opaque  = &shape{kind: shapeOpaque}
	scalar  = &shape{kind: shapeScalar}
	dynamic = &shape{kind: shapeDynamic, bits: 64} // numbers become float64

	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shapes holds the shapes of types, which are never changed.
var shapes sync.Map // reflect.Type: *shape

// shapeOf returns the shape of t.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := shaper{}.shape(t)
	shapes.Store(t, s)
	return s
}

// maxPointers is how many pointers to pointers are followed: type P *P has no end.
const maxPointers = 100

// A shaper makes shapes, and holds those under way: types may contain themselves.
type shaper map[reflect.Type]*shape

func (sh shaper) shape(t reflect.Type) *shape {
	for range maxPointers {
		switch p := reflect.PointerTo(t); {
		case t.Implements(unmarshalerType) || p.Implements(unmarshalerType):
			return opaque
		case t.Implements(textUnmarshalerType) || p.Implements(textUnmarshalerType):
			return scalar
		}
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	if s, ok := sh[t]; ok {
		return s
	}
	s := &shape{length: -1}
	sh[t] = s
	switch t.Kind() {
	case reflect.Interface:
		*s = *dynamic
	case reflect.Float32, reflect.Float64:
		s.kind, s.bits = shapeFloat, t.Bits()
	case reflect.Array:
		s.kind, s.length, s.elem = shapeList, t.Len(), sh.shape(t.Elem())
	case reflect.Slice:
		s.kind, s.elem = shapeList, sh.shape(t.Elem())
	case reflect.Map:
		s.kind, s.elem = shapeMap, sh.shape(t.Elem())
	case reflect.Struct:
		s.kind, s.name, s.fields = shapeStruct, t.String(), map[string]*field{}
		if t.Name() == "" {
			s.name = "a struct without a name" // not the whole declaration
		}
		for name, ft := range fieldsOf(t) {
			s.fields[name] = &field{len(s.fields), sh.shape(ft)}
		}
	case reflect.Pointer: // without an end: only null can be decoded
		*s = *opaque
	default:
		*s = *scalar
	}
	return s
}

// A candidate is a field that may be the one of its name.
type candidate struct {
	typ    reflect.Type
	depth  int  // of embedding
	tagged bool // its name is from a tag
	times  int  // it is met so often
}

// fieldsOf returns the fields that encoding/json sees in struct type t, by
// name. Embedded structs bring theirs: of several with a name, the one that is
// least deep counts, and of those the one that has it from a tag. Where that
// leaves more than one, none does.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for name, c := range candidatesOf(t) {
		if c.times == 1 {
			fields[name] = c.typ
		}
	}
	return fields
}

// candidatesOf returns for each name the field that counts. Where several do, times says so.
func candidatesOf(t reflect.Type) map[string]candidate {
	found := map[string]candidate{}
	visited := map[reflect.Type]bool{}
	level := map[reflect.Type]int{t: 1} // the structs of a depth, and how often each is there
	for depth := 0; len(level) > 0; depth++ {
		next := map[reflect.Type]int{}
		for st, times := range level {
			if visited[st] {
				continue
			}
			visited[st] = true
			for i := range st.NumField() {
				f := st.Field(i)
				name := tagName(f)
				switch embedded, ok := embeddedIn(f); {
				case !marshaled(f):
				case ok:
					next[embedded]++
				case name == "":
					addCandidate(found, f.Name, candidate{f.Type, depth, false, times})
				default:
					addCandidate(found, name, candidate{f.Type, depth, true, times})
				}
			}
		}
		level = next
	}
	return found
}

// addCandidate puts c into found, if it does not give way to one that is there.
func addCandidate(found map[string]candidate, name string, c candidate) {
	old, ok := found[name]
	switch {
	case ok && old.depth == c.depth && old.tagged == c.tagged:
		c.times += old.times
	case ok && (old.depth < c.depth || old.tagged && !c.tagged):
		return
	}
	found[name] = c
}

// marshaled reports whether encoding/json looks at field f, or into it.
func marshaled(f reflect.StructField) bool {
	if f.Tag.Get("json") == "-" {
		return false
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.IsExported() || f.Anonymous && t.Kind() == reflect.Struct
}

// tagName returns the name that the tag of f gives it, or "".
func tagName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return nameByJSON(f.Tag)
		}
	}
	return name
}

// nameByJSON returns the name that encoding/json gives a field with such a tag, or "" if that is
// the field's own. For names with quotes or signs, versions of Go differ: until 1.26 the field keeps
// its own, and from 1.27 on a part of the tag, or all of it, counts.
func nameByJSON(tag reflect.StructTag) string {
	const own = "NoNameInTheTag"
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: own, Type: reflect.TypeFor[bool](), Tag: tag}})).Elem()
	one.Field(0).SetBool(true) // else omitempty omits it
	text, err := json.Marshal(one.Interface())
	var fields map[string]any
	if err != nil || json.Unmarshal(text, &fields) != nil {
		return ""
	}
	for name := range fields {
		if name != own {
			return name
		}
	}
	return ""
}
