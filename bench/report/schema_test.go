package report

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fieldsOf returns a line for each field that an object of that type has as JSON: its
// name, and what kind of value it has.
func fieldsOf(t reflect.Type, prefix string) (lines []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, optional, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind, object, inner := kindOf(f.Type)
		if optional == "omitempty" {
			kind += ", optional"
		}
		lines = append(lines, "`"+prefix+name+"` | "+kind)
		if object != nil {
			lines = append(lines, fieldsOf(object, prefix+name+inner)...)
		}
	}
	return lines
}

// kindOf returns what a value of a type is called, and the type of an object in it, with
// what is between its name and those of its fields.
func kindOf(t reflect.Type) (name string, object reflect.Type, inner string) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time", nil, ""
	case t == reflect.TypeFor[Spread]():
		return "spread", nil, "" // described once
	case t == reflect.TypeFor[Outcome]():
		return "outcome", nil, ""
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Struct:
		return "object", t, "."
	case reflect.Slice:
		return "array of objects", t.Elem(), "[]."
	case reflect.String:
		return "string", nil, ""
	case reflect.Bool:
		return "boolean", nil, ""
	}
	return "number", nil, ""
}

// The fields that docs/BENCHMARKS.md lists are those of the JSON, with their kinds and in
// their order: programs that read them rely on that.
func TestTheDocumentedFieldsAreThoseOfJSON(t *testing.T) {
	text, err := os.ReadFile("../../docs/BENCHMARKS.md")
	if err != nil {
		t.Skipf("not run: here is only this module, without the documents: %v", err)
	}
	var documented []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") && len(cells) == 3 {
			documented = append(documented, strings.TrimPrefix(cells[0], "| ")+" | "+cells[1])
		}
	}
	want := fieldsOf(reflect.TypeFor[Report](), "")
	want = append(want, fieldsOf(reflect.TypeFor[Spread](), "spread.")...)
	want = append(want, fieldsOf(reflect.TypeFor[Outcome](), "outcome.")...)
	if strings.Join(documented, "\n") != strings.Join(want, "\n") {
		t.Errorf("docs/BENCHMARKS.md has the fields\n%s\nand these are written:\n%s", strings.Join(documented, "\n"), strings.Join(want, "\n"))
	}
}
