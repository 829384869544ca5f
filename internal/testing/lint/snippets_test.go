package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// languages are what may stand behind an opening fence. Only go is checked: the rest says itself
// what it is, so that no block of Go goes unchecked for want of a word.
var languages = []string{"go", "console", "output", "text", "erlang", "json", "yaml"}

// wellKnown are the packages that a block which is no whole file may use without importing them.
var wellKnown = []string{
	"bytes", "context", "crypto/tls", "crypto/x509", "errors", "expvar", "fmt", "io", "log", "net", "net/http", "os", "strings", "sync", "testing",
	"time", modulePath + "/fastcache", modulePath + "/session", modulePath + "/session/sessiontest", modulePath + "/tlscache",
	modulePath + "/timerwheel", modulePath + "/index", "google.golang.org/grpc", "google.golang.org/grpc/credentials",
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle", "github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig",
	"github.com/spiffe/go-spiffe/v2/svid/x509svid",
}

// A snippet is a block of Go on its way to the type checker.
type snippet struct {
	at      string // page:line
	module  string // the directory of the module whose packages it imports
	file    *ast.File
	imports []string
}

// snippetOf parses a block. One that is no whole file becomes the body of a function, with its own
// imports or those of the well-known packages that it names.
func snippetOf(fset *token.FileSet, p page, b block) (snippet, error) {
	s := snippet{at: fmt.Sprintf("%s:%d", p.name, b.line), module: path.Join("../../..", b.hints["module"])}
	text := b.text
	if !strings.HasPrefix(text, "package ") {
		head, body := cutImports(text)
		if head == "" {
			head = importsOf(text + b.hints["with"])
		}
		var params []string
		for with := range strings.SplitSeq(b.hints["with"], ";") {
			params = append(params, strings.TrimSpace(with))
		}
		if isDeclaration(body) {
			text = "package snippet\n" + head + body
		} else {
			text = "package snippet\n" + head + "func snippet(" + strings.Join(params, ", ") + ") {\n" + body + "}\n"
		}
	}
	file, err := parser.ParseFile(fset, s.at, text, parser.SkipObjectResolution)
	if err != nil {
		return s, err
	}
	s.file = file
	for _, spec := range file.Imports {
		s.imports = append(s.imports, strings.Trim(spec.Path.Value, `"`))
	}
	return s, nil
}

// cutImports cuts a block after the import declaration that it begins with, if it does.
func cutImports(text string) (head, body string) {
	if !strings.HasPrefix(text, "import ") {
		return "", text
	}
	end := "\n"
	if strings.HasPrefix(text, "import (") {
		end = "\n)\n"
	}
	head, body, _ = strings.Cut(text, end)
	return head + end, body
}

func isDeclaration(body string) bool {
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "func ") || strings.HasPrefix(line, "type ") {
			return true
		}
	}
	return false
}

// importsOf returns the imports of the well-known packages that a text names.
func importsOf(text string) string {
	var b strings.Builder
	for _, p := range wellKnown {
		if strings.Contains(text, path.Base(p)+".") {
			fmt.Fprintf(&b, "import %q\n", p)
		}
	}
	return b.String()
}

// exports returns the files with the type information of packages and of all that they import.
func exports(module string, imports []string) (map[string]string, error) {
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, imports...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list in %s: %w", module, err)
	}
	files := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := decoder.Decode(&p); err == io.EOF {
			return files, nil
		} else if err != nil {
			return nil, err
		}
		files[p.ImportPath] = p.Export
	}
}

// typeFaults reports what does not compile. What is declared and not used is no fault of a snippet, nor
// that it declares err anew: the reader's own code stands around it.
func typeFaults(fset *token.FileSet, snippets []snippet) (faults []string, err error) {
	imports := map[string]map[string]bool{}
	for _, s := range snippets {
		if imports[s.module] == nil {
			imports[s.module] = map[string]bool{}
		}
		for _, i := range s.imports {
			imports[s.module][i] = true
		}
	}
	importers := map[string]types.Importer{}
	for module, wanted := range imports {
		files, err := exports(module, slices.Sorted(maps.Keys(wanted)))
		if err != nil {
			return nil, err
		}
		importers[module] = importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) { return os.Open(filepath.FromSlash(files[p])) })
	}
	for _, s := range snippets {
		conf := types.Config{Importer: importers[s.module], Error: func(err error) {
			var fault types.Error
			if errors.As(err, &fault) && !strings.HasPrefix(fault.Msg, "declared and not used") && !strings.HasPrefix(fault.Msg, "no new variables") {
				faults = append(faults, fmt.Sprintf("%s: does not compile: %s", s.at, fault.Msg))
			}
		}}
		_, _ = conf.Check("snippet", fset, []*ast.File{s.file}, nil) // Error has seen every error
	}
	return faults, nil
}

// snippetFaults reports blocks that do not say what they are, and those of Go that do not compile.
func snippetFaults(all []page) (faults []string, err error) {
	fset := token.NewFileSet()
	var snippets []snippet
	for _, p := range all {
		for _, b := range p.blocks {
			if !slices.Contains(languages, b.language) {
				faults = append(faults, fmt.Sprintf("%s:%d: block of %q; want one of %v", p.name, b.line, b.language, languages))
			}
			if b.language != "go" || b.hints["copy"] != "" {
				continue
			}
			s, err := snippetOf(fset, p, b)
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s: does not parse: %v", s.at, err))
				continue
			}
			snippets = append(snippets, s)
		}
	}
	more, err := typeFaults(fset, snippets)
	return append(faults, more...), err
}

func TestCodeOfPagesCompiles(t *testing.T) {
	faults, err := snippetFaults(modulePages(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

// A program that is followed by its output is run, and prints that.
func TestProgramsOfPagesPrintWhatThePageSays(t *testing.T) {
	ran := 0
	for _, p := range modulePages(t) {
		for i, b := range p.blocks[:max(len(p.blocks)-1, 0)] {
			next := p.blocks[i+1]
			if b.language != "go" || !strings.HasPrefix(b.text, "package main\n") || next.language != "output" {
				continue
			}
			ran++
			program := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(program, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("go", "run", program)
			cmd.Dir = path.Join("../../..", b.hints["module"])
			cmd.Env = append(os.Environ(), "GOWORK=off")
			if got, err := cmd.CombinedOutput(); err != nil || string(got) != next.text {
				t.Errorf("%s:%d: printed %q, %v; want %q", p.name, b.line, got, err, next.text)
			}
		}
	}
	if ran == 0 {
		t.Error("no page has a program with its output; want the README's first one at least")
	}
}

func TestCodeThatDoesNotCompileIsReported(t *testing.T) {
	for _, tt := range []struct{ name, page, want string }{
		{"fine", "```go\nerr := errors.New(\"x\")\nerr := fmt.Errorf(\"%w\", err)\n```", ""},
		{"a whole file", "```go\npackage main\n\nfunc main() { undefined() }\n```", "p.md:1: does not compile: undefined: undefined"},
		{"a name that the page has spoken of", "<!-- with: n int; s string -->\n```go\ns = fmt.Sprint(n)\n```", ""},
		{"a name that it has not", "<!-- with: n int -->\n\n```go\nfmt.Print(n)\n```", "p.md:3: does not compile: undefined: n"},
		{"an unknown type", "```go\nvar c fastcache.Cache[*Session]\n```", "p.md:1: does not compile: undefined: Session"},
		{"a method that is gone", "```go\nvar s tlscache.Server\ns.Gone()\n```", "p.md:1: does not compile: s.Gone undefined (type tlscache.Server has no field or method Gone)"},
		{"no language", "```\nx\n```", "p.md:1: block of \"\"; want one of [go console output text erlang json yaml]"},
	} {
		faults, err := snippetFaults([]page{parsePage("p.md", tt.page)})
		if got := strings.Join(faults, "\n"); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}
