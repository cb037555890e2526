package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// schemas are the objects that commands print with --json, by the headings that they have
// in docs/COMMANDS.md.
var schemas = []struct {
	heading string
	object  any
}{
	{"verify", verdict{}},
	{"log of a store: an update", storeUpdateLine{}},
	{"log of a store: a snapshot", storeSnapshotLine{}},
	{"log of a file: an update or a snapshot", entryLine{}},
	{"log of a file: damage", damageLine{}},
	{"stat", stat{}},
	{"files", jsonFile{}},
	{"diff", difference{}},
	{"epochs", epochLine{}},
	{"backup", madeStore{}},
	{"import", madeStore{}},
	{"repair", jsonRepair{}},
	{"restore", restored{}},
	{"bench", benchResult{}},
}

// fieldsOf returns a line for each field of an object of that type: its name, and what kind
// of value it has.
func fieldsOf(t reflect.Type, prefix string) (lines []string) {
	for f := range fields(t) {
		if f.Anonymous {
			lines = append(lines, fieldsOf(f.Type, prefix)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue // not exported
		}
		kind, object, inner := kindName(f.Type)
		if options == "omitempty" {
			kind += ", optional"
		}
		lines = append(lines, "`"+prefix+name+"` | "+kind)
		if object != nil {
			lines = append(lines, fieldsOf(object, prefix+name+inner)...)
		}
	}
	return lines
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// kindName returns what a value of a type is called, and the type of the objects in it, if
// there are some, with what is between its name and those of their fields.
func kindName(t reflect.Type) (name string, object reflect.Type, inner string) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time", nil, ""
	case t == reflect.TypeFor[json.RawMessage]():
		return "any", nil, ""
	case t == reflect.TypeFor[storeUpdateLine]():
		return "object", nil, "" // it has fields of its own
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.Struct:
		return "object", t, "."
	case reflect.Slice:
		name, object, _ := kindName(t.Elem())
		return "array of " + name + "s", object, "[]."
	case reflect.String:
		return "string", nil, ""
	case reflect.Bool:
		return "boolean", nil, ""
	}
	return "number", nil, ""
}

// The fields that docs/COMMANDS.md lists are those that are printed, with their kinds and in
// their order: programs that read them rely on that.
func TestTheDocumentedFieldsAreThoseOfJSON(t *testing.T) {
	text, err := os.ReadFile("../../docs/COMMANDS.md")
	if err != nil {
		t.Skipf("here is only this module, without the documents: %v", err)
	}
	documented := map[string][]string{}
	heading := ""
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			heading = strings.TrimSpace(name)
		}
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") && len(cells) >= 3 {
			documented[heading] = append(documented[heading], strings.TrimPrefix(cells[0], "| ")+" | "+cells[1])
		}
	}
	for _, s := range schemas {
		want, got := fieldsOf(reflect.TypeOf(s.object), ""), documented[s.heading]
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: docs/COMMANDS.md has the fields\n%s\nand these are printed:\n%s", s.heading, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		delete(documented, s.heading)
	}
	for heading := range documented {
		t.Errorf("docs/COMMANDS.md has fields under %q, which no command prints", heading)
	}
}
