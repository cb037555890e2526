package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
)

// expr makes the mutants of e, and reports whether to go on into it.
func (w *walk) expr(e ast.Expr) bool {
	if _, ok := e.(*ast.ParenExpr); ok {
		return true
	}
	tv, known := w.info.Types[e]
	switch {
	case !known:
		return true // as the name of a field
	case tv.IsType():
		return false
	case tv.Value != nil:
		w.constant(e, tv)
		return false
	}
	if b, ok := e.(*ast.BinaryExpr); ok {
		w.binary(b)
	}
	if t, ok := tv.Type.(*types.Basic); ok && t.Info()&types.IsBoolean != 0 {
		w.boolean(e)
	}
	w.returned(e, tv.Type)
	return true
}

// switches of operators, and what the mutant has instead
var operators = map[token.Token]struct {
	function string
	instead  token.Token
}{
	token.ADD: {"mutantAdd", token.SUB},
	token.SUB: {"mutantSub", token.ADD},
	token.MUL: {"mutantMul", token.QUO},
	token.QUO: {"mutantDiv", token.MUL},
	token.AND: {"mutantAnd", token.OR},
	token.OR:  {"mutantOr", token.AND},
	token.LSS: {"mutantLess", token.LEQ},
	token.LEQ: {"mutantLessEqual", token.LSS},
	token.GTR: {"mutantLess", token.GEQ},
	token.GEQ: {"mutantLessEqual", token.GTR},
}

// binary makes the mutant of an operator.
func (w *walk) binary(e *ast.BinaryExpr) {
	op, ok := operators[e.Op]
	if !ok || !w.numeric(e.X) || !w.numeric(e.Y) {
		return
	}
	x, y := e.X, e.Y
	switch e.Op {
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		if w.info.Types[x].Value != nil || w.info.Types[y].Value != nil {
			return // one more or less of the constant does it
		}
		if e.Op == token.GTR || e.Op == token.GEQ {
			x, y = y, x
		}
	}
	id := w.addAt(e.OpPos, e.OpPos+token.Pos(len(e.Op.String())), op.instead.String())
	w.here().base = func(inner func(from, to token.Pos) string) string {
		return fmt.Sprintf("%s(%d, %s, %s)", op.function, id, inner(x.Pos(), x.End()), inner(y.Pos(), y.End()))
	}
}

func (w *walk) numeric(e ast.Expr) bool {
	t, ok := w.info.TypeOf(e).Underlying().(*types.Basic)
	return ok && t.Info()&(types.IsInteger|types.IsFloat) != 0
}

// boolean makes the mutants of an e that is not constant.
func (w *walk) boolean(e ast.Expr) {
	both := false
	switch p := w.parent().(type) {
	case *ast.BinaryExpr:
		w.operand(e, p)
		return
	case *ast.IfStmt, *ast.ReturnStmt, *ast.CaseClause:
		both = true
	case *ast.ForStmt: // one without end would only cost time
	case *ast.ExprStmt, *ast.UnaryExpr, *ast.DeferStmt, *ast.GoStmt:
		return
	default:
		switch e.(type) {
		case *ast.BinaryExpr, *ast.UnaryExpr, *ast.CallExpr:
			both = true
		default:
			return
		}
	}
	if both {
		w.always("true")
	}
	w.always("false")
}

// operand makes the mutant of an operand of && or || that has no say.
func (w *walk) operand(e ast.Expr, of *ast.BinaryExpr) {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == of.Op {
		return // its own operands do
	}
	switch of.Op {
	case token.LAND:
		w.always("true")
	case token.LOR:
		w.always("false")
	}
}

func (w *walk) always(value string) {
	function := "mutantTrue"
	if value == "false" {
		function = "mutantFalse"
	}
	w.wrap(w.add(value), function)
}

// wrap makes mutant id the one that function does with what is visited.
func (w *walk) wrap(id int, function string) {
	s := w.here()
	s.wraps = append(s.wraps, func(text string) string {
		return fmt.Sprintf("%s(%d, %s)", function, id, text)
	})
}

// returned makes the mutant of an error that is returned.
func (w *walk) returned(e ast.Expr, t types.Type) {
	ret, ok := w.parent().(*ast.ReturnStmt)
	results := w.results()
	if !ok || results.Len() != len(ret.Results) || types.Identical(t, types.Typ[types.UntypedNil]) {
		return
	}
	for i, r := range ret.Results {
		if ast.Unparen(r) == e && types.Identical(results.At(i).Type(), types.Universe.Lookup("error").Type()) {
			w.wrap(w.add("nil"), "mutantError")
		}
	}
}

// constant makes the mutants of a constant e that is no part of a larger one.
func (w *walk) constant(e ast.Expr, tv types.TypeAndValue) {
	t, ok := tv.Type.Underlying().(*types.Basic)
	switch {
	case !ok || t.Info()&types.IsUntyped != 0 || w.isKey(e) || w.besideError():
	case t.Kind() == types.Bool && types.Identical(t, tv.Type):
		if constant.BoolVal(tv.Value) {
			w.always("false")
		} else {
			w.always("true")
		}
	case t.Info()&types.IsInteger != 0:
		w.integer(e, tv, t)
	}
}

// isKey reports whether e is the index of an element in a composite literal.
func (w *walk) isKey(e ast.Expr) bool {
	kv, ok := w.parent().(*ast.KeyValueExpr)
	return ok && ast.Unparen(kv.Key) == e
}

// besideError reports whether what is visited is returned together with an
// error that is not nil: nobody looks at it then.
func (w *walk) besideError() bool {
	ret, ok := w.parent().(*ast.ReturnStmt)
	if !ok || len(ret.Results) < 2 {
		return false
	}
	t := w.info.Types[ret.Results[len(ret.Results)-1]]
	return !t.IsNil() && types.Identical(t.Type, types.Universe.Lookup("error").Type())
}

func (w *walk) integer(e ast.Expr, tv types.TypeAndValue, t *types.Basic) {
	name, ok := w.typeName(tv.Type)
	if !ok || name == "time.Duration" {
		return
	}
	less := constant.Sign(tv.Value) != 0
	switch p := w.parent().(type) {
	case *ast.BinaryExpr:
		less = less || p.Op != token.EQL && p.Op != token.NEQ
		if p.Op == token.EQL || p.Op == token.NEQ {
			less = false // differs, as one more does
		}
	case *ast.IndexExpr, *ast.SliceExpr:
	case *ast.CaseClause:
		less = false
	default:
		less = true
	}
	text := w.text(e)
	if _, ok := e.(*ast.BinaryExpr); ok {
		text = "(" + text + ")"
	}
	one := constant.MakeInt64(1)
	if fits(constant.BinaryOp(tv.Value, token.ADD, one), t) {
		w.wrapConstant(name, text+" + 1")
	}
	if less && fits(constant.BinaryOp(tv.Value, token.SUB, one), t) {
		w.wrapConstant(name, text+" - 1")
	}
}

func (w *walk) wrapConstant(typ, instead string) {
	id := w.add(instead)
	s := w.here()
	s.wraps = append(s.wraps, func(text string) string {
		return fmt.Sprintf("mutantConst[%s](%d, %s, %s)", typ, id, text, instead)
	})
}

// fits reports whether a constant of type t can have value v.
func fits(v constant.Value, t *types.Basic) bool {
	bits := map[types.BasicKind]int{
		types.Int8: 8, types.Int16: 16, types.Int32: 32, types.Uint8: 8, types.Uint16: 16, types.Uint32: 32,
	}[t.Kind()]
	if bits == 0 {
		bits = 64
	}
	if t.Info()&types.IsUnsigned != 0 {
		return constant.Sign(v) >= 0 && constant.BitLen(v) <= bits
	}
	return constant.BitLen(v) < bits
}

// typeName returns what t is called where the node that is visited stands.
func (w *walk) typeName(t types.Type) (string, bool) {
	pos := w.path[len(w.path)-1].Pos()
	scope := w.pkg.Scope().Innermost(pos)
	ok := true
	name := types.TypeString(t, func(p *types.Package) string {
		if p == w.pkg {
			return ""
		}
		_, object := scope.LookupParent(p.Name(), pos) // a variable may have the name
		imported, is := object.(*types.PkgName)
		ok = ok && is && imported.Imported() == p
		return p.Name()
	})
	return name, ok
}
