package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The libraries that packages of this module may import. A library that is not here
// belongs into a nested module: a user of ours pays for what ours import.
const (
	xxhash = "github.com/cespare/xxhash/v2"
	xsync  = "github.com/puzpuzpuz/xsync/v3"
)

// toolLibraries are for the tool alone, which is a module of its own for their sake.
var toolLibraries = []string{
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"github.com/mattn/go-isatty",
	"golang.org/x/term",
	"github.com/creack/pty", // in tests
}

// testLibraries may be imported by every _test.go file.
var testLibraries = []string{
	"github.com/anishathalye/porcupine",
	"github.com/google/go-cmp",
	"go.uber.org/goleak",
	"pgregory.net/rapid",
}

// top is the floor of packages that only use the others and that none imports.
const top = 11

// rooms gives every package its floor, and the libraries it may import besides the
// standard library. A package imports packages of lower floors only. The first pattern
// that matches decides. It is a statement of policy: do not change it to fix a build.
var rooms = []room{
	// What only tests need may use the whole product, and no package of the product may use it.
	{pattern: "internal/testing/model", floor: 9, alone: true}, // the oracle: must share no code with what it judges
	{pattern: "internal/testing/...", floor: 10, peers: true},

	{pattern: "internal/eviction", floor: 0}, // knows slots and nothing else of ours
	{pattern: "internal/buckets", floor: 0},
	{pattern: "internal/faults", floor: 0},
	{pattern: "internal/secretdir", floor: 0}, // tlscache reads such directories and cmd/sessioncache writes them
	{pattern: "internal/otpport", floor: 3},   // a cache behind a pipe, for cmd/sessioncache

	{pattern: "timerwheel", floor: 1},
	{pattern: "index", floor: 1},

	{pattern: "fastcache", floor: 2, libraries: []string{xxhash, xsync}},

	{pattern: "fastcache/loading", floor: 3},

	{pattern: "session", floor: 3},

	{pattern: "session/sessiontest", floor: 4},
	{pattern: "tlscache/internal/clock", floor: 4},
	{pattern: "tlscache/internal/tickets", floor: 6},
	{pattern: "tlscache/internal/...", floor: 5}, // the others know the clock and nothing else of each other
	{pattern: "tlscache", floor: 7, libraries: []string{xsync}},
	{pattern: "inspect", floor: 4},
	{pattern: "cmd/...", floor: 8, libraries: toolLibraries}, // the demo runs on tlscache
	{pattern: "internal/metrics", floor: 8},                  // for promcollector and otelmetrics, which are modules of their own

	{pattern: ".", floor: top, libraries: []string{xxhash}}, // to prove that its flood is one
	{pattern: "fuzz", floor: top},
}

type room struct {
	pattern   string // a directory; with /... everything below it
	floor     int
	peers     bool // may import packages of its own floor
	alone     bool // may import no package of ours
	libraries []string
}

func roomOf(dir string) (room, bool) {
	i := slices.IndexFunc(rooms, func(r room) bool {
		below, all := strings.CutSuffix(r.pattern, "...")
		return r.pattern == dir || all && strings.HasPrefix(dir, below)
	})
	if i < 0 {
		return room{}, false
	}
	return rooms[i], true
}

// floors reports imports that rooms does not allow. Test files are free of the floors,
// not of the libraries.
func floors(src source) (faults []string) {
	homeless := map[string]bool{}
	for _, f := range src.files {
		from, ok := roomOf(f.dir)
		if !ok {
			if !homeless[f.dir] {
				faults = append(faults, fmt.Sprintf("package %s has no floor; give it one in rooms", f.dir))
			}
			homeless[f.dir] = true
			continue
		}
		for _, spec := range f.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if why := from.refuses(imported, f.test); why != "" {
				faults = append(faults, fmt.Sprintf("%s: %s imports %s: %s", src.at(spec), f.dir, imported, why))
			}
		}
	}
	return faults
}

// refuses says why a file of the room may not import a package; empty: it may.
func (from room) refuses(imported string, test bool) string {
	within := func(library string) bool {
		return imported == library || strings.HasPrefix(imported, library+"/")
	}
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case within(modulePath):
		if test {
			return ""
		}
		dir := strings.TrimPrefix(strings.TrimPrefix(imported, modulePath), "/")
		to, ok := roomOf(max(dir, "."))
		if !ok {
			return "it has no floor"
		}
		if from.alone {
			return "it imports no package of ours"
		}
		if to.floor < from.floor || to.floor == from.floor && from.peers {
			return ""
		}
		return fmt.Sprintf("floor %d may not use floor %d", from.floor, to.floor)
	case !strings.Contains(first, "."): // the standard library
		return ""
	case slices.ContainsFunc(from.libraries, within), test && slices.ContainsFunc(testLibraries, within):
		return ""
	}
	return "the library is not on its list"
}

func TestPackagesImportOnlyLowerFloors(t *testing.T) { checkModule(t, floors) }

func TestFloorsReportsBrokenModules(t *testing.T) {
	imports := func(path string) string { return "package p\n\nimport _ \"" + path + "\"\n" }
	ours := func(dir string) string { return imports(modulePath + "/" + dir) }
	checkBroken(t, floors, []brokenModule{
		{
			name: "neighbours on one floor",
			files: map[string]string{
				"timerwheel/wheel.go":      ours("index"),
				"timerwheel/wheel_test.go": ours("index"), // tests are free
			},
			want: []string{"timerwheel/wheel.go:3: timerwheel imports " + modulePath + "/index: floor 1 may not use floor 1"},
		},
		{
			name: "downwards is fine, upwards is not",
			files: map[string]string{
				"fastcache/down.go": ours("timerwheel"),
				"index/up.go":       ours("fastcache"),
			},
			want: []string{"index/up.go:3: index imports " + modulePath + "/fastcache: floor 1 may not use floor 2"},
		},
		{
			name: "what tests need may use each other and the product, and the model nothing",
			files: map[string]string{
				"internal/testing/check/c.go": ours("internal/testing/model"),
				"internal/testing/check/d.go": ours("fastcache"),
				"internal/testing/check/e.go": ours("internal/testing/other"),
				"internal/testing/model/m.go": ours("internal/buckets"),
			},
			want: []string{"internal/testing/model/m.go:3: internal/testing/model imports " + modulePath + "/internal/buckets: it imports no package of ours"},
		},
		{
			name:  "the product does not use what tests need",
			files: map[string]string{"tlscache/a.go": ours("internal/testing/model")},
			want:  []string{"tlscache/a.go:3: tlscache imports " + modulePath + "/internal/testing/model: floor 7 may not use floor 9"},
		},
		{
			name:  "nobody imports the root",
			files: map[string]string{"cmd/tool/main.go": imports(modulePath)},
			want:  []string{"cmd/tool/main.go:3: cmd/tool imports " + modulePath + ": floor 8 may not use floor 11"},
		},
		{
			name: "a package without a floor, named once",
			files: map[string]string{
				"attic/a.go":     ours("index"),
				"attic/b.go":     ours("index"),
				"cmd/tool/m.go":  ours("attic"),
				"nested/go.mod":  "module nested",
				"nested/far.go":  ours("index"),
				"index/go_on.go": imports("net/http"),
			},
			want: []string{
				"package attic has no floor; give it one in rooms",
				"cmd/tool/m.go:3: cmd/tool imports " + modulePath + "/attic: it has no floor",
			},
		},
		{
			name: "libraries",
			files: map[string]string{
				"fastcache/a.go":       imports(xxhash),
				"index/a.go":           imports(xxhash),
				"fastcache/b.go":       imports(xsync),
				"index/c_test.go":      imports("github.com/google/go-cmp/cmp"),
				"index/d.go":           imports("github.com/google/go-cmp/cmp"),
				"timerwheel/a_test.go": imports("example.com/assert"),
			},
			want: []string{
				"index/a.go:3: index imports " + xxhash + ": the library is not on its list",
				"index/d.go:3: index imports github.com/google/go-cmp/cmp: the library is not on its list",
				"timerwheel/a_test.go:3: timerwheel imports example.com/assert: the library is not on its list",
			},
		},
	})
}
