package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A checker checks the types of packages with one of their files changed.
type checker struct {
	fset     *token.FileSet
	importer types.Importer
	parsed   map[string]map[string]*ast.File // by directory and name: the files as they are
}

// newChecker asks the go command for what packages export, which it compiles if need be.
func newChecker(t *testing.T) *checker {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", "./fastcache", "./session/...", "./tlscache/...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	c := &checker{fset: token.NewFileSet(), parsed: map[string]map[string]*ast.File{}}
	c.importer = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s is not imported by the code as it is", path)
		}
		return os.Open(exports[path])
	})
	return c
}

// files returns the parsed files of a package, but for one.
func (c *checker) files(dir, except string) (files []*ast.File, err error) {
	known, ok := c.parsed[dir]
	if !ok {
		known = map[string]*ast.File{}
		p, err := build.ImportDir(filepath.Join(root, dir), 0)
		if err != nil {
			return nil, err
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(c.fset, filepath.Join(root, dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			known[name] = f
		}
		c.parsed[dir] = known
	}
	for name, f := range known {
		if name != except {
			files = append(files, f)
		}
	}
	return files, nil
}

// check reports why a package with a fault does not compile.
func (c *checker) check(m mutant) error {
	text, err := m.mutated(root)
	if err != nil {
		return nil // TestEachMutantFitsTheCode says so
	}
	files, err := c.files(m.dir(), filepath.Base(m.file))
	if err != nil {
		return err
	}
	changed, err := parser.ParseFile(c.fset, m.file, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	cfg := types.Config{Importer: c.importer, Sizes: types.SizesFor("gc", build.Default.GOARCH)}
	_, err = cfg.Check(m.dir(), c.fset, append(files, changed), nil)
	return err
}

// A fault that does not compile is found by no test, and says nothing of them.
func TestEachMutantCompiles(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	all, err := readAll()
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(t)
	for _, m := range all {
		if err := c.check(m); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	broken := all[0]
	broken.new = "\tvar unused int\n"
	if c.check(broken) == nil {
		t.Errorf("%s with an unused variable in place of its text compiles", broken.name)
	}
}
