package lint

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// copyFaults reports blocks that differ from the files that they are copies of, and files of copied directories that no page shows.
func copyFaults(fsys fs.FS, all []page, dir string) (faults []string) {
	shown := map[string]bool{}
	for _, p := range all {
		for _, b := range p.blocks {
			name := b.hints["copy"]
			if name == "" {
				continue
			}
			shown[name] = true
			text, err := fs.ReadFile(fsys, name)
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s:%d: copy of %s, which cannot be read: %v", p.name, b.line, name, err))
			} else if string(text) != b.text {
				faults = append(faults, fmt.Sprintf("%s:%d: differs from %s", p.name, b.line, name))
			}
		}
	}
	files, err := fs.Glob(fsys, dir+"/*/*/*.go")
	if err != nil || len(files) == 0 {
		faults = append(faults, fmt.Sprintf("%s has no files of two levels below: %v", dir, err))
	}
	for _, name := range files {
		if !shown[name] {
			faults = append(faults, fmt.Sprintf("%s is on no page", name))
		}
	}
	return faults
}

// The module of the benchmarks compiles and runs the code of the pages of migrations.
func TestCopiesOnPagesAreTheFiles(t *testing.T) {
	for _, fault := range copyFaults(os.DirFS("../../.."), modulePages(t), "benchmarks/internal/migrate") {
		t.Error(fault)
	}
}

func TestCopiesThatDifferAreReported(t *testing.T) {
	fsys := mapFS(map[string]string{"m/a/before/x.go": "package x\n", "m/a/after/y.go": "package y\n", "m/b/after/z.go": "package z\n"})
	p := parsePage("p.md", strings.Join([]string{
		"<!-- copy: m/a/before/x.go -->", "```go", "package x", "```", "",
		"<!-- copy: m/a/after/y.go -->", "```go", "package z", "```", "",
		"<!-- copy: m/gone.go -->", "```go", "```"}, "\n"))
	got := copyFaults(fsys, []page{p}, "m")
	if len(got) != 3 || got[0] != "p.md:7: differs from m/a/after/y.go" ||
		!strings.HasPrefix(got[1], "p.md:12: copy of m/gone.go, which cannot be read") || !slices.Contains(got, "m/b/after/z.go is on no page") {
		t.Errorf("got %q; want a copy that differs, one of no file, and a file that no page shows", got)
	}
}
