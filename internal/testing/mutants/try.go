package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"
)

// A step is one go test of one package.
type step struct {
	dir   string
	tests string // a regular expression; empty: all
	race  bool
	limit time.Duration // 0: the -timeout flag's

	elsewhere bool // the tests may be in another package's directory
}

// hintLimit bounds the few tests that a mutant names: they take seconds, and a mutant that
// makes one of them hang shall not cost -timeout. Where the machine is slow, run gives them more.
const hintLimit = time.Minute

// users are, for each package, those whose tests use it most.
var users = map[string][]string{
	"internal/buckets":  {"index", "fuzz", "fastcache"},
	"internal/eviction": {"fastcache"},
	"timerwheel":        {"fuzz", "fastcache"},
	"index":             {"fuzz", "fastcache"},
	"fastcache":         {"fuzz"},
	"session":           {"session/sessiontest", "tlscache"},
	"tlscache":          {"fuzz"},
}

// steps returns the tests that a mutant must fail, those first that are likely to: the ones
// it names, its own package's, then those of the packages that use it. If tests is
// not empty, it is those of its own package alone.
func steps(m mutant, tests string) []step {
	if tests != "" {
		return []step{{dir: m.dir(), tests: tests, race: m.race}}
	}
	var list []step
	if m.tests != "" {
		for _, dir := range m.hinted() {
			list = append(list, step{dir, "^(" + m.tests + ")$", m.race, hintLimit, len(m.hinted()) > 1})
		}
	}
	for _, dir := range append(m.hinted(), users[m.dir()]...) {
		list = append(list, step{dir: dir, race: m.race})
	}
	return list
}

// An outcome is what became of a mutant.
type outcome uint8

const (
	survived outcome = iota
	caught
	faulty // the list is wrong: no such text, or the mutant does not compile
)

// A verdict is an outcome with its reason.
type verdict struct {
	outcome outcome
	test    string // the first that failed
	how     string // hang, "race" or "crash", where the test did not just fail
	output  string // of the failure
}

// hang is how a mutant was caught whose tests did not end in time.
const hang = "hang"

// try writes a mutant and its overlay into dir, and runs the steps until one catches it.
func try(root, dir string, m mutant, steps []step, run func(overlay string, s step) verdict) verdict {
	overlay, err := writeOverlay(root, dir, m)
	if err != nil {
		return verdict{outcome: faulty, output: err.Error()}
	}
	for _, s := range steps {
		if v := run(overlay, s); v.outcome != survived {
			return v
		}
	}
	return verdict{outcome: survived}
}

// writeOverlay writes the mutant's file into dir and returns the overlay, for the go
// command, that puts it in place of the one in the module.
func writeOverlay(root, dir string, m mutant) (string, error) {
	text, err := m.mutated(root)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	changed := filepath.Join(dir, path.Base(m.file))
	if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
		return "", err
	}
	overlay, err := overlayJSON(filepath.Join(root, filepath.FromSlash(m.file)), changed)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, overlay, 0o644)
}

// overlayJSON returns an overlay that shows the file named by changed in place of original.
func overlayJSON(original, changed string) ([]byte, error) {
	original, err := filepath.Abs(original)
	if err != nil {
		return nil, fmt.Errorf("mutants: %w", err)
	}
	return json.Marshal(struct{ Replace map[string]string }{map[string]string{original: changed}})
}
