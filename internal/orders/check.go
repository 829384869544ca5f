package orders

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Tag is the build tag of the scenarios.
const Tag = "sessioncache_orders"

const module = "github.com/sessioncache/sessioncache/"

// instead are the imports that lead elsewhere.
var instead = map[string]string{
	"sync/atomic":  module + "internal/orders/std/atomic",
	"sync":         module + "internal/orders/std/sync",
	"time":         module + "internal/orders/std/time",
	"runtime":      module + "internal/orders/std/runtime",
	"hash/maphash": module + "internal/orders/std/maphash",
}

// concurrent are the packages whose steps are seen, by their directories in the module.
var concurrent = []string{"internal/buckets", "index", "fastcache"}

// Check runs the scenarios of the package in the working directory: those tests of it that have the build
// tag Tag. keep names its other test files that these need.
func Check(t *testing.T, keep ...string) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay := writeOverlay(t, t.TempDir(), here, keep)
	args := []string{"test", "-count=1", "-v", "-vet=off", "-timeout=0", "-tags", Tag, "-overlay", overlay, "-run", cmp.Or(os.Getenv("ORDERS"), "^TestOrders"), "."}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOGC=800", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("\nok ")) {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	for line := range strings.Lines(string(out)) {
		if _, what, ok := strings.Cut(line, ".go:"); ok && strings.Contains(what, " orders (") {
			_, what, _ = strings.Cut(what, ": ")
			t.Log(strings.TrimSpace(what))
		}
	}
}

// writeOverlay writes into temp, for the go command, the concurrent packages with their imports led elsewhere. It
// hides the tests of the package in the directory here that are no scenarios.
func writeOverlay(t *testing.T, temp, here string, keep []string) string {
	t.Helper()
	root := here
	for ; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	if fault := os.Getenv("MUTANT_OVERLAY"); fault != "" { // internal/mutants shows us a fault
		text, err := os.ReadFile(fault)
		if err := errors.Join(err, json.Unmarshal(text, &overlay)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range concurrent {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			base := filepath.Base(file)
			switch {
			case !strings.HasSuffix(base, "_test.go"):
				text, err := os.ReadFile(cmp.Or(overlay.Replace[file], file))
				if err != nil {
					t.Fatal(err)
				}
				overlay.Replace[file] = filepath.Join(temp, strconv.Itoa(len(overlay.Replace))+base)
				text, err = rewrite(file, text)
				if err := errors.Join(err, os.WriteFile(overlay.Replace[file], text, 0o600)); err != nil {
					t.Fatal(err)
				}
			case filepath.Dir(file) == here && !strings.HasPrefix(base, "orders_") && !slices.Contains(keep, base):
				overlay.Replace[file] = ""
			}
		}
	}
	name := filepath.Join(temp, "overlay.json")
	text, err := json.Marshal(overlay)
	if err := errors.Join(err, os.WriteFile(name, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return name
}

// rewrite leads the imports of a file elsewhere and its go statements to Go, each on its own line.
func rewrite(name string, text []byte) ([]byte, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	type edit struct {
		from, to int
		text     string
	}
	var edits []edit
	replace := func(from, to token.Pos, text string) {
		edits = append(edits, edit{fset.Position(from).Offset, fset.Position(to).Offset, text})
	}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if to := instead[path]; to != "" {
			replace(spec.Path.Pos(), spec.Path.End(), strconv.Quote(to))
		}
	}
	starts := false
	ast.Inspect(file, func(n ast.Node) bool {
		if n, ok := n.(*ast.GoStmt); ok {
			starts = true
			replace(n.Pos(), n.Call.Pos(), "orders.Go(func() { ")
			replace(n.End(), n.End(), " })")
		}
		return true
	})
	if starts {
		replace(file.Name.End(), file.Name.End(), fmt.Sprintf("; import %q", module+"internal/orders"))
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(text[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(text[at:])
	return out.Bytes(), nil
}
