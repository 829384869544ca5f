package lint

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// What a reader can hold in view: a function on a screen, a file in a sitting. Tables of
// tests are read differently, so test files are free.
const (
	maxFuncLines = 60
	maxFileLines = 500
)

// sizes reports functions and files that are too long.
func sizes(src source) (faults []string) {
	for _, f := range src.files {
		if f.test {
			continue
		}
		if n := src.fset.File(f.FileStart).LineCount(); n > maxFileLines {
			faults = append(faults, fmt.Sprintf("%s: file has %d lines; want at most %d",
				src.fset.Position(f.Package).Filename, n, maxFileLines))
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.FuncDecl, *ast.FuncLit: // the comment above is no part of either
				if lines := src.lines(n); lines > maxFuncLines {
					faults = append(faults, fmt.Sprintf("%s: function has %d lines; want at most %d", src.at(n), lines, maxFuncLines))
				}
			}
			return true
		})
	}
	return faults
}

func TestFunctionsAndFilesAreShort(t *testing.T) { checkModule(t, sizes) }

func TestSizesReportsBrokenModules(t *testing.T) {
	function := func(lines int) string { return "func f() {" + strings.Repeat("\n", lines-1) + "}\n" }
	long := function(maxFuncLines + 1)
	checkBroken(t, sizes, []brokenModule{
		{
			name: "functions",
			files: map[string]string{
				"a/fits.go":   "package a\n" + strings.Repeat("// Comments above are free.\n", 60) + function(maxFuncLines),
				"a/long.go":   "package a\n" + long,
				"a/lit.go":    "package a\nvar f = " + strings.Replace(long, " f", "", 1),
				"a/a_test.go": "package a\n" + long,
			},
			want: []string{
				"a/lit.go:2: function has 61 lines; want at most 60",
				"a/long.go:2: function has 61 lines; want at most 60",
			},
		},
		{
			name: "files",
			files: map[string]string{
				"a/fits.go":   "package a\n" + strings.Repeat("\n", maxFileLines-1),
				"a/long.go":   "package a\n" + strings.Repeat("\n", maxFileLines),
				"a/a_test.go": "package a\n" + strings.Repeat("\n", maxFileLines),
			},
			want: []string{"a/long.go: file has 501 lines; want at most 500"},
		},
	})
}
