package main

import (
	"fmt"
	"go/ast"
	"go/token"
)

// stmt makes the mutants of n as a whole.
func (w *walk) stmt(n ast.Stmt) {
	switch in := w.path[len(w.path)-2].(type) {
	case *ast.BlockStmt, *ast.CaseClause:
	case *ast.CommClause:
		if n == in.Comm {
			return // what a select waits for
		}
	default:
		return // of a header, or labelled
	}
	switch n := n.(type) {
	case *ast.ExprStmt:
		if !isPanic(n.X) {
			w.leaveOut()
		}
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE && !onlyBlanks(n.Lhs) {
			w.leaveOut()
		}
	case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt:
		w.leaveOut()
	case *ast.BranchStmt:
		w.branch(n)
	}
}

// leaveOut makes the mutant that lacks the statement that is visited.
func (w *walk) leaveOut() {
	id := w.add("/* left out: " + oneLine([]byte(w.text(w.path[len(w.path)-1]))) + " */")
	s := w.here()
	s.wraps = append(s.wraps, func(text string) string {
		return fmt.Sprintf("if !mutant(%d) { %s }", id, text)
	})
}

// branch makes the mutant of break or continue that is the other of them.
func (w *walk) branch(n *ast.BranchStmt) {
	instead := map[token.Token]string{token.BREAK: "continue", token.CONTINUE: "break"}[n.Tok]
	if instead == "" || n.Label != nil || !w.inLoop(n.Tok) {
		return
	}
	id := w.add(instead)
	s := w.here()
	s.wraps = append(s.wraps, func(text string) string {
		return fmt.Sprintf("if mutant(%d) { %s } else { %s }", id, instead, text)
	})
}

// inLoop reports whether a loop is around, and the other branch is allowed: a
// break in a for without a condition would make it end, and what is behind it
// need a return.
func (w *walk) inLoop(tok token.Token) bool {
	for i := len(w.path) - 1; i >= 0; i-- {
		switch n := w.path[i].(type) {
		case *ast.FuncLit, *ast.FuncDecl:
			return false
		case *ast.RangeStmt:
			return true
		case *ast.ForStmt:
			return tok == token.BREAK || n.Cond != nil || w.results().Len() == 0
		case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			if tok == token.CONTINUE {
				return false // the break would leave this, and not the loop
			}
		}
	}
	return false
}

func isPanic(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	name, ok := call.Fun.(*ast.Ident)
	return ok && name.Name == "panic"
}

func onlyBlanks(lhs []ast.Expr) bool {
	for _, e := range lhs {
		if name, ok := e.(*ast.Ident); !ok || name.Name != "_" {
			return false
		}
	}
	return true
}
