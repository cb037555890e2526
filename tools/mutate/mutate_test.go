package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sample = "./tools/mutate/testdata/sample"

func root(t *testing.T) string {
	t.Helper()
	dir, err := rootDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// What tests notice is told from what they don't, what they don't reach, and
// what is listed as harmless; a mutant that loops is ended.
func TestEachMutantMeetsItsFate(t *testing.T) {
	list := filepath.Join(t.TempDir(), "accepted.txt")
	const harmless = "tools/mutate/testdata/sample/sample.go | Clamp | if n < low { | if n <= low {"
	if err := os.WriteFile(list, []byte("# why\n"+harmless+"\n\tn is low then\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	accepted, err := readAccepted(list)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	o := &options{root: root(t), list: accepted, workers: 2, sample: 1, verbose: true}
	r := &report{options: o, pkg: sample, out: &out}
	if err := r.mutate(t.Context(), jobFor(sample)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"not a judge: " + sample + " TestFailsAlways",
		"sample.go:11: Clamp: SURVIVED\n\t- if n > high {\n\t+ if n >= high {\n",
		"sample.go:30: Check: SURVIVED\n\t- if n < 5 || n == 7 && !odd(n) {\n\t+ if n < 5 || false {\n",
		"sample.go:21: Sum: caught by " + sample + " TestSum\n\t- n--\n",
		"sample.go:42: Untested: NOT REACHED\n\t- return a - b\n\t+ return a + b\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if r.harmless != 1 || r.survived != 6 || r.unreached != 1 || r.killed < 10 {
		t.Errorf("%d are harmless, %d survived, %d were not reached, %d caught", r.harmless, r.survived, r.unreached, r.killed)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// The mutants of each construct, as the mutated line.
func TestMutantsOfEachConstruct(t *testing.T) {
	for _, tt := range []struct {
		code string
		want []string
	}{
		{"if a < b { f() }", []string{"if true {", "if false {", "if a <= b {", "/* left out: f() */"}},
		{"if a >= 1 { return }", []string{"if true {", "if false {", "if a >= 1 + 1 {", "if a >= 1 - 1 {"}},
		{"if a == 3 { return }", []string{"if true {", "if false {", "if a == 3 + 1 {"}},
		{"if ok && !g() { return }", []string{"if true {", "if false {", "if true && !g() {", "if ok && true {"}},
		{"if ok || a == b { return }", []string{"if true {", "if false {", "if false || a == b {", "if ok || false {"}},
		{"for ok { f() }", []string{"for false {", "/* left out: f() */"}},
		{"a = a + b", []string{"/* left out: a = a + b */", "a = a - b"}},
		{"a += b*a", []string{"/* left out: a += b*a */", "a += b/a"}},
		{"a++", []string{"/* left out: a++ */"}},
		{"for range a { break }", []string{"continue"}},
		{"for range a { if ok { continue } }", []string{"if true {", "if false {", "break"}},
		{"for range a { switch { case ok: continue } }", []string{"case true:", "case false:"}},
		{"defer f()", []string{"/* left out: defer f() */"}},
		{"ok = true", []string{"/* left out: ok = true */", "ok = false"}},
		{"_ = text[2:]", []string{"_ = text[2 + 1:]", "_ = text[2 - 1:]"}},
		{"_ = text[0]", []string{"_ = text[0 + 1]"}},
		{"_ = func() (int, error) { return a, err }", []string{"_ = func() (int, error) { return a, nil }"}},
		{"_ = func() (int, error) { return 1, err }", []string{"_ = func() (int, error) { return 1, nil }"}},
		{"_ = func() (int, error) { return 1, nil }", []string{"_ = func() (int, error) { return 1 + 1, nil }", "_ = func() (int, error) { return 1 - 1, nil }"}},
		{"select { case <-done: f() }", []string{"/* left out: f() */"}},
		{"panic(text)", nil},
		{"const c = 5", nil},
		{"var _ [5]int", nil},
		{"switch a { case 4: f() }", []string{"case 4 + 1:", "/* left out: f() */"}},
	} {
		// A line for each brace, so that the line tells one statement from another.
		code := strings.NewReplacer("{ ", "{\n", " }", "\n}", ": ", ":\n").Replace(tt.code)
		if strings.Contains(code, "func()") {
			code = tt.code
		}
		p := growText(t, "package p\n\nfunc f() {}\nfunc g() bool { panic(\"g\") }\n"+
			"func test(a, b int, ok bool, text string, err error, done chan int) {\n"+code+"\n}\n")
		var got []string
		for _, m := range p.mutants {
			got = append(got, m.after())
		}
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.code, got, tt.want)
		}
	}
}

// A constant is left as it is where its type can't be named.
func TestAMutatedConstantHasATypeWithAName(t *testing.T) {
	p := growText(t, `package p

import "io/fs"

func open(mode fs.FileMode) {}

func named() { open(0) }

func shadowed(fs int) { open(0) }
`)
	var got []string
	for _, m := range p.mutants {
		got = append(got, m.after())
	}
	want := []string{
		"func named() { /* left out: open(0) */ }",
		"func named() { open(0 + 1) }",
		"func shadowed(fs int) { /* left out: open(0) */ }",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The mutants of all packages in the plan compile, and the files that it names are there: those
// of one that has another name now would be missed by nobody.
func TestThePlanCompiles(t *testing.T) {
	for _, j := range plan {
		s, err := load(root(t), j.pkg)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range j.files {
			if !slices.ContainsFunc(s.files, func(f *file) bool { return filepath.Base(f.name) == name }) {
				t.Errorf("%s has no %s", j.pkg, name)
			}
		}
		p := grow(s, func(name string) bool { return j.wants(filepath.Base(name)) })
		overlay, err := p.overlay(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, j.pkg)
		cmd.Dir = root(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", j.pkg, err, out)
		}
		if len(p.mutants) == 0 {
			t.Errorf("%s: no mutants", j.pkg)
		}
	}
}

// growText returns the mutants of a file with that text.
func growText(t *testing.T, text string) *plant {
	t.Helper()
	s := &source{fset: token.NewFileSet(), info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
	}}
	syntax, err := parser.ParseFile(s.fset, "p.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.Default(), Error: func(err error) {
		if !strings.Contains(err.Error(), "declared and not used") {
			t.Error(err)
		}
	}}
	s.pkg, _ = config.Check("p", s.fset, []*ast.File{syntax}, s.info)
	s.files = []*file{{name: "p.go", text: []byte(text), syntax: syntax}}
	return grow(s, func(string) bool { return true })
}

func TestTheListOfHarmlessMutantsIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"a.go | f | x | y\n\twhy\n":                     "",
		"a.go | f | x | y\na.go | f | y | z | 2\n\ty\n": "",
		"\twhy\n":            ":1: a reason without a mutant",
		"a.go | f | x | y\n": "no reason",
		"a.go f x\n\twhy\n":  ":1: want file",
	} {
		name := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readAccepted(name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The list of harmless mutants is about the code as it is, and a line that is gone is
// told.
func TestAcceptedLinesAreThere(t *testing.T) {
	dir := root(t)
	list, err := readAccepted(filepath.Join(dir, "tools", "mutate", "accepted.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.stale(dir); err != nil {
		t.Error(err)
	}
	list.reasons["logio/reader.go | Reader.Read | this line is not there | this one"] = "why"
	list.reasons["nowhere.go | f | return | panic()"] = "why"
	if err := list.stale(dir); err == nil || !strings.Contains(err.Error(), "not there") || !strings.Contains(err.Error(), "nowhere.go") {
		t.Errorf("what is gone is told as %v", err)
	}
}
