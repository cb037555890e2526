package strictjson

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// LeftOut returns an error if json.Marshal passes over fields of a value of type t, or of what
// that holds, without being told to by a tag json:"-". What an interface holds is not known.
func LeftOut(t reflect.Type) error {
	return lookout{}.value(t, false, "a struct without a name")
}

// A lookout looks for fields that are left out, and holds the types that it has been at.
type lookout map[sight]bool

// A sight is a type that json.Marshal meets.
type sight struct {
	t           reflect.Type
	addressable bool // its values are: then the methods of pointers to them are called, too
	embedded    bool // its fields are members of another struct's object, and no method is called
}

// value looks at type t, which is called name if it has none.
func (l lookout) value(t reflect.Type, addressable bool, name string) error {
	s := sight{t: t, addressable: addressable}
	if l[s] || marshals(t) || addressable && marshals(reflect.PointerTo(t)) {
		return nil
	}
	l[s] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return l.value(t.Elem(), true, name)
	case reflect.Array:
		return l.value(t.Elem(), addressable, name)
	case reflect.Map:
		return l.value(t.Elem(), false, name)
	case reflect.Struct:
		if err := l.fields(s, name); err != nil {
			return err
		}
		return twice(t, name)
	}
	return nil
}

// marshals reports whether a value of type t says itself what its JSON is.
func marshals(t reflect.Type) bool {
	return t.Implements(marshalerType) || t.Implements(textMarshalerType)
}

// nameOf returns the name of t, or name if it has none.
func nameOf(t reflect.Type, name string) string {
	if t.Name() == "" {
		return name // not the whole declaration
	}
	return t.String()
}

// twice returns an error if fields of struct t have the same name in JSON, so that none counts.
func twice(t reflect.Type, name string) error {
	found := candidatesOf(t)
	for _, member := range slices.Sorted(maps.Keys(found)) {
		if found[member].times > 1 {
			return fmt.Errorf("several fields of %s are named %q in JSON, which would leave out all of them in silence: "+
				`give them other names by a tag, or tag them json:"-" if they need not be kept`, nameOf(t, name), member)
		}
	}
	return nil
}

// fields looks at the fields of a struct.
func (l lookout) fields(s sight, name string) error {
	if holdsNothing(s.t) {
		return nil
	}
	name = nameOf(s.t, name)
	for i := range s.t.NumField() {
		f := s.t.Field(i)
		if f.Tag.Get("json") == "-" || f.Name == "_" {
			continue
		}
		var err error
		switch embedded, ok := embeddedIn(f); {
		case !marshaled(f):
			err = s.hides(f, name)
		case ok:
			in := sight{embedded, s.addressable || f.Type != embedded, true}
			if !l[in] {
				l[in] = true
				err = l.fields(in, name)
			}
		default:
			err = l.value(f.Type, s.addressable, fmt.Sprintf("the struct in field %s of %s", f.Name, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// embeddedIn returns the struct that f embeds, if its fields become members of the object.
func embeddedIn(f reflect.StructField) (reflect.Type, bool) {
	t := f.Type
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, f.Anonymous && tagName(f) == "" && t.Kind() == reflect.Struct
}

// hides returns an error if f, which is left out, holds something.
func (s sight) hides(f reflect.StructField, name string) error {
	if holdsNothing(f.Type) {
		return nil
	}
	hint := ""
	if !s.embedded && marshals(reflect.PointerTo(s.t)) {
		hint = fmt.Sprintf("; or hold a pointer: JSON calls the methods of *%s, but not for a value that can't be addressed", name)
	}
	return fmt.Errorf("field %s of %s is not exported, and JSON would leave it out in silence: "+
		`export it, or tag it json:"-" if it need not be kept%s`, f.Name, name, hint)
}

// locks are types whose values are of no use to anybody else.
var locks = map[reflect.Type]bool{
	reflect.TypeFor[sync.Mutex]():     true,
	reflect.TypeFor[sync.RWMutex]():   true,
	reflect.TypeFor[sync.Once]():      true,
	reflect.TypeFor[sync.WaitGroup](): true,
}

// holdsNothing reports whether a value of type t holds nothing that could be lost.
func holdsNothing(t reflect.Type) bool {
	switch {
	case t.Size() == 0 || locks[t]:
		return true
	case t.Kind() == reflect.Array:
		return holdsNothing(t.Elem())
	case t.Kind() != reflect.Struct:
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Name != "_" && !holdsNothing(f.Type) {
			return false
		}
	}
	return true
}
