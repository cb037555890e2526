package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A source is one type-checked package: what is to be mutated.
type source struct {
	dir   string
	path  string // of import
	fset  *token.FileSet
	files []*file
	info  *types.Info
	pkg   *types.Package
}

// A file is a source file as it is on disk.
type file struct {
	name   string // absolute
	text   []byte
	syntax *ast.File
}

// load parses and checks the package that pattern names, in the workspace
// that root belongs to.
func load(root, pattern string) (*source, error) {
	listed, err := list(root, pattern)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range listed {
		exports[p.ImportPath] = p.Export
	}
	target := listed[len(listed)-1] // go list -deps ends with what was asked for
	s := &source{dir: target.Dir, path: target.ImportPath, fset: token.NewFileSet()}
	var syntax []*ast.File
	for _, name := range target.GoFiles {
		f := &file{name: filepath.Join(target.Dir, name)}
		if f.text, err = os.ReadFile(f.name); err != nil {
			return nil, err
		}
		if f.syntax, err = parser.ParseFile(s.fset, f.name, f.text, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
		syntax = append(syntax, f.syntax)
	}
	config := types.Config{Importer: importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	s.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{},
		Defs:  map[*ast.Ident]types.Object{},
		Uses:  map[*ast.Ident]types.Object{},
	}
	s.pkg, err = config.Check(s.path, s.fset, syntax, s.info)
	return s, err
}

// A listing is what go list tells of a package.
type listing struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
}

// list returns the package that pattern names, as the last, and all that it
// imports.
func list(root, pattern string) ([]listing, error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=Dir,ImportPath,Export,GoFiles", pattern)
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", pattern, err, &stderr)
	}
	var all []listing
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listing
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF) && len(all) > 0:
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("go list %s: %w", pattern, err)
		}
		all = append(all, p)
	}
}
