package orders

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// A rewriter changes the text of a file, each line in its place.
type rewriter struct {
	fset   *token.FileSet
	fields []string        // whose accesses are led through Reading and Writing
	seen   map[string]bool // those of them that were found
	edits  []edit
	called bool // the package orders is
}

// An edit puts text at a place, instead of what is there up to another.
type edit struct {
	from, to int
	rank     int // at one place: first the inner ends, then the outer ones, then beginnings
	text     string
}

// rewrite leads the imports of a file elsewhere, and to this package its go statements, its channels, the accesses to
// fields and plain stores through an unsafe.Pointer.
func rewrite(name string, text []byte, fields []string, seen map[string]bool) ([]byte, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	w := &rewriter{fset: fset, fields: fields, seen: seen}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if to := instead[path]; to != "" {
			w.put(spec.Path.Pos(), spec.Path.End(), strconv.Quote(to))
		}
	}
	ast.Inspect(file, w.visit)
	if w.called {
		w.put(file.Name.End(), file.Name.End(), fmt.Sprintf("; import %q", module+"internal/testing/orders"))
	}
	slices.SortFunc(w.edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rank, b.rank)) })
	var out bytes.Buffer
	at := 0
	for _, e := range w.edits {
		out.Write(text[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(text[at:])
	return out.Bytes(), nil
}

func (w *rewriter) put(from, to token.Pos, text string) {
	rank := len(w.edits)
	if strings.HasSuffix(text, ")") {
		rank = -rank
	}
	w.edits = append(w.edits, edit{w.fset.Position(from).Offset, w.fset.Position(to).Offset, rank, text})
}

// around puts text on both sides of an expression.
func (w *rewriter) around(n ast.Expr, before, after string) {
	w.called = true
	w.put(n.Pos(), n.Pos(), before)
	w.put(n.End(), n.End(), after)
}

func (w *rewriter) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		w.called = true
		w.put(n.Pos(), n.Call.Pos(), "orders.Go(func() { ")
		w.put(n.End(), n.End(), " })")
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "close" {
			w.called = true
			w.put(f.Pos(), f.End(), "orders.Close")
		}
	case *ast.UnaryExpr:
		switch n.Op {
		case token.ARROW:
			w.called = true
			w.put(n.Pos(), n.X.Pos(), "orders.Receive(")
			w.put(n.End(), n.End(), ")")
		case token.AND:
			if s, ok := n.X.(*ast.SelectorExpr); ok { // an address is no access
				ast.Inspect(s.X, w.visit)
				return false
			}
		}
	case *ast.AssignStmt:
		for _, left := range n.Lhs {
			w.written(left)
		}
		for _, right := range n.Rhs {
			ast.Inspect(right, w.visit)
		}
		return false
	case *ast.IncDecStmt:
		w.written(n.X)
		return false
	case *ast.SelectorExpr:
		w.access(n, "Reading")
	}
	return true
}

// written looks at what is assigned to.
func (w *rewriter) written(left ast.Expr) {
	switch n := left.(type) {
	case *ast.SelectorExpr:
		w.access(n, "Writing")
		ast.Inspect(n.X, w.visit)
		return
	case *ast.IndexExpr: // an element of an array, which counts for all
		if array, ok := n.X.(*ast.SelectorExpr); ok {
			w.access(array, "Writing")
			ast.Inspect(array.X, w.visit)
			ast.Inspect(n.Index, w.visit)
			return
		}
	case *ast.StarExpr:
		if call, ok := n.X.(*ast.CallExpr); ok && len(call.Args) == 1 && isUnsafePointer(call.Args[0]) {
			w.around(call.Args[0], "orders.Storing(", ")")
		}
	}
	ast.Inspect(left, w.visit)
}

func isUnsafePointer(n ast.Expr) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Pointer"
}

// access leads an access through Reading or Writing.
func (w *rewriter) access(n *ast.SelectorExpr, how string) {
	if slices.Contains(w.fields, n.Sel.Name) {
		w.seen[n.Sel.Name] = true
		w.around(n, "(*orders."+how+"(&", "))")
	}
}
