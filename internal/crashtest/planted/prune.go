package planted

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// prune returns the test files of dir, by their paths, with nothing left in them
// that the test of that name can be compiled without; a file of nothing is empty.
// Most of the time that a planted bug takes is the compiler's, and most of that is
// for tests that are not run.
func prune(dir, test string) (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	p := pruner{byName: map[string][]*decl{}}
	for _, path := range paths {
		if err := p.parse(path); err != nil {
			return nil, err
		}
	}
	p.need("TestMain")
	p.need("init")
	top, _, _ := strings.Cut(test, "/")
	if p.need(top); p.byName[top] == nil {
		return nil, fmt.Errorf("no file of %s declares %s", dir, top)
	}
	pruned := map[string]string{}
	for _, f := range p.files {
		pruned[f.path] = f.pruned()
	}
	return pruned, nil
}

// A pruner goes by names alone: it may keep more than is needed, never less.
type pruner struct {
	files  []*testFile
	byName map[string][]*decl
}

type testFile struct {
	path  string
	src   string
	ast   *ast.File
	base  int // the position of the first byte
	decls []*decl
}

// A decl is a declaration at the top of a file. A method goes by the name of its
// type.
type decl struct {
	ast.Decl
	needed bool
}

func (p *pruner) parse(path string) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	f := &testFile{path: path, src: string(src)}
	if f.ast, err = parser.ParseFile(set, path, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return err
	}
	f.base = set.File(f.ast.Pos()).Base()
	for _, d := range f.ast.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			continue
		}
		d := &decl{Decl: d}
		f.decls = append(f.decls, d)
		for _, name := range declared(d.Decl) {
			p.byName[name] = append(p.byName[name], d)
		}
	}
	p.files = append(p.files, f)
	return nil
}

// declared returns the names that d declares.
func declared(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil {
			return []string{receiver(d.Recv.List[0].Type)}
		}
		return []string{d.Name.Name}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, name := range s.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// receiver returns the name of the type of a receiver, pointer or not, generic or
// not.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// need marks what declares name, and all that this uses in turn.
func (p *pruner) need(name string) {
	if name == "_" {
		return
	}
	for _, d := range p.byName[name] {
		if d.needed {
			continue
		}
		d.needed = true
		ast.Inspect(d.Decl, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name != name {
				p.need(id.Name)
			}
			return true
		})
	}
}

// pruned returns the file with spaces in place of what is not needed, so that the
// numbers of lines stay.
func (f *testFile) pruned() string {
	src := []byte(f.src)
	blank := func(n ast.Node, doc *ast.CommentGroup) {
		from := n.Pos()
		if doc != nil {
			from = doc.Pos()
		}
		for i := int(from) - f.base; i < int(n.End())-f.base; i++ {
			if src[i] != '\n' {
				src[i] = ' '
			}
		}
	}
	used, empty := map[string]bool{}, true
	for _, d := range f.decls {
		if !d.needed {
			blank(d.Decl, doc(d.Decl))
			continue
		}
		empty = false
		ast.Inspect(d.Decl, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					used[x.Name] = true
				}
			}
			return true
		})
	}
	if empty {
		return ""
	}
	for _, d := range f.ast.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			for _, s := range g.Specs {
				if name := imported(s.(*ast.ImportSpec)); name != "_" && !used[name] {
					blank(s, nil)
				}
			}
			if !g.Lparen.IsValid() && strings.TrimSpace(string(src[int(g.Specs[0].Pos())-f.base:int(g.End())-f.base])) == "" {
				blank(g, nil)
			}
		}
	}
	return string(src)
}

// doc returns the comment before a declaration, if there is one.
func doc(d ast.Decl) *ast.CommentGroup {
	if f, ok := d.(*ast.FuncDecl); ok {
		return f.Doc
	}
	return d.(*ast.GenDecl).Doc
}

// imported returns the name by which a file knows what it imports: where it does
// not say, the last part of the path that is not a version.
func imported(s *ast.ImportSpec) string {
	if s.Name != nil {
		return s.Name.Name
	}
	p, _ := strconv.Unquote(s.Path.Value)
	if base := path.Base(p); len(base) < 2 || base[0] != 'v' || strings.Trim(base[1:], "0123456789") != "" {
		return base
	}
	return path.Base(path.Dir(p))
}
