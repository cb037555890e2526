package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// A plant is a package with all its mutants.
type plant struct {
	*source
	mutants []*mutant
	sites   map[*file][]*site // the outermost of each file, in order
	alike   map[string]int    // how many mutants read so
}

// grow finds the mutants of the files of s that want asks for.
func grow(s *source, want func(file string) bool) *plant {
	p := &plant{source: s, sites: map[*file][]*site{}, alike: map[string]int{}}
	for _, f := range s.files {
		if want(f.name) {
			w := &walk{plant: p, file: f}
			ast.Inspect(f.syntax, w.visit)
		}
	}
	return p
}

// A walk goes through a file and makes the mutants of each node.
type walk struct {
	*plant
	file  *file
	path  []ast.Node // from the file to the node that is visited
	sites []*site    // that the node is in; nil where a node of path is none
}

func (w *walk) visit(n ast.Node) bool {
	if n == nil {
		w.path = w.path[:len(w.path)-1]
		w.sites = w.sites[:len(w.sites)-1]
		return true
	}
	w.path = append(w.path, n)
	w.sites = append(w.sites, nil)
	if !w.mutate(n) {
		w.visit(nil)
		return false
	}
	return true
}

// mutate makes the mutants of n, and reports whether to go on into it.
func (w *walk) mutate(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.ImportSpec:
		return false
	case ast.Expr:
		return w.expr(n)
	case ast.Stmt:
		w.stmt(n)
	}
	return true
}

// parent returns the node that the one visited is in, but for parentheses.
func (w *walk) parent() ast.Node {
	for i := len(w.path) - 2; i >= 0; i-- {
		if _, ok := w.path[i].(*ast.ParenExpr); !ok {
			return w.path[i]
		}
	}
	return nil
}

// here returns the site of the node that is visited.
func (w *walk) here() *site {
	i := len(w.sites) - 1
	if s := w.sites[i]; s != nil {
		return s
	}
	s := &site{from: w.offset(w.path[i].Pos()), to: w.offset(w.path[i].End())}
	w.sites[i] = s
	for i--; i >= 0; i-- {
		if outer := w.sites[i]; outer != nil {
			outer.inner = append(outer.inner, s)
			return s
		}
	}
	w.plant.sites[w.file] = append(w.plant.sites[w.file], s)
	return s
}

// add adds a mutant of the node that is visited, whose text replaces the node.
func (w *walk) add(text string) int {
	n := w.path[len(w.path)-1]
	return w.addAt(n.Pos(), n.End(), text)
}

func (w *walk) addAt(from, to token.Pos, text string) int {
	m := &mutant{
		id: len(w.mutants), file: w.file, fn: w.function(), line: w.fset.Position(from).Line,
		from: w.offset(from), to: w.offset(to), text: text,
	}
	w.mutants = append(w.mutants, m)
	w.alike[m.reads()]++
	m.nth = w.alike[m.reads()]
	return m.id
}

// text returns the source of n.
func (w *walk) text(n ast.Node) string {
	return string(w.file.text[w.offset(n.Pos()):w.offset(n.End())])
}

func (w *walk) offset(p token.Pos) int { return int(p - w.file.syntax.FileStart) }

// function returns the name of the declared function that is visited.
func (w *walk) function() string {
	for _, n := range w.path {
		f, ok := n.(*ast.FuncDecl)
		switch {
		case !ok:
		case f.Recv == nil:
			return f.Name.Name
		default:
			return strings.TrimPrefix(w.text(f.Recv.List[0].Type), "*") + "." + f.Name.Name
		}
	}
	return ""
}

// results returns the results of the function, or function literal, that is visited.
func (w *walk) results() *types.Tuple {
	for i := len(w.path) - 1; i >= 0; i-- {
		switch f := w.path[i].(type) {
		case *ast.FuncLit:
			return w.info.TypeOf(f).(*types.Signature).Results()
		case *ast.FuncDecl:
			return w.info.Defs[f.Name].Type().(*types.Signature).Results()
		}
	}
	return nil
}
