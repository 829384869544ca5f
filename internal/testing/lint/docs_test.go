package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// docs reports packages without a package comment and, outside internal/ and main
// packages, everything exported that has no comment.
func docs(src source) (faults []string) {
	described := map[string]bool{}
	for _, f := range src.files {
		described[f.dir] = described[f.dir] || !f.test && f.Doc != nil
	}
	for _, f := range src.files {
		if f.test {
			continue
		}
		if !described[f.dir] {
			described[f.dir] = true // name it once
			faults = append(faults, fmt.Sprintf("%s: package %s has no package comment", src.at(f), f.dir))
		}
		if f.Name.Name == "main" || slices.Contains(strings.Split(f.dir, "/"), "internal") {
			continue
		}
		missing := func(n ast.Node, name string) {
			faults = append(faults, fmt.Sprintf("%s: exported %s has no comment", src.at(n), name))
		}
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if name := funcName(decl); decl.Doc == nil && ast.IsExported(decl.Name.Name) && ast.IsExported(name) {
					missing(decl, name)
				}
			case *ast.GenDecl:
				src.docsOfDecl(decl, missing)
			}
		}
	}
	return faults
}

// funcName returns "Func" or "Type.Method", also for a generic Type.
func funcName(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return decl.Name.Name
	}
	recv := decl.Recv.List[0].Type
	for {
		switch typ := recv.(type) {
		case *ast.StarExpr:
			recv = typ.X
		case *ast.IndexExpr:
			recv = typ.X
		case *ast.IndexListExpr:
			recv = typ.X
		case *ast.Ident:
			return typ.Name + "." + decl.Name.Name
		default:
			return "" // a receiver that the compiler refuses
		}
	}
}

func (src source) docsOfDecl(decl *ast.GenDecl, missing func(ast.Node, string)) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec: // the comment of a group speaks for all of it
			if decl.Doc != nil || spec.Doc != nil || spec.Comment != nil {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					missing(name, decl.Tok.String()+" "+name.Name)
				}
			}
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			if spec.Doc == nil && (decl.Doc == nil || decl.Lparen != token.NoPos) {
				missing(spec, "type "+spec.Name.Name)
			}
			src.docsOfMembers(spec, missing)
		}
	}
}

// docsOfMembers looks at the fields of a struct and the methods of an interface. The
// comment of a type speaks for them where the type stands on one line; embedded ones are
// documented where they are declared.
func (src source) docsOfMembers(spec *ast.TypeSpec, missing func(ast.Node, string)) {
	var members *ast.FieldList
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		members = typ.Fields
	case *ast.InterfaceType:
		members = typ.Methods
	}
	if members == nil || src.lines(spec) == 1 {
		return
	}
	for _, member := range members.List {
		if member.Doc != nil || member.Comment != nil {
			continue
		}
		for _, name := range member.Names {
			if name.IsExported() {
				missing(name, spec.Name.Name+"."+name.Name)
			}
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) { checkModule(t, docs) }

func TestDocsReportsBrokenModules(t *testing.T) {
	checkBroken(t, docs, []brokenModule{
		{
			name: "package comment: any file may have it, test files do not count, internal needs it too",
			files: map[string]string{
				"a/a.go":              "package a",
				"a/doc.go":            "// Package a is described.\npackage a",
				"internal/b/b.go":     "package b\n\nfunc Undocumented() {}",
				"c/c.go":              "package c",
				"c/c_test.go":         "// Package c is not described here.\npackage c",
				"c/d.go":              "package c",
				"onlytests/d_test.go": "package onlytests",
			},
			want: []string{"c/c.go:1: package c has no package comment", "internal/b/b.go:1: package internal/b has no package comment"},
		},
		{
			name: "functions and methods",
			files: map[string]string{"a/a.go": `// Package a is described.
package a
func Func() {}
func (*Type) Method() {}
func (Generic[K, V]) Method() {}
func (*Generic1[K]) Method() {}
func (hidden) Method() {}
func (Type) hidden() {}
// Documented is.
func Documented() {}
`},
			want: []string{
				"a/a.go:3: exported Func has no comment",
				"a/a.go:4: exported Type.Method has no comment",
				"a/a.go:5: exported Generic.Method has no comment",
				"a/a.go:6: exported Generic1.Method has no comment",
			},
		},
		{
			name: "constants and variables",
			files: map[string]string{"a/a.go": `// Package a is described.
package a
const Const = 1
var Var1, hidden, Var2 = 1, 2, 3
// A group.
const (
	A = 1
	B = 2
)
var (
	C = 1
	D = 2 // described
)
`},
			want: []string{
				"a/a.go:3: exported const Const has no comment",
				"a/a.go:4: exported var Var1 has no comment",
				"a/a.go:4: exported var Var2 has no comment",
				"a/a.go:11: exported var C has no comment",
			},
		},
		{
			name: "types, fields and interface methods",
			files: map[string]string{"a/a.go": `// Package a is described.
package a
type Bare int
// A group of types.
type (
	Grouped int
	hidden  struct{ Field int }
)
// Key is short enough.
type Key struct{ Partial, ID string }
// Entry has members.
type Entry struct {
	// Above is described.
	Above int
	Bare  int
	Right int // described
	under int
	Key
}
// Store has methods.
type Store interface {
	Lookup()
	// Update is described.
	Update()
}
`},
			want: []string{
				"a/a.go:3: exported type Bare has no comment",
				"a/a.go:6: exported type Grouped has no comment",
				"a/a.go:15: exported Entry.Bare has no comment",
				"a/a.go:22: exported Store.Lookup has no comment",
			},
		},
		{
			name:  "commands export nothing",
			files: map[string]string{"cmd/a/a.go": "// Command a is described.\npackage main\n\nfunc Exported() {}\n"},
		},
	})
}
