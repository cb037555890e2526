package stateio_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// docs/GUIDE.md names examples, and each of them is there.
func TestTheGuideNamesExamplesThatAreThere(t *testing.T) {
	guide, err := os.ReadFile("docs/GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests bytes.Buffer
	for _, dir := range []string{"store", "statetest", "durable", "prom"} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(dir + "/" + path)
			tests.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile("`(Example[A-Za-z_]*)`").FindAllStringSubmatch(string(guide), -1)
	if len(named) < 24 {
		t.Errorf("the guide names %d examples", len(named))
	}
	for _, name := range named {
		if !strings.Contains(tests.String(), "func "+name[1]+"()") {
			t.Errorf("there is no example %s", name[1])
		}
	}
}

// Documents say which test holds a promise: each that they name is there, by that name. Of one
// in a command, such as go test -run TestCrash, the beginning is enough.
func TestTheDocumentsNameTestsThatAreThere(t *testing.T) {
	if _, err := os.Stat("go.work"); err != nil {
		t.Skipf("not run: here is only this module, and documents speak of the others as well: %v", err)
	}
	missing, named := missingTests(t, os.DirFS("."))
	for _, m := range missing {
		t.Error(m)
	}
	if named < 500 {
		t.Errorf("the documents name %d tests", named)
	}
}

func TestTestsThatAreMissingAreFound(t *testing.T) {
	for text, missing := range map[string]bool{
		"`TestOne`, `FuzzTwo`":                false,
		"`TestOne/a_case`":                    false,
		"    go test -run TestO ./a":          false,
		"Tests, examples, and a TestingThing": false,
		"`TestTwo`":                           true,
		"`TestO`":                             true,
		"`BenchmarkOne`":                      true,
		"`x`: `TestOne`, `TestOther`":         true,
		"    go test -run '^TestTwo' ./a":     true,
	} {
		got, _ := missingTests(t, fstest.MapFS{
			"docs/a.md":   {Data: []byte(text + "\n")},
			"a/a_test.go": {Data: []byte("package a\n\nfunc TestOne(t *testing.T) {}\nfunc FuzzTwo(f *testing.F) {}\n")},
		})
		if (len(got) > 0) != missing {
			t.Errorf("%q: missing %q, want %v", text, got, missing)
		}
	}
}

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	testNamed = regexp.MustCompile("(`?)\\b((?:Test|Fuzz|Benchmark|Example)[A-Z_]\\w*)")
)

// missingTests returns what the documents of dir say of tests that are not there, and how many
// tests they name. The recording is one of what was there.
func missingTests(t *testing.T, dir fs.FS) (missing []string, named int) {
	t.Helper()
	var tests []string
	documents := map[string]string{}
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		document := path.Ext(name) == ".md" && path.Base(name) != "RECORDING.md"
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != ".":
			return fs.SkipDir
		case d.IsDir() || !document && !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(dir, name)
		if document {
			documents[name] = string(text)
		} else {
			for _, m := range testFunc.FindAllSubmatch(text, -1) {
				tests = append(tests, string(m[1]))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tests)
	for name, text := range documents {
		for _, m := range testNamed.FindAllStringSubmatch(text, -1) {
			named++
			at, ok := slices.BinarySearch(tests, m[2])
			if !ok && (m[1] != "" || at == len(tests) || !strings.HasPrefix(tests[at], m[2])) {
				missing = append(missing, fmt.Sprintf("%s names %s, and no test has that name", name, m[2]))
			}
		}
	}
	return missing, named
}
