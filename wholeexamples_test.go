package stateio_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// pkg.go.dev shows an example as a whole program, which can be read and copied, if all that it
// uses is in its file.
func TestExamplesAreWholePrograms(t *testing.T) {
	if _, err := os.Stat("go.work"); err != nil {
		t.Skipf("not run: here is only this module, and the others have examples as well: %v", err)
	}
	fragments, examples := exampleFragments(t, os.DirFS("."))
	for _, f := range fragments {
		t.Error(f)
	}
	if examples < 150 {
		t.Errorf("there are %d examples", examples)
	}
}

func TestExamplesThatAreFragmentsAreFound(t *testing.T) {
	for text, fragment := range map[string]bool{
		`func ExampleA() { fmt.Println(n) }; var n = 1`:                       false,
		`func ExampleA() { fmt.Println(n) }; func ExampleB() {}; const n = 1`: false,
		`func ExampleA() { fmt.Println(n) }`:                                  true,
		`func ExampleA() { fmt.Println(n) }; func ExampleB() {}`:              true,
		`func ExampleA() { f() }; func f() { fmt.Println(n) }`:                true,
	} {
		got, _ := exampleFragments(t, fstest.MapFS{
			"a/a_test.go": {Data: []byte("package a_test\n\nimport \"fmt\"\n\n" + text)},
			"a/b_test.go": {Data: []byte("package a_test\n\nvar m = 1")},
		})
		if (len(got) > 0) != fragment {
			t.Errorf("%s: fragments %q, want %v", text, got, fragment)
		}
	}
}

// exampleFragments returns which examples below dir are no whole programs, and how many there are.
func exampleFragments(t *testing.T, dir fs.FS) (fragments []string, examples int) {
	t.Helper()
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != ".":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		found := doc.Examples(file)
		examples += len(found)
		for _, e := range found {
			if e.Play == nil || usesOther(e.Play) {
				fragments = append(fragments, name+": Example"+e.Name+" uses what is in other files, so pkg.go.dev shows a fragment")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fragments, examples
}

// usesOther reports whether a program uses what is neither in it, nor imported, nor of the language.
// It may if it is a file with one example, which is shown as it is.
func usesOther(program *ast.File) bool {
	known := map[string]bool{}
	for _, spec := range program.Imports {
		if spec.Name != nil {
			known[spec.Name.Name] = true
		}
		known[path.Base(strings.TrimSuffix(strings.Trim(spec.Path.Value, `"`), "/v2"))] = true
	}
	for _, id := range program.Unresolved {
		if !known[id.Name] && types.Universe.Lookup(id.Name) == nil {
			return true
		}
	}
	return false
}
