package orders

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
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
	"sync/atomic":  module + "internal/testing/orders/std/atomic",
	"sync":         module + "internal/testing/orders/std/sync",
	"time":         module + "internal/testing/orders/std/time",
	"runtime":      module + "internal/testing/orders/std/runtime",
	"hash/maphash": module + "internal/testing/orders/std/maphash",
}

// concurrent are the packages whose steps are seen, by their directories in the module, and the fields whose plain
// accesses are checked for data races, in whichever of a package's types.
var concurrent = []struct {
	dir    string
	fields []string
}{
	{"internal/buckets", nil},
	{"index", []string{"prev", "partial", "digest", "place", "mapped", "count", "room", "split"}},
	{"fastcache", []string{"value", "slot", // of an entry
		"closed", "reports", "delivering", "inserted", "resident", "place", "hash", "free", "work", "maxWork", "delivers", "leased", // of a shard
		"timer", "pending", "passing", "wakeUps", // of the alarm
		"byPartial",       // of the leases
		"count", "hand"}}, // of a sweep; of what is taken in turn on an overflow
}

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
	if os.Getenv("MUTANT_OVERLAY") != "" { // one failure says that the fault was noticed
		args = slices.Insert(args, 1, "-failfast")
	}
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
	if fault := os.Getenv("MUTANT_OVERLAY"); fault != "" { // internal/testing/mutants shows us a fault
		text, err := os.ReadFile(fault)
		if err := errors.Join(err, json.Unmarshal(text, &overlay)); err != nil {
			t.Fatal(err)
		}
	}
	for _, pkg := range concurrent {
		files, err := filepath.Glob(filepath.Join(root, pkg.dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, file := range files {
			base := filepath.Base(file)
			switch {
			case !strings.HasSuffix(base, "_test.go"):
				text, err := os.ReadFile(cmp.Or(overlay.Replace[file], file))
				if err != nil {
					t.Fatal(err)
				}
				overlay.Replace[file] = filepath.Join(temp, strconv.Itoa(len(overlay.Replace))+base)
				text, err = rewrite(file, text, pkg.fields, seen)
				if err := errors.Join(err, os.WriteFile(overlay.Replace[file], text, 0o600)); err != nil {
					t.Fatal(err)
				}
			case filepath.Dir(file) == here && !strings.HasPrefix(base, "orders_") && !slices.Contains(keep, base):
				overlay.Replace[file] = ""
			}
		}
		for _, field := range pkg.fields {
			if !seen[field] {
				t.Fatalf("no code in %s accesses the field %s any more, whose accesses are to be checked", pkg.dir, field)
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
