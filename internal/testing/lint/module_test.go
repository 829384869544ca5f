package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const modulePath = "github.com/sessioncache/sessioncache"

// tool is a module of its own for the sake of its libraries. Its packages keep the rules of this module all the same.
const tool = "cmd/sessioncache"

// A source is the Go code of a module: every file, whatever its build constraints.
type source struct {
	fset  *token.FileSet // names files by their path in the module
	files []file
}

type file struct {
	dir  string // of the package, "." for the root
	test bool   // the name ends in _test.go
	*ast.File
}

// load parses the module in fsys. It reads directories and not the output of go list, so
// that files for other platforms obey too.
func load(fsys fs.FS) (source, error) {
	src := source{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && notOurs(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(src.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		src.files = append(src.files, file{path.Dir(name), strings.HasSuffix(name, "_test.go"), parsed})
		return nil
	})
	return src, err
}

// notOurs tells the directories that the go command would not count to the module, or to the tool's.
func notOurs(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil && dir != tool || base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_'
}

// at returns "file:line" of a node.
func (src source) at(n ast.Node) string {
	pos := src.fset.Position(n.Pos())
	pos.Column = 0
	return pos.String()
}

// lines counts the lines that a node stands on.
func (src source) lines(n ast.Node) int {
	return src.fset.Position(n.End()).Line - src.fset.Position(n.Pos()).Line + 1
}

// checkModule runs a rule over this module.
func checkModule(t *testing.T, rule func(source) []string) {
	t.Helper()
	src, err := load(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(src.files, func(f file) bool { return f.dir == "internal/testing/lint" && !f.test }) {
		t.Fatal("load did not find this package's own doc.go; it looks at the wrong directory")
	}
	for _, fault := range rule(src) {
		t.Error(fault)
	}
}

// A broken module and the faults that a rule must find in it, in order.
type brokenModule struct {
	name  string
	files map[string]string
	want  []string
}

// checkBroken runs a rule over modules that break it.
func checkBroken(t *testing.T, rule func(source) []string, tests []brokenModule) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := load(mapFS(tt.files))
			if err != nil {
				t.Fatal(err)
			}
			if got := rule(src); !slices.Equal(got, tt.want) {
				t.Errorf("got faults\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(tt.want, "\n\t"))
			}
		})
	}
}

func mapFS(files map[string]string) fs.FS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}
