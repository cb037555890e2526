package stateio_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The import graph in CONTRIBUTING.md is that of the code. `make graph` writes it.
func TestTheImportGraphIsThatOfTheCode(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("not run: there is no command go, as in Wine: ", err)
	}
	if _, err := os.Stat("go.work"); err != nil {
		t.Skipf("not run: here is only this module, and the graph is that of all: %v", err)
	}
	if os.Getenv("GOWORK") == "off" {
		t.Skip("not run: without the workspace this is the root module alone, and the graph is that of all")
	}
	const begin, end = "```mermaid\ngraph TD\n", "```\n"
	doc, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	had, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("CONTRIBUTING.md has no graph: put one there that begins with %q", begin)
	}
	want := drawn(reduced(imports(t)))
	if had == want {
		return
	}
	if os.Getenv("STATEIO_WRITE_GRAPH") == "" {
		t.Fatalf("CONTRIBUTING.md has another graph than the code, which is\n%srun make graph", want)
	}
	if err := os.WriteFile("CONTRIBUTING.md", []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// imports returns, for each package that users get, those of this project that it imports.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	const module = "github.com/stateio/stateio"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "work").Output()
	if err != nil {
		t.Fatal(err)
	}
	graph := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		var here []string
		for _, path := range strings.Fields(line) {
			if name, ok := strings.CutPrefix(path, module); ok {
				here = append(here, strings.TrimPrefix(name, "/"))
			}
		}
		if shipped(here[0]) {
			graph[here[0]] = here[1:]
		}
	}
	if len(graph) < 12 {
		t.Fatalf("only %d packages were found", len(graph))
	}
	return graph
}

// shipped reports whether users get a package, rather than those who work on this project.
func shipped(name string) bool {
	for _, dir := range []string{"bench", "lab", "tools", "internal/crashtest", "internal/sidebyside", "internal/record/recordtest", "prom/ruletest", "cluster/testca"} {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return false
		}
	}
	return true
}

// reduced leaves out each import that another one brings along.
func reduced(graph map[string][]string) map[string][]string {
	var reach func(from, to string, far bool) bool
	reach = func(from, to string, far bool) bool {
		return slices.ContainsFunc(graph[from], func(next string) bool {
			return far && next == to || reach(next, to, true)
		})
	}
	short := map[string][]string{}
	for name, all := range graph {
		short[name] = slices.DeleteFunc(slices.Clone(all), func(to string) bool { return reach(name, to, false) })
	}
	return short
}

// drawn returns the edges of a graph, in the language of Mermaid.
func drawn(graph map[string][]string) string {
	ids := map[string]string{}
	id := func(name string) string {
		if name == "" {
			name = "stateio"
		}
		if ids[name] == "" {
			ids[name] = strings.NewReplacer("/", "_", "-", "_").Replace(name)
		}
		return fmt.Sprintf("%s[%s]", ids[name], name)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(graph)) {
		for _, to := range slices.Sorted(slices.Values(graph[name])) {
			fmt.Fprintf(&b, "    %s --> %s\n", id(name), id(to))
		}
	}
	return b.String()
}

// Package store stays a house that is walked through in an evening: few files, each with one
// purpose and read at one sitting. What does not fit has its own room below internal. The
// files that store/doc.go names are there.
func TestPackageStoreHasFewFiles(t *testing.T) {
	const mostFiles, mostLines = 20, 620
	paths, err := filepath.Glob("store/*.go")
	if err != nil {
		t.Fatal(err)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
	if len(paths) == 0 || len(paths) > mostFiles {
		t.Errorf("package store has %d files without its tests, want %d at most: merge what is one thing, or move what needs no Store below internal", len(paths), mostFiles)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "\n"); n > mostLines {
			t.Errorf("%s has %d lines, want %d at most", path, n, mostLines)
		}
	}
	doc, err := os.ReadFile("store/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\w+\.go\b`).FindAllString(string(doc), -1)
	if len(named) < 4 {
		t.Errorf("store/doc.go names %q: want the files in which an update becomes durable", named)
	}
	for _, name := range named {
		if !slices.Contains(paths, filepath.Join("store", name)) {
			t.Errorf("store/doc.go names %s, which is not there", name)
		}
	}
}

func TestAGraphIsReduced(t *testing.T) {
	got := drawn(reduced(map[string][]string{"": {"b", "c/d"}, "b": {"c/d"}, "c/d": nil}))
	if want := "    stateio[stateio] --> b[b]\n    b[b] --> c_d[c/d]\n"; got != want {
		t.Errorf("%s", got)
	}
}
